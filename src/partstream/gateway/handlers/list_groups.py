"""ListGroups (16), versions 0-5: all groups, by state and type if asked (KIP-518, KIP-848)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, group_code_of
from partstream.gateway.names import state_name


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Every group that passes the filters; an empty filter lets all pass."""
    states = {state.lower() for state in request.states_filter}
    types = {kind.lower() for kind in request.types_filter}
    try:
        groups = await broker.groups.list()
    except PartstreamError as error:
        return {"error_code": group_code_of(error)}
    return {
        "error_code": NONE,
        "groups": [
            {
                "group_id": group.group_id,
                "protocol_type": group.protocol_type,
                "group_state": state_name(group.state),
                "group_type": group.type,
            }
            for group in groups
            if (not states or state_name(group.state).lower() in states)
            and (not types or group.type in types)
        ],
    }

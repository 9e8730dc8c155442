"""DescribeGroups (15), versions 0-6: classic groups. A consumer group is none (use API 69)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import GroupIdNotFound, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, group_code_of
from partstream.gateway.names import GROUP_OPERATIONS, NOT_ASKED, state_name

_TELLS_UNKNOWN = 6
"""The version since which a group that is not there is an error (KIP-1043)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Every group that was asked for."""
    operations = GROUP_OPERATIONS if request.include_authorized_operations else NOT_ASKED
    groups = [await _group(broker, call, group_id) for group_id in request.groups]
    return {"groups": [{**group, "authorized_operations": operations} for group in groups]}


async def _group(broker: Broker, call: Call, group_id: str) -> dict[str, Any]:
    try:
        group = await broker.groups.describe(group_id)
        if group.type != "classic":
            raise GroupIdNotFound(f"Group {group_id} is not a classic group.")
    except GroupIdNotFound as error:
        if call.version < _TELLS_UNKNOWN:
            return {"error_code": NONE, "group_id": group_id, "group_state": "Dead"}
        return {
            "error_code": error.code,
            "error_message": str(error),
            "group_id": group_id,
            "group_state": "Dead",
        }
    except PartstreamError as error:
        return {"error_code": group_code_of(error), "group_id": group_id}
    return {"error_code": NONE, "group_id": group_id, "group_state": state_name(group.state)}

"""JoinGroup (11), versions 0-9: enter a classic group, or enter it again, and wait for others."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from partstream.engine.groups.classic_answers import Joined
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NOT_COORDINATOR, group_code_of
from partstream.gateway.parking import unless_draining
from partstream.groups.classic_events import Join

_logger = logging.getLogger(__name__)

_ID_REQUIRED = 4
"""The version since which a client comes back with the id that it was given (KIP-394)."""
_MAY_BE_NULL = 7
"""The version since which there may be no protocol."""
_CAN_SKIP = 9
"""The version since which a leader can be told not to assign (KIP-814)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Join, and hear of the generation when it has begun."""
    if request.reason:
        _logger.debug("group %s: %s joins: %s", request.group_id, request.member_id, request.reason)
    joining = broker.groups.classic.join(request.group_id, _join(call, request))
    try:
        joined = await unless_draining(broker, joining)
    except PartstreamError as error:
        return _answer(call, Joined(group_code_of(error), request.member_id))
    return _answer(call, joined or Joined(NOT_COORDINATOR, request.member_id))


def _join(call: Call, request: Struct) -> Join:
    session_ms = request.session_timeout
    who = call.client_id if request.group_instance_id is None else request.group_instance_id
    return Join(
        request.member_id,
        f"{who}-{uuid.uuid4()}",
        request.protocol_type,
        tuple((protocol.name, protocol.metadata) for protocol in request.protocols),
        session_ms,
        session_ms if call.version == 0 else request.rebalance_timeout,
        request.group_instance_id,
        call.client_id,
        f"/{call.connection.peer}",
        id_required=call.version >= _ID_REQUIRED,
        can_skip=call.version >= _CAN_SKIP,
    )


def _answer(call: Call, joined: Joined) -> Mapping[str, Any]:
    protocol = joined.protocol
    return {
        "error_code": joined.error,
        "generation_id": joined.generation,
        "protocol_type": joined.protocol_type,
        "protocol_name": "" if protocol is None and call.version < _MAY_BE_NULL else protocol,
        "leader": joined.leader,
        "skip_assignment": joined.skip_assignment,
        "member_id": joined.member_id,
        "members": [
            {"member_id": member_id, "group_instance_id": instance_id, "metadata": metadata}
            for member_id, instance_id, metadata in joined.members
        ],
    }

"""SyncGroup (14), versions 0-5: a classic group's leader gives assignments, all get theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.groups.classic_answers import Synced
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import (
    INCONSISTENT_GROUP_PROTOCOL,
    NOT_COORDINATOR,
    group_code_of,
)
from partstream.gateway.parking import unless_draining
from partstream.groups.classic_events import Sync

_SAYS_PROTOCOL = 5
"""The version since which a client must say which protocol it believes in (KIP-559)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Pass on the assignments of a leader, and hear of one's own."""
    if call.version >= _SAYS_PROTOCOL and not (request.protocol_type and request.protocol_name):
        return _answer(Synced(INCONSISTENT_GROUP_PROTOCOL))
    syncing = broker.groups.classic.sync(
        request.group_id,
        Sync(
            request.member_id,
            request.generation_id,
            request.group_instance_id,
            request.protocol_type,
            request.protocol_name,
            {one.member_id: one.assignment for one in request.assignments},
        ),
    )
    try:
        synced = await unless_draining(broker, syncing)
    except PartstreamError as error:
        return _answer(Synced(group_code_of(error)))
    return _answer(synced or Synced(NOT_COORDINATOR))


def _answer(synced: Synced) -> Mapping[str, Any]:
    return {
        "error_code": synced.error,
        "protocol_type": synced.protocol_type,
        "protocol_name": synced.protocol,
        "assignment": synced.assignment,
    }

"""FindCoordinator (10), versions 0-6: the gateway that a group's members are to talk to.

Any gateway would do; that all members of a group talk to one only spares the others work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import InvalidRequest, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, no_transactions

GROUP, TRANSACTION, SHARE = range(3)
_MANY = 4
"""The version since which there are several keys in one request (KIP-699)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The coordinator of each key."""
    if call.version < _MANY:
        return _find(broker, call, request.key_type, request.key)
    return {
        "coordinators": [
            {"key": key, **_find(broker, call, request.key_type, key)}
            for key in request.coordinator_keys
        ]
    }


def _find(broker: Broker, call: Call, key_type: int, key: str) -> dict[str, Any]:
    if key_type == GROUP:
        node = broker.registry.on(call.listener).coordinator(key)
        return {
            "error_code": NONE,
            "error_message": "NONE" if call.version < _MANY else "",
            "node_id": node.id,
            "host": node.host,
            "port": node.port,
        }
    error: PartstreamError = InvalidRequest(f"Unknown coordinator type {key_type}")
    if key_type == TRANSACTION:
        error = no_transactions()
    elif key_type == SHARE:
        error = InvalidRequest("There are no share groups yet.")
    return {
        "error_code": error.code,
        "error_message": str(error),
        "node_id": -1,
        "host": "",
        "port": -1,
    }

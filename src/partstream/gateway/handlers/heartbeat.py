"""Heartbeat (12), versions 0-4: a member of a classic group lives, and hears of rebalances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import group_code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Keep the member alive."""
    try:
        code = await broker.groups.classic.heartbeat(
            request.group_id, request.member_id, request.generation_id, request.group_instance_id
        )
    except PartstreamError as error:
        code = group_code_of(error)
    return {"error_code": code}

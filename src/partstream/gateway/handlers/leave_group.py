"""LeaveGroup (13), versions 0-5: members leave a classic group, or are removed by their instance
(KIP-345)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, group_code_of
from partstream.groups.classic_events import Leave

_logger = logging.getLogger(__name__)

_MANY = 3
"""The version since which several members can leave at once."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Remove each member, or say why not."""
    many = call.version >= _MANY
    members = (
        tuple((member.member_id, member.group_instance_id) for member in request.members)
        if many
        else ((request.member_id, None),)
    )
    if many:
        for member in request.members:
            if member.reason:
                _logger.debug(
                    "group %s: %s leaves: %s", request.group_id, member.member_id, member.reason
                )
    try:
        codes = await broker.groups.classic.leave(request.group_id, Leave(members))
    except PartstreamError as error:
        return {"error_code": group_code_of(error)}
    if not many:
        return {"error_code": codes[0]}
    return {
        "error_code": NONE,
        "members": [
            {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}
            for (member_id, instance_id), code in zip(members, codes, strict=True)
        ],
    }

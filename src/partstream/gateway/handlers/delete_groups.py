"""DeleteGroups (42), versions 0-2: groups without members, and what they have committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import InvalidGroupId, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import GROUP_ID_NOT_FOUND, NONE, group_code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Delete each, or say why not."""
    return {
        "results": [
            {"group_id": group_id, "error_code": await _delete(broker, group_id)}
            for group_id in dict.fromkeys(request.groups_names)
        ]
    }


async def _delete(broker: Broker, group_id: str) -> int:
    try:
        await broker.groups.delete(group_id)
    except InvalidGroupId:
        return GROUP_ID_NOT_FOUND
    except PartstreamError as error:
        return group_code_of(error)
    return NONE

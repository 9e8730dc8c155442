"""AlterConfigs (33), versions 0-2: give topics and groups just these configs (KIP-133)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import InvalidRequest, PartstreamError
from partstream.gateway.altering import altered, counted, replaced
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Replace the configs of each resource, or say why not."""
    return {
        "responses": [
            await _resource(broker, asked, request.validate_only, twice)
            for asked, twice in counted(request.resources)
        ]
    }


async def _resource(
    broker: Broker, asked: Struct, validate_only: bool, twice: bool
) -> Mapping[str, Any]:
    kind, name = asked.resource_type, asked.resource_name
    row = {"resource_type": kind, "resource_name": name, "error_code": NONE}
    try:
        configs = {one.name: one.value for one in asked.configs}
        if twice or len(configs) < len(asked.configs):
            raise InvalidRequest("Error due to duplicate resources or config keys")
        resource = altered(broker, kind, name)
        await resource.change(await replaced(resource, configs), validate_only=validate_only)
    except PartstreamError as error:
        row |= {"error_code": code_of(error), "error_message": str(error)}
    return row

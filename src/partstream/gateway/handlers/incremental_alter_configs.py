"""IncrementalAlterConfigs (44), versions 0-1: change some configs, leave the others (KIP-339)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import InvalidRequest, PartstreamError
from partstream.gateway.altering import altered, counted, stepped
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.configs import BROKER_LOGGER
from partstream.gateway.faults import NONE, code_of
from partstream.gateway.loggers import check_loggers


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Change the configs of each resource, or say why not."""
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
    operations = [(one.name, one.config_operation, one.value) for one in asked.configs]
    try:
        if twice:
            raise InvalidRequest("Each resource must appear at most once.")
        if kind == BROKER_LOGGER:
            check_loggers(name, broker.registry.me.id, operations)
            return row
        resource = altered(broker, kind, name)
        await resource.change(await stepped(resource, operations), validate_only=validate_only)
    except PartstreamError as error:
        row |= {"error_code": code_of(error), "error_message": str(error)}
    return row

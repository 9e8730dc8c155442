"""ListConfigResources (74), versions 0-1: what has configs (KIP-1142)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.configs import BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC
from partstream.gateway.faults import NONE, UNSUPPORTED_VERSION

_KNOWN = {TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP}


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Topics, gateways, and groups for which something is set; no others have configs here."""
    # Version 0 is for client metrics only.
    types = {CLIENT_METRICS} if call.version == 0 else set(request.resource_types) or _KNOWN
    if not types <= _KNOWN:
        return {"error_code": UNSUPPORTED_VERSION}
    found = []
    if TOPIC in types:
        found += [(name, TOPIC) for name in await broker.topics.all()]
    if BROKER in types:
        found += [(str(node.id), BROKER) for node in broker.registry.nodes]
    if GROUP in types:
        found += [(group_id, GROUP) for group_id in await broker.groups.configs.all()]
    return {
        "error_code": NONE,
        "config_resources": [
            {"resource_name": name, "resource_type": kind} for name, kind in found
        ],
    }

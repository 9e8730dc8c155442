"""DescribeCluster (60), versions 0-2: the gateways that live (KIP-700)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import MISMATCHED_ENDPOINT_TYPE, NONE, UNSUPPORTED_ENDPOINT_TYPE
from partstream.gateway.names import CLUSTER_OPERATIONS, NOT_ASKED

_BROKERS, _CONTROLLERS = 1, 2


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """All gateways. There are no controllers to ask for."""
    if request.endpoint_type == _CONTROLLERS:
        return {
            "error_code": MISMATCHED_ENDPOINT_TYPE,
            "error_message": "The request was sent to an endpoint of type BROKER, but we wanted an "
            "endpoint of type CONTROLLER",
        }
    if request.endpoint_type != _BROKERS:
        return {
            "error_code": UNSUPPORTED_ENDPOINT_TYPE,
            "error_message": f"Unsupported endpoint type {request.endpoint_type}",
        }
    peers = broker.registry.on(call.listener)
    return {
        "error_code": NONE,
        "cluster_id": broker.registry.cluster_id,
        "controller_id": peers.nodes[0].id,
        "brokers": [
            {"broker_id": node.id, "host": node.host, "port": node.port, "rack": node.rack}
            for node in peers.nodes
        ],
        "cluster_authorized_operations": (
            CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
        ),
    }

"""InitProducerId (22), versions 0-5: an id for an idempotent producer (KIP-98, KIP-360)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.producers import new_producer_id
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import COORDINATOR_NOT_AVAILABLE, INVALID_REQUEST, NONE


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """A new id, or the next epoch of the one that the producer has."""
    if request.transactional_id is not None:
        # There are no transactions yet: to the client, their coordinator is not there.
        return _refused(COORDINATOR_NOT_AVAILABLE if request.transactional_id else INVALID_REQUEST)
    if (request.producer_id < 0) != (request.producer_epoch < 0):
        return _refused(INVALID_REQUEST)
    # As Kafka without a transactional id: whoever asks again gets another id.
    return {
        "error_code": NONE,
        "producer_id": await new_producer_id(broker.store),
        "producer_epoch": 0,
    }


def _refused(code: int) -> Mapping[str, Any]:
    return {"error_code": code, "producer_id": -1, "producer_epoch": -1}

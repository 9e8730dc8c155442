"""InitProducerId (22), versions 0-5: an id for an idempotent producer (KIP-98, KIP-360)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.producers import new_producer_id
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, no_transactions


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """A new id, or the next epoch of the one that the producer has."""
    if request.transactional_id is not None:
        return _refused(no_transactions().code if request.transactional_id else INVALID_REQUEST)
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

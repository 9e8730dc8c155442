"""DescribeProducers (61), version 0: idempotent producers that partitions remember (KIP-664)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from partstream.config.names import validate_topic_name
from partstream.engine.partition import Topic
from partstream.engine.producers import active_producers
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.each import per_partition
from partstream.gateway.faults import NONE, UNKNOWN_TOPIC_OR_PARTITION


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The producers of each partition."""
    topics = [(topic.name, topic.partition_indexes) for topic in request.topics]
    rows = await per_partition(broker, topics, partial(_partition, broker), _refused, _check)
    return {
        "topics": [
            {"name": name, "partitions": found}
            for (name, _), found in zip(topics, rows, strict=True)
        ]
    }


def _check(name: str, _: int) -> None:
    validate_topic_name(name)


async def _partition(broker: Broker, topic: Topic, number: int) -> Mapping[str, Any]:
    if not 0 <= number < len(topic.partitions):
        return {"partition_index": number, "error_code": UNKNOWN_TOPIC_OR_PARTITION}
    producers = await active_producers(broker.store, topic.partition(number))
    return {
        "partition_index": number,
        "error_code": NONE,
        "active_producers": [
            {
                "producer_id": producer.id,
                "producer_epoch": producer.epoch,
                "last_sequence": producer.last_sequence,
                "last_timestamp": producer.last_used_ms,
                "coordinator_epoch": -1,
                "current_txn_start_offset": -1,
            }
            for producer in producers
        ],
    }


def _refused(number: int, code: int, error: PartstreamError) -> Mapping[str, Any]:
    return {"partition_index": number, "error_code": code, "error_message": str(error)}

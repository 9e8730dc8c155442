"""DescribeProducers (61), version 0: idempotent producers that partitions remember (KIP-664)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.producers import active_producers
from partstream.errors import PartstreamError, UnknownTopicId, UnknownTopicOrPartition
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, UNKNOWN_TOPIC_OR_PARTITION, code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The producers of each partition."""
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [
                    await _partition(broker, topic.name, number)
                    for number in topic.partition_indexes
                ],
            }
            for topic in request.topics
        ]
    }


async def _partition(broker: Broker, name: str, number: int) -> Mapping[str, Any]:
    row = {"partition_index": number}
    try:
        topic = broker.topics.known(name) or await broker.topics.get(name)
    except PartstreamError as error:
        return {**row, "error_code": code_of(error), "error_message": str(error)}
    try:
        producers = await active_producers(broker.store, topic.partition(number))
    except (UnknownTopicOrPartition, UnknownTopicId):
        return {**row, "error_code": UNKNOWN_TOPIC_OR_PARTITION}
    except PartstreamError as error:
        return {**row, "error_code": code_of(error), "error_message": str(error)}
    return {
        **row,
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

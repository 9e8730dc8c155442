"""DeleteRecords (21), versions 0-2: drop what stands before an offset (KIP-107)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import OffsetOutOfRange, PartstreamError, UnknownTopicId
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, POLICY_VIOLATION, UNKNOWN_TOPIC_OR_PARTITION, code_of

_ALL = -1


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Delete in each partition, or say why not."""
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [
                    await _partition(broker, topic.name, asked) for asked in topic.partitions
                ],
            }
            for topic in request.topics
            if topic.partitions
        ]
    }


async def _partition(broker: Broker, name: str, asked: Struct) -> Mapping[str, Any]:
    code, low = NONE, -1
    try:
        topic = await broker.named(name, None)
        partition = topic.partition(asked.partition_index)
        if not topic.config.deletes:
            # Whoever compacts a topic wants to keep the last record of every key.
            return _row(asked, POLICY_VIOLATION, low)
        if asked.offset < _ALL:
            raise OffsetOutOfRange(f"offset {asked.offset}")
        low = await broker.log.delete_records(partition, asked.offset)
    except UnknownTopicId:
        code = UNKNOWN_TOPIC_OR_PARTITION
    except PartstreamError as error:
        code = code_of(error)
    return _row(asked, code, low)


def _row(asked: Struct, code: int, low: int) -> Mapping[str, Any]:
    return {"partition_index": asked.partition_index, "low_watermark": low, "error_code": code}

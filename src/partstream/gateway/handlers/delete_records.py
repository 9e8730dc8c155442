"""DeleteRecords (21), versions 0-2: drop what stands before an offset (KIP-107)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from partstream.engine.partition import Topic
from partstream.errors import OffsetOutOfRange, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.each import per_partition
from partstream.gateway.faults import NONE, POLICY_VIOLATION

_ALL = -1


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Delete in each partition, or say why not."""
    topics = [(topic.name, topic.partitions) for topic in request.topics if topic.partitions]
    rows = await per_partition(broker, topics, partial(_partition, broker), _refused)
    return {
        "topics": [
            {"name": name, "partitions": done} for (name, _), done in zip(topics, rows, strict=True)
        ]
    }


async def _partition(broker: Broker, topic: Topic, asked: Struct) -> Mapping[str, Any]:
    partition = topic.partition(asked.partition_index)
    if not topic.config.deletes:
        # Whoever compacts a topic wants to keep the last record of every key.
        return _row(asked, POLICY_VIOLATION)
    if asked.offset < _ALL:
        raise OffsetOutOfRange(f"offset {asked.offset}")
    return _row(asked, NONE, await broker.log.delete_records(partition, asked.offset))


def _refused(asked: Struct, code: int, _: PartstreamError) -> Mapping[str, Any]:
    return _row(asked, code)


def _row(asked: Struct, code: int, low: int = -1) -> Mapping[str, Any]:
    return {"partition_index": asked.partition_index, "low_watermark": low, "error_code": code}

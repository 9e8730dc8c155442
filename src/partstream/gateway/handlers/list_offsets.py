"""ListOffsets (2), versions 1-11: the log's start, its end, or the first record at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from partstream.engine.partition import Partition, Topic
from partstream.engine.times import offset_for_time, offset_of_latest
from partstream.errors import InvalidRequest, PartstreamError, UnsupportedVersion
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.each import per_partition
from partstream.gateway.epochs import check_epoch
from partstream.gateway.faults import NONE, UNKNOWN_SERVER_ERROR
from partstream.model import OffsetAndTimestamp

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL = -4
"""The log's start, since there is no other tier (KIP-405)."""
LATEST_TIERED = -5
EARLIEST_PENDING_UPLOAD = -6
"""Places in a remote tier, and nowhere here (KIP-1005, KIP-1023)."""
NEVER = 1_000
_SINCE = {
    LATEST: 0,
    EARLIEST: 0,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}
"""The first version that knows each (KIP-734, KIP-405, KIP-1005, KIP-1023)."""
_NOWHERE = OffsetAndTimestamp(-1, -1)


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The offset at each place."""
    if request.isolation_level not in (0, 1):
        return {"topics": [_all_refused(topic) for topic in request.topics]}
    asked = Counter(
        (topic.name, row.partition_index) for topic in request.topics for row in topic.partitions
    )

    def check(name: str, row: Struct) -> None:
        if asked[name, row.partition_index] > 1:
            raise InvalidRequest("a partition is there twice")
        if row.timestamp < 0 and call.version < _SINCE.get(row.timestamp, NEVER):
            raise UnsupportedVersion(f"there is no place {row.timestamp} in a log")

    # What is asked for twice is refused once.
    topics = [
        (topic.name, list({row.partition_index: row for row in topic.partitions}.values()))
        for topic in request.topics
    ]
    rows = await per_partition(broker, topics, partial(_partition, broker), _refusal, check)
    return {
        "topics": [
            {"name": name, "partitions": found}
            for (name, _), found in zip(topics, rows, strict=True)
        ]
    }


def _all_refused(topic: Struct) -> Mapping[str, Any]:
    """As Kafka, where an isolation level that is none makes the request fail as a whole."""
    rows = [_refused(row.partition_index, UNKNOWN_SERVER_ERROR) for row in topic.partitions]
    return {"name": topic.name, "partitions": rows}


def _refused(number: int, code: int) -> Mapping[str, Any]:
    return {"partition_index": number, "error_code": code, "timestamp": -1, "offset": -1}


def _refusal(row: Struct, code: int, _: PartstreamError) -> Mapping[str, Any]:
    return _refused(row.partition_index, code)


async def _partition(broker: Broker, topic: Topic, asked: Struct) -> Mapping[str, Any]:
    partition = topic.partition(asked.partition_index)
    found = await _offset(broker, partition, asked)
    return {
        "partition_index": asked.partition_index,
        "error_code": NONE,
        "timestamp": found.timestamp,
        "offset": found.offset,
        "leader_epoch": found.leader_epoch,
    }


async def _offset(broker: Broker, partition: Partition, asked: Struct) -> OffsetAndTimestamp:
    history = await broker.log.history(partition)
    broker.epochs.saw(partition, history.leader_epoch)
    check_epoch(asked.current_leader_epoch, history.leader_epoch)
    when: int = asked.timestamp
    if when == LATEST:
        return OffsetAndTimestamp(history.end, -1, history.leader_epoch)
    if when in (EARLIEST, EARLIEST_LOCAL):
        return OffsetAndTimestamp(history.start, -1, history.oldest_kept)
    if when == MAX_TIMESTAMP:
        return await offset_of_latest(broker.store, partition) or _NOWHERE
    if when < 0:
        return _NOWHERE
    return await offset_for_time(broker.store, partition, when) or _NOWHERE

"""ListOffsets (2), versions 1-11: the log's start, its end, or the first record at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.engine.partition import Partition
from partstream.engine.times import offset_for_time, offset_of_latest
from partstream.errors import PartstreamError, UnknownTopicId, UnsupportedVersion
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.epochs import check_epoch
from partstream.gateway.faults import (
    INVALID_REQUEST,
    NONE,
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_OR_PARTITION,
    code_of,
)
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
    asked = Counter(
        (topic.name, row.partition_index) for topic in request.topics for row in topic.partitions
    )
    twice = {place for place, times in asked.items() if times > 1}
    if request.isolation_level not in (0, 1):
        return {"topics": [_all_refused(topic) for topic in request.topics]}
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [
                    _refused(row.partition_index, INVALID_REQUEST)
                    if (topic.name, row.partition_index) in twice
                    else await _partition(broker, call, topic.name, row)
                    # What is asked for twice is refused once.
                    for row in {row.partition_index: row for row in topic.partitions}.values()
                ],
            }
            for topic in request.topics
        ]
    }


def _all_refused(topic: Struct) -> Mapping[str, Any]:
    """As Kafka, where an isolation level that is none makes the request fail as a whole."""
    rows = [_refused(row.partition_index, UNKNOWN_SERVER_ERROR) for row in topic.partitions]
    return {"name": topic.name, "partitions": rows}


def _refused(number: int, code: int) -> Mapping[str, Any]:
    return {"partition_index": number, "error_code": code, "timestamp": -1, "offset": -1}


async def _partition(broker: Broker, call: Call, name: str, asked: Struct) -> Mapping[str, Any]:
    error = NONE
    found = _NOWHERE
    try:
        if asked.timestamp < 0 and call.version < _SINCE.get(asked.timestamp, NEVER):
            raise UnsupportedVersion(f"there is no place {asked.timestamp} in a log")
        partition = (await broker.named(name, None)).partition(asked.partition_index)
        found = await _offset(broker, partition, asked)
    except UnknownTopicId:
        error = UNKNOWN_TOPIC_OR_PARTITION
    except PartstreamError as failure:
        error = code_of(failure)
    return {
        "partition_index": asked.partition_index,
        "error_code": error,
        "timestamp": found.timestamp,
        "offset": found.offset,
        "leader_epoch": found.leader_epoch,
    }


async def _offset(broker: Broker, partition: Partition, asked: Struct) -> OffsetAndTimestamp:
    bounds = await broker.log.bounds(partition)
    broker.epochs.saw(partition, bounds.leader_epoch)
    check_epoch(asked.current_leader_epoch, bounds.leader_epoch)
    when: int = asked.timestamp
    if when == LATEST:
        return OffsetAndTimestamp(bounds.end, -1, bounds.leader_epoch)
    if when in (EARLIEST, EARLIEST_LOCAL):
        # The epoch of the first record: that in which the log was there, if it is empty.
        return OffsetAndTimestamp(bounds.start, -1, bounds.leader_epoch)
    if when == MAX_TIMESTAMP:
        return await offset_of_latest(broker.store, partition) or _NOWHERE
    if when < 0:
        return _NOWHERE
    return await offset_for_time(broker.store, partition, when) or _NOWHERE

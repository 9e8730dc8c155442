"""ListOffsets (2), versions 1-11: the log's start, its end, or the first record at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.engine.partition import Partition
from partstream.engine.times import latest_timestamp, offset_for_time
from partstream.errors import PartstreamError, UnknownTopicId, UnsupportedVersion
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.epochs import check_epoch
from partstream.gateway.faults import INVALID_REQUEST, NONE, UNKNOWN_TOPIC_OR_PARTITION, code_of
from partstream.model import OffsetAndTimestamp

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
"""Since version 7 (KIP-734)."""
EARLIEST_LOCAL = -4
"""Since version 8 (KIP-405): the log's start, since there is no other tier."""
_LEAST = -6
"""-5 and -6 are places in a remote tier, and nowhere here (KIP-1005, KIP-1023)."""
_NOWHERE = OffsetAndTimestamp(-1, -1)


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The offset at each place."""
    asked = Counter(
        (topic.name, row.partition_index) for topic in request.topics for row in topic.partitions
    )
    twice = {place for place, times in asked.items() if times > 1}
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [
                    _refused(row)
                    if (topic.name, row.partition_index) in twice
                    else await _partition(broker, topic.name, row)
                    for row in topic.partitions
                ],
            }
            for topic in request.topics
        ]
    }


def _refused(asked: Struct) -> Mapping[str, Any]:
    """A partition that is asked for twice, which Kafka does not allow."""
    return {
        "partition_index": asked.partition_index,
        "error_code": INVALID_REQUEST,
        "timestamp": -1,
        "offset": -1,
    }


async def _partition(broker: Broker, name: str, asked: Struct) -> Mapping[str, Any]:
    error = NONE
    found = _NOWHERE
    try:
        partition = (await broker.topics.get(name)).partition(asked.partition_index)
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
        when = await latest_timestamp(broker.store, partition)
    if when < _LEAST:
        raise UnsupportedVersion(f"there is no place {when} in a log")
    if when < 0:
        return _NOWHERE
    return await offset_for_time(broker.store, partition, when) or _NOWHERE

"""From a place in a log as people name it (its start, its end, a time) to an offset."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from partstream.config.common import INT64_MAX
from partstream.config.numbers import is_whole
from partstream.engine.log import Log
from partstream.engine.partition import Partition
from partstream.engine.times import offset_for_time
from partstream.errors import InvalidRequest
from partstream.model import OffsetAndTimestamp, OffsetSpec
from partstream.store.store import Store


async def list_offset(
    store: Store, log: Log, partition: Partition, spec: OffsetSpec
) -> OffsetAndTimestamp | None:
    """The offset at a place of a partition's log; None if no record is as late as the time.

    The start and the end of the log have no timestamp of their own: it is -1, as in Kafka.

    Raises:
        InvalidRequest: the spec is none of those that there are.
        UnknownTopicId: the topic was deleted.
    """
    if spec in ("earliest", "latest"):
        bounds = await log.bounds(partition)
        offset = bounds.start if spec == "earliest" else bounds.end
        return OffsetAndTimestamp(offset, -1, bounds.leader_epoch)
    return await offset_for_time(store, partition, timestamp_of(spec))


def timestamp_of(spec: OffsetSpec) -> int:
    """Milliseconds since 1970 of a time.

    Raises:
        InvalidRequest: it is no time.
    """
    if isinstance(spec, datetime):
        # One without a time zone may be too near to the first or last year there is to have one.
        with suppress(OverflowError, ValueError):
            return int(spec.timestamp() * 1000)
    if is_whole(spec) and 0 <= spec <= INT64_MAX:
        return spec
    raise InvalidRequest(
        f"offset spec {spec!r}: expected 'earliest', 'latest', a datetime, "
        "or milliseconds since 1970"
    )


def clamp(offset: int, start: int, end: int) -> int:
    """The nearest offset that the log has; its end is one, too."""
    return min(max(offset, start), end)

"""What a cleaner reads of a partition before it decides."""

from __future__ import annotations

from partstream.config.common import INT64_MAX
from partstream.engine.compaction.plan import Look, Plan, Segment
from partstream.engine.partition import Partition, Topic
from partstream.engine.reading import read_entries
from partstream.records import header
from partstream.store.scripts import Script
from partstream.store.store import Store

_LOOK = Script("clean/look")


async def look_at(store: Store, partition: Partition) -> Look:
    """Read a partition's state, and end its last segment if that is old.

    Raises:
        UnknownTopicId: the topic was deleted.
    """
    keys = partition.keys
    (
        now,
        start,
        end,
        boundary,
        cleanings,
        epoch,
        horizon,
        cleaner,
        until,
    ) = await store.run(_LOOK, [keys.state, keys.index], [partition.topic_id], idempotent=True)
    return Look(
        now=now,
        start=start,
        end=end,
        boundary=boundary,
        cleanings=cleanings,
        epoch=epoch,
        horizon=int(horizon) if horizon else None,
        cleaner=cleaner.decode(),
        cleaner_until=until,
    )


async def segments_of(store: Store, partition: Partition) -> list[Segment]:
    """The partition's index; its first row stands below the log's start."""
    key = partition.keys.index
    rows = await store.execute("ZRANGE", key, 0, -1, "WITHSCORES", key=key)
    segments = []
    for member, score in zip(rows[::2], rows[1::2], strict=True):
        end, size, largest = map(int, member.split(b":"))
        segments.append(Segment(end, size, largest, float(score), member))
    return segments


async def first_dirty(
    store: Store, partition: Partition, intended: Plan, topic: Topic
) -> int | None:
    """The first timestamp of what was never cleaned, if it matters (max.compaction.lag.ms)."""
    if not intended.dirty or topic.config.max_compaction_lag_ms == INT64_MAX:
        return None
    batches = await read_entries(store, partition.keys.log, intended.begin, 1, until=intended.end)
    if not batches:
        return None
    append_time = batches[0].append_time
    return header.parse(batches[0].payload).base_timestamp if append_time is None else append_time

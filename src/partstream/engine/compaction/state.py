"""What a cleaner reads of a partition before it decides."""

from __future__ import annotations

from partstream.config.common import INT64_MAX
from partstream.config.topic import TopicConfig
from partstream.engine.compaction.plan import Look, Plan, Segment
from partstream.engine.partition import Partition
from partstream.store.scripts import Script
from partstream.store.store import Store

_LOOK = Script("clean/look")
_FIRST = Script("clean/first")
_FIRSTS_A_CALL = 200
_FIRSTS_BYTES = 512 * 1024


async def look_at(store: Store, partition: Partition, min_lag_ms: int) -> Look:
    """Read a partition's state, and end its last segment if that is old.

    Args:
        store: where it is.
        partition: the partition.
        min_lag_ms: its topic's min.compaction.lag.ms.

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
        reach,
        reach_size,
    ) = await store.run(
        _LOOK, [keys.state, keys.index], [partition.topic_id, min_lag_ms], idempotent=True
    )
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
        reach=reach,
        reach_size=reach_size,
    )


async def segments_of(store: Store, partition: Partition, most: int) -> list[Segment]:
    """The first rows of the partition's index; the very first stands below the log's start."""
    key = partition.keys.index
    rows = await store.execute("ZRANGE", key, 0, most - 1, "WITHSCORES", key=key)
    segments = []
    for member, score in zip(rows[::2], rows[1::2], strict=True):
        end, size, largest = map(int, member.split(b":"))
        segments.append(Segment(end, size, largest, float(score), member))
    return segments


async def earliest_dirty(
    store: Store, partition: Partition, intended: Plan, look: Look, config: TopicConfig
) -> int | None:
    """The least of the first timestamps of segments that were never cleaned, ms, as Kafka has it.

    None if there is none, or it does not matter (max.compaction.lag.ms). The first one that makes
    the partition due is enough.
    """
    if not intended.dirty or config.max_compaction_lag_ms == INT64_MAX:
        return None
    keys, rank = partition.keys, len(intended.clean)
    earliest: int | None = None
    while True:
        seen, found = await store.run(
            _FIRST,
            [keys.state, keys.index, keys.log],
            [partition.topic_id, rank, _FIRSTS_A_CALL, _FIRSTS_BYTES, intended.begin],
            idempotent=True,
        )
        if found > 0:
            earliest = found if earliest is None else min(earliest, found)
            if look.now - earliest > config.max_compaction_lag_ms:
                return earliest
        if not seen:
            return earliest
        rank += seen

"""How much a cleaner takes in at a time: of memory, of segments, and of the index."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from typing import Any, NamedTuple

import pytest

from partstream.engine.compaction import cleaning, plan
from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.compaction.state import look_at, segments_of
from partstream.engine.partition import Partition
from partstream.engine.retention import sweep
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    last_of,
    left_of,
    updates,
    write,
)
from tests.engine.logs import Engine, engine
from tests.engine.mortal import Watched

SMALL: dict[str, Any] = {"cleanup_policy": "compact", "segment_bytes": 1_024}


async def test_many_segments_take_several_rounds(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_SEGMENTS", 4)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        keys = [b"k%d" % n for n in range(60)]
        await write(own, partition, [[(key, b"x" * 300)] * 2 for key in keys + keys])
        before = await left_of(own, partition)
        size = (await own.log.bounds(partition)).size
        done = await clean_now(own, partition)
        assert done is not None
        after = await left_of(own, partition)
        seen = await check_compacted(own.store, partition)
        assert len(before) - done.records_read == len(after) - done.records_kept < 4
        assert size - (await own.log.bounds(partition)).size == done.bytes_before - done.bytes_after
        assert done.dirty_ratio == 1
        assert last_of(after) == last_of(before)
        assert len(seen.rows) <= 1 + 4 + 2, "rows are larger where there would be too many"


async def test_small_segments_are_read_many_at_a_time(redis_url: str, namespace: str) -> None:
    """And of the index no more than the rows that one round may concern."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, [[(b"%d" % (n % 300), b"x" * 700)] for n in range(900)])
        topic = await own.topics.get("t")
        calls = list[Any]()

        class Counting(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                calls.append(args[0])
                if args[0] == "ZRANGE":
                    assert args[3] == plan.rows_to_read() - 1 < 3 * plan.MOST_SEGMENTS
                return await call(*args, **kwargs)

        counting: Any = Counting(own.store)
        done = await upkeep(counting, topic, partition, force=True)
        assert done is not None
        assert (done.records_read, done.records_kept) == (899, 300)
        assert calls.count("XRANGE") < 10
        assert calls.count("ZRANGE") == 2
        await check_compacted(own.store, partition)


async def test_rows_of_the_index_far_behind_are_not_read(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How much there is to clean is known all the same."""
    monkeypatch.setattr(plan, "MOST_SEGMENTS", 4)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, [[(b"%d" % n, b"x" * 700)] for n in range(60)])
        size = (await own.log.bounds(partition)).size
        look = await look_at(own.store, partition, 0)
        segments = await segments_of(own.store, partition, plan.rows_to_read())
        intended = plan.plan(look, segments)
        assert len(segments) == plan.rows_to_read() < 20
        assert [segment.end for segment in intended.dirty] == [1, 2, 3, 4]
        assert (intended.reach, intended.dirty_bytes) == (59, size * 59 // 60)
        assert intended.ratio == 1


@pytest.mark.parametrize("room", [300, 3_000])
async def test_a_round_ends_where_there_is_room_for_no_more_keys(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """In the middle of a segment, too: then a row of the index ends there from then on."""
    monkeypatch.setattr(cleaning, "_MOST_BYTES", room)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(cleanup_policy="compact", segment_bytes=8_192)
        await write(own, partition, [[(b"%d" % (n % 40), b"x" * 300)] * 2 for n in range(60)])
        before = await left_of(own, partition)
        topic, boundaries = await own.topics.get("t"), list[int]()

        class Checking(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                answer = await call(*args, **kwargs)
                if getattr(args[0], "name", "") == "clean/finish":
                    seen = await check_compacted(own.store, partition)
                    boundaries.append(seen.number("boundary"))
                    assert last_of(await left_of(own, partition)) == last_of(before)
                return answer

        checking: Any = Checking(own.store)
        done = await upkeep(checking, topic, partition, force=True)
        assert done is not None
        assert len(boundaries) >= {300: 40, 3_000: 3}[room]
        assert boundaries == sorted(set(boundaries))
        assert boundaries[-1] == done.boundary
        kept = [r for r in await left_of(own, partition) if r.offset < done.boundary]
        assert len({record.key for record in kept}) == len(kept)


class History(NamedTuple):
    """What is written."""

    records: int
    """Of a batch."""
    size: int
    """Of a value."""
    keys: int
    partitions: int = 1


@pytest.mark.parametrize(
    "history",
    [History(60, 400, 300, 3), History(600, 4, 40_000), History(1, 300, 10**9)],
    ids=["large records", "tiny ones of many keys", "one in a batch"],
)
@pytest.mark.deadline(180)
async def test_memory_is_bounded(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, history: History
) -> None:
    """By how much may be remembered, and thereby by the dirty part of one partition."""
    monkeypatch.setattr(cleaning, "_MOST_BYTES", room := 2 << 20)
    async with engine(redis_url, namespace) as own:
        config = {"cleanup.policy": "compact", "segment.bytes": 1 << 20}
        topic = await own.topics.create("t", history.partitions, config)
        for partition in topic.partitions:
            await _fill(own, partition, history, 5 << 20)
        dirty = min([(await own.log.bounds(one)).size for one in topic.partitions]) - (1 << 20)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert (await sweep(own.store, own.topics)).cleaned == history.partitions
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < room + (3 << 19) < dirty


async def _fill(own: Engine, partition: Partition, history: History, size: int) -> None:
    """Write so many bytes."""
    numbers, value = itertools.count(), b"x" * history.size
    while size > 0:
        batches = [
            updates(
                *[(b"%x" % (next(numbers) % history.keys), value) for _ in range(history.records)]
            )
            for _ in range(max(1, 6_000 // history.records))
        ]
        await asyncio.gather(*(own.log.append(partition, batch) for batch in batches))
        size -= sum(map(len, batches))

"""Cleaners that come to an end at any step, and what they may take up while they work."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from typing import Any

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.engine.compaction import plan
from partstream.engine.compaction.cleaner import upkeep
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
from tests.engine.mortal import Cancelled, Heard, Killed, Mortal

SMALL: dict[str, Any] = {"cleanup_policy": "compact", "segment_bytes": 1_024}
HELD_MS = 5
"""Redis has other things to do."""


async def _history(own: Engine, name: str) -> Partition:
    """A partition with a cleaned part and a dirty one."""
    partition = await own.partition(name, **SMALL)
    for _ in range(2):
        await write(
            own,
            partition,
            [[(b"k%d" % ((n + i) % 5), b"x" * 90) for i in range(4)] for n in range(9)],
        )
        if name.endswith("cleaned"):
            await clean_now(own, partition)
    return partition


async def _is_whole(own: Engine, partition: Partition, values: dict[Any, Any]) -> None:
    assert last_of(await left_of(own, partition)) == values
    await clean_now(own, partition)
    await check_compacted(own.store, partition)
    assert last_of(await left_of(own, partition)) == values


@pytest.mark.parametrize("heard", [False, True])
async def test_it_may_be_killed_at_any_step(redis_url: str, namespace: str, heard: bool) -> None:
    async with engine(redis_url, namespace) as own:
        for calls in itertools.count(1):
            partition = await _history(own, f"t{calls}")
            values = last_of(await left_of(own, partition))
            topic = await own.topics.get(partition.topic)
            mortal: Any = Mortal(own.store, calls, heard=heard)
            try:
                await upkeep(mortal, topic, partition, force=True)
            except Killed:
                key = partition.keys.state
                if await own.store.execute("HEXISTS", key, "cleaner", key=key):
                    await own.store.execute("HSET", key, "cleaner_until", 0, key=key)
                await _is_whole(own, partition, values)
            else:
                break
        assert calls > 10, "it has more steps than that"


@pytest.mark.parametrize("heard", Heard)
async def test_one_that_is_cancelled_lets_the_next_one_begin_at_once(
    redis_url: str, namespace: str, heard: Heard
) -> None:
    async with engine(redis_url, namespace) as own:
        for calls in itertools.count(1):
            partition = await _history(own, f"t{calls}")
            values = last_of(await left_of(own, partition))
            topic = await own.topics.get(partition.topic)
            store: Any = Cancelled(own.store, calls, heard)
            work = asyncio.create_task(upkeep(store, topic, partition, force=True))
            await asyncio.wait([work])
            if not work.cancelled():
                assert await work is not None
                break
            await _is_whole(own, partition, values)
        assert calls > 10, "it has more steps than that"


@pytest.mark.faults
async def test_one_that_is_cancelled_does_not_wait_for_a_silent_server(
    fresh_server: Any, namespace: str
) -> None:
    async with engine(fresh_server.url, namespace) as own:
        partition = await _history(own, "t")
        topic = await own.topics.get("t")
        under_way = asyncio.Event()
        work = asyncio.create_task(
            upkeep(own.store, topic, partition, force=True, watcher=lambda _: under_way.set())
        )
        fresh_server.pause()
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait([work], timeout=10)
        assert work.cancelled()


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


async def test_memory_is_less_than_the_dirty_part_of_one_partition(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        config = {"cleanup.policy": "compact", "segment.bytes": 65_536}
        topic = await own.topics.create("t", 3, config)
        for partition in topic.partitions:
            for batch in range(200):
                pairs = [(b"k%d" % ((batch + i) % 300), b"x" * 400) for i in range(60)]
                await own.log.append(partition, updates(*pairs))
        dirty = min([(await own.log.bounds(one)).size for one in topic.partitions]) - 65_536
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert (await sweep(own.store, own.topics)).cleaned == 3
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < dirty / 2


@pytest.mark.every_server
@pytest.mark.parametrize(
    "history",
    [(60, 500, 100, 1_048_576), (24, 2, 450_000, 4_194_304), (2_400, 1, 300, 1_024)],
    ids=["batches of 60 KB", "of 900 KB", "small ones in small segments"],
)
async def test_redis_is_never_held_for_long(
    fresh_server: EmbeddedServer, namespace: str, history: tuple[int, int, int, int]
) -> None:
    """By the server's own clock. A busy machine may stop a server in a command, but not always."""
    batches, records, size, segment = history
    async with engine(fresh_server.url, namespace) as own:
        await own.store.execute("CONFIG", "SET", "slowlog-log-slower-than", 0, key="x")
        longest = []
        for attempt in range(10):
            config = {"cleanup_policy": "compact", "segment_bytes": segment}
            partition = await own.partition(f"t{attempt}", **config)
            for batch in range(batches):
                first = batch * records // 2
                pairs = [(b"k%d" % (first + i), b"x" * size) for i in range(records)]
                await own.log.append(partition, updates(*pairs))
            await own.store.execute("SLOWLOG", "RESET", key="x")
            await own.store.execute("CONFIG", "SET", "slowlog-max-len", 10_000, key="x")
            assert await clean_now(own, partition) is not None
            slow = await own.store.execute("SLOWLOG", "GET", -1, key="x")
            worst = max(slow, key=lambda entry: entry[2])
            longest.append((worst[2] / 1_000, worst[3][:3]))
            await own.topics.delete(partition.topic)
            if longest[-1][0] <= HELD_MS:
                return
        raise AssertionError(f"milliseconds, and for what: {longest}")

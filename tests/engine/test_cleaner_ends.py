"""Cleaners that come to an end at any step, or that something comes in between of; how long they
hold Redis."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from typing import Any

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.engine.compaction import pace
from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.partition import Partition
from partstream.model import CompactionProgress
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    last_of,
    left_of,
    streams,
    updates,
    write,
)
from tests.engine.logs import Engine, engine
from tests.engine.mortal import Cancelled, Heard, Killed, Mortal, Watched

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


async def test_a_watcher_that_fails_lets_the_next_one_begin_at_once(
    redis_url: str, namespace: str
) -> None:
    class Mine(Exception):
        pass

    def watch(_: CompactionProgress) -> None:
        raise Mine

    async with engine(redis_url, namespace) as own:
        partition = await own.partition(cleanup_policy="compact", segment_bytes=16_384)
        await write(own, partition, [[(b"%d" % n, b"x" * 20)] * 300 for n in range(60)])
        values = last_of(await left_of(own, partition))
        topic = await own.topics.get("t")
        with pytest.raises(Mine):
            await upkeep(own.store, topic, partition, force=True, watcher=watch)
        assert await clean_now(own, partition) is not None
        await _is_whole(own, partition, values)


@pytest.mark.parametrize("deleted", [54, 61])
async def test_a_log_that_is_cut_under_way_is_cleaned_all_the_same(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    """Between the last look at what was written and the swap; the lease is renewed at each step."""
    monkeypatch.setattr(pace, "_RENEW_S", 0.0)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(cleanup_policy="compact", segment_bytes=4_096)
        await write(own, partition, [[(b"%d" % (n % 40), b"x" * 300)] * 3 for n in range(60)])
        before = await left_of(own, partition)
        topic = await own.topics.get("t")
        cut = False

        class Cutting(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                nonlocal cut
                if getattr(args[0], "name", "") == "clean/swap" and not cut:
                    cut = True
                    await own.log.delete_records(partition, deleted)
                return await call(*args, **kwargs)

        store: Any = Cutting(own.store)
        done = await upkeep(store, topic, partition, force=True)
        assert cut
        assert done is not None
        seen = await check_compacted(own.store, partition)
        assert seen.number("boundary") == done.boundary
        newest = {r.key: r.offset for r in before if r.offset < done.boundary}
        assert [r.offset for r in await left_of(own, partition) if r.offset < done.boundary] == [
            offset for offset in sorted(newest.values()) if offset >= deleted
        ]


async def test_why_it_was_given_up_is_said(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, [[(b"%d" % n, b"x" * 300)] * 4 for n in range(20)])
        topic = await own.topics.get("t")

        class Deleting(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                if args[0] == "HSCAN":
                    await own.log.delete_records(partition, 50)
                return await call(*args, **kwargs)

        store: Any = Deleting(own.store)
        with caplog.at_level(logging.INFO, "partstream"):
            assert await upkeep(store, topic, partition, force=True) is None
        assert "cleaning t-0 was given up: records were deleted" in caplog.text
        await clean_now(own, partition)
        await check_compacted(own.store, partition)


@pytest.mark.parametrize("lost", ["clean/swap", "clean/trim", "clean/empty"])
async def test_what_a_failover_takes_back_is_not_left_behind(
    redis_url: str, namespace: str, lost: str
) -> None:
    """A step was answered, and is not there: who took over had not heard of it."""
    async with engine(redis_url, namespace) as own:
        partition = await _history(own, "t-cleaned")
        await write(own, partition, [[(b"k1", b"x" * 600)] for _ in range(9)])
        values = last_of(await left_of(own, partition))
        topic, heard = await own.topics.get(partition.topic), list[str]()

        class Forgetful(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                heard.append(getattr(args[0], "name", ""))
                # The spare stream is also emptied before anything is written to it.
                if heard[-1] == lost and heard.count(lost) == 1 + (lost == "clean/empty"):
                    return 0 if lost == "clean/empty" else 1
                return await call(*args, **kwargs)

        forgetful: Any = Forgetful(own.store)
        assert await upkeep(forgetful, topic, partition, force=True) is not None
        assert heard.count("clean/finish") == 2
        await check_compacted(own.store, partition)
        await _is_whole(own, partition, values)


async def test_what_a_dead_one_leaves_is_cleared_in_steps_and_not_read(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(cleanup_policy="compact", segment_bytes=65_536)
        await write(own, partition, [[(b"k%d" % (n % 9), b"x" * 40)] for n in range(1_500)])
        topic = await own.topics.get("t")

        class Dying(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                if getattr(args[0], "name", "") == "clean/trim":
                    raise Killed
                return await call(*args, **kwargs)

        dying: Any = Dying(own.store)
        with pytest.raises(Killed):
            await upkeep(dying, topic, partition, force=True)
        assert len((await streams(own.store, partition)).log) == 1_500
        calls = list[str]()

        class Clearing(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                answer = await call(*args, **kwargs)
                name = getattr(args[0], "name", args[0])
                calls.append(name)
                assert name != "clean/trim" or answer <= 100
                return answer

        clearing: Any = Clearing(own.store)
        await upkeep(clearing, topic, partition, force=True)
        await check_compacted(own.store, partition)
        assert calls.count("clean/trim") > 5
        assert "XRANGE" not in calls


@pytest.mark.every_server
@pytest.mark.parametrize(
    "history",
    [(60, 500, 100, 1_048_576), (24, 2, 450_000, 4_194_304), (2_400, 1, 300, 1_024)],
    ids=["batches of 60 KB", "of 900 KB", "small ones in small segments"],
)
async def test_redis_is_never_held_for_long(
    fresh_server: EmbeddedServer, namespace: str, history: tuple[int, int, int, int]
) -> None:
    """By the server's own clock. A busy machine may stop a server in any command: of each, which
    has the same to do at every attempt, the shortest time counts.
    """
    batches, records, size, segment = history
    async with engine(fresh_server.url, namespace) as own:
        settings = ("slowlog-max-len", 10_000, "slowlog-log-slower-than", -1)
        await own.store.execute("CONFIG", "SET", *settings, key="x")
        shortest: dict[tuple[bytes, int], float] = {}
        for attempt in range(10):
            config = {"cleanup_policy": "compact", "segment_bytes": segment}
            partition = await own.partition(f"t{attempt}", **config)
            for batch in range(batches):
                first = batch * records // 2
                pairs = [(b"k%d" % (first + i), b"x" * size) for i in range(records)]
                await own.log.append(partition, updates(*pairs))
            # Not the appends: to free so many lines takes a server some 40 ms, in the next command.
            await own.store.execute("CONFIG", "SET", "slowlog-log-slower-than", 0, key="x")
            assert await clean_now(own, partition) is not None
            await own.store.execute("CONFIG", "SET", "slowlog-log-slower-than", -1, key="x")
            for place, took_ms in (await _commands(own)).items():
                shortest[place] = min(took_ms, shortest.get(place, took_ms))
            await own.topics.delete(partition.topic)
            if max(shortest.values()) <= HELD_MS:
                return
        raise AssertionError(
            f"milliseconds: {sorted(shortest.items(), key=lambda one: -one[1])[:5]}"
        )


async def _commands(own: Engine) -> dict[tuple[bytes, int], float]:
    """How long each took since the last call, ms, by its name and how many of that came before."""
    slow = await own.store.execute("SLOWLOG", "GET", -1, key="x")
    await own.store.execute("SLOWLOG", "RESET", key="x")
    seen, took = Counter[bytes](), {}
    for _, _, micros, words, *_ in reversed(slow):
        if words[0] != b"SCRIPT":  # the server has to learn each of them once
            name = words[1] if words[0] == b"EVALSHA" else words[0]
            took[name, seen[name]] = micros / 1_000
            seen[name] += 1
    return took

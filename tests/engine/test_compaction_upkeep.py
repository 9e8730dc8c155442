"""When compacted partitions are cleaned, by whom, and what an operator changes under way."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from partstream.config.common import INT64_MAX
from partstream.engine.compaction import state
from partstream.engine.compaction.cleaner import compact, upkeep
from partstream.engine.compaction.output import NOBODY, trim
from partstream.engine.compaction.plan import plan
from partstream.engine.compaction.state import earliest_dirty, look_at, segments_of
from partstream.engine.partition import Partition
from partstream.engine.retention import Sweeper, sweep
from partstream.engine.times import offset_of_latest
from partstream.errors import CorruptRecord
from partstream.metrics.hooks import Observer
from partstream.model import Compacted
from partstream.records.checksum import crc32c
from tests.engine.compacting import check_compacted, clean_now, left_of, streams, updates
from tests.engine.logs import Engine, engine, inside, replace
from tests.engine.mortal import Watched
from tests.waiting import until

SMALL: dict[str, Any] = {"cleanup_policy": "compact", "segment_bytes": 1_024}


async def _write(own: Engine, partition: Partition, batches: int, *, age_ms: int = 0) -> None:
    at = await own.topics.now_ms() - age_ms
    for number in range(batches):
        pairs = [(b"k%d" % key, b"%d" % number + b"x" * 90) for key in range(4)]
        await own.log.append(partition, updates(*pairs, at=at))


async def test_it_waits_until_enough_is_dirty(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL, min_cleanable_dirty_ratio=0.9)
        await _write(own, partition, 8)
        assert (await sweep(own.store, own.topics)).cleaned == 1
        await _write(own, partition, 4)
        assert (await sweep(own.store, own.topics)).cleaned == 0, "most of it is clean"
        await own.topics.alter("t", {"min.cleanable.dirty.ratio": 0.1})
        assert (await sweep(own.store, own.topics)).cleaned == 1
        assert (await sweep(own.store, own.topics)).cleaned == 0


async def test_young_records_are_left_alone(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL, min_compaction_lag_ms=3_600_000)
        await _write(own, partition, 6, age_ms=7_200_000)
        await _write(own, partition, 6)
        done = await clean_now(own, partition)
        assert done is not None
        assert 0 < done.boundary <= 24
        left = await left_of(own, partition)
        assert [record.offset for record in left][-24:] == list(range(24, 48))


@pytest.mark.parametrize("younger", [False, True])
async def test_old_records_wait_for_younger_ones_that_are_gone(
    redis_url: str, namespace: str, younger: bool
) -> None:
    """Not as in Kafka: rows of the index know the largest timestamp up to them, and no other."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            cleanup_policy="compact,delete", segment_bytes=1_024, min_compaction_lag_ms=3_600_000
        )
        await _write(own, partition, 4, age_ms=0 if younger else 10_800_000)
        await _write(own, partition, 1, age_ms=7_200_000)
        assert await own.log.delete_records(partition, 16) == 16
        await _write(own, partition, 8, age_ms=7_200_000)
        assert (await clean_now(own, partition) is None) == younger
        await own.topics.alter("t", {"min.compaction.lag.ms": 0})
        if younger:
            assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)


async def test_records_do_not_wait_for_ever(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            **SMALL, min_cleanable_dirty_ratio=1, max_compaction_lag_ms=3_600_000
        )
        await _write(own, partition, 6)
        assert (await sweep(own.store, own.topics)).cleaned == 0
        await own.topics.alter("t", {"max.compaction.lag.ms": 1})
        assert (await sweep(own.store, own.topics)).cleaned == 1
        # The segment being written was old, too, and was ended for it.
        seen = await check_compacted(own.store, partition)
        assert seen.number("boundary") == 24
        assert len(await left_of(own, partition)) == 4


@pytest.mark.parametrize(
    ("ages_h", "due"),
    [
        ((0, 0, 0), False),
        ((0, 2, 0), True),
        ((0, 0, 2), False),
        ((None, 0, 0), False),
        ((None, 2, 0), True),
    ],
    ids=["young", "old in a later one", "in that being written", "undated", "undated and old"],
)
async def test_the_oldest_segment_counts(
    redis_url: str, namespace: str, ages_h: tuple[int | None, ...], due: bool
) -> None:
    """Not only the first one; and a batch without a timestamp says nothing."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            **SMALL,
            min_cleanable_dirty_ratio=1,
            max_compaction_lag_ms=3_600_000,
            message_timestamp_before_max_ms=INT64_MAX,
        )
        now = await own.topics.now_ms()
        for age in ages_h:
            at = now - 3_600_000 * (age or 0)
            sent = bytearray(updates(*[(b"k%d" % n, b"x" * 300) for n in range(3)], at=at))
            if age is None:
                sent[27:43] = b"\xff" * 16
                sent[17:21] = crc32c(bytes(sent[21:])).to_bytes(4, "big")
            await own.log.append(partition, bytes(sent))
        assert (await sweep(own.store, own.topics)).cleaned == due


async def test_many_segments_are_looked_at_for_the_oldest(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_FIRSTS_A_CALL", 3)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            **SMALL, min_cleanable_dirty_ratio=1, max_compaction_lag_ms=3_600_000
        )
        topic = await own.topics.get("t")
        now = await own.topics.now_ms()
        for number in range(11):
            pairs = [(b"k%d" % n, b"x" * 300) for n in range(3)]
            await own.log.append(partition, updates(*pairs, at=now - number))
        look = await look_at(own.store, partition, 0)
        intended = plan(look, await segments_of(own.store, partition, 100))
        earliest = await earliest_dirty(own.store, partition, intended, look, topic.config)
        assert earliest == now - 9 + 2


@pytest.mark.every_server
async def test_policies_change_on_a_live_topic(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            segment_bytes=1_024, min_cleanable_dirty_ratio=0, retention_bytes=-1
        )
        await _write(own, partition, 8)
        await own.topics.alter("t", {"cleanup.policy": "compact"})
        assert (await sweep(own.store, own.topics)).cleaned == 1
        size = (await own.log.bounds(partition)).size
        await own.topics.alter("t", {"cleanup.policy": "delete"})
        await _write(own, partition, 8)
        assert (await sweep(own.store, own.topics)).cleaned == 0
        assert (await own.log.bounds(partition)).size > size
        await own.topics.alter("t", {"retention.bytes": 2_000})
        await sweep(own.store, own.topics)
        bounds = await own.log.bounds(partition)
        assert bounds.start > 0
        assert bounds.size < 3_100
        await own.topics.alter("t", {"cleanup.policy": "compact,delete"})
        for _ in range(5):
            await _write(own, partition, 8)
            await sweep(own.store, own.topics)
            assert (await own.log.bounds(partition)).size < 3_100
            await check_compacted(own.store, partition)


async def test_what_a_trim_may_drop_is_read_from_the_state(redis_url: str, namespace: str) -> None:
    """A failover may have taken the swap back by which the entries were in two places."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await _write(own, partition, 8)
        gone = [await trim(own.store, partition, NOBODY, offset) for offset in (20, None)]
        assert gone == [0, 0]
        assert len((await inside(own.store, partition)).entries) == 8


async def test_a_batch_that_cannot_be_read_stops_it(redis_url: str, namespace: str) -> None:
    told: list[tuple[str, int, str]] = []

    class Listening(Observer):
        def cleaning_failed(self, topic: str, partition: int, error: str) -> None:
            told.append((topic, partition, error))

    async with engine(redis_url, namespace, observer=Listening()) as own:
        partition = await own.partition(**SMALL)
        bad = bytearray(updates((b"a", b"b" * 99)))
        bad[61] ^= 0x5A
        await own.log.append(partition, bytes(bad))
        await _write(own, partition, 8)
        before = await streams(own.store, partition)
        with pytest.raises(CorruptRecord, match=r"t-0 cannot be cleaned.*offset 0"):
            await clean_now(own, partition)
        assert told == [("t", 0, "CorruptRecord")]
        assert await streams(own.store, partition) == before
        await sweep(own.store, own.topics)
        await own.log.delete_records(partition, 1)
        assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)


async def test_the_latest_record_may_be_gone(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        now = await own.topics.now_ms()
        await own.log.append(partition, updates((b"k0", b"old"), at=now + 60_000))
        await _write(own, partition, 8)
        assert await clean_now(own, partition) is not None
        left = await left_of(own, partition)
        latest = max(record.timestamp for record in left)
        found = await offset_of_latest(own.store, partition)
        assert found is not None
        assert found.timestamp == latest < now + 60_000
        assert found.offset == next(r.offset for r in left if r.timestamp == latest)


async def test_only_one_cleans_at_a_time(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await _write(own, partition, 8)
        key = partition.keys.state
        until = await own.topics.now_ms() + 60_000
        await own.store.execute("HSET", key, "cleaner", "somebody", "cleaner_until", until, key=key)
        assert await clean_now(own, partition) is None
        await own.store.execute("HSET", key, "cleaner_until", 0, key=key)
        topic = await own.topics.get("t")
        assert await upkeep(own.store, topic, partition, force=True) is not None
        await check_compacted(own.store, partition)


async def test_who_cleans_on_demand_waits_for_others(redis_url: str, namespace: str) -> None:
    """For one that has died as long as its lease lasts, and meanwhile the others are cleaned."""
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create(
            "t", 2, {"cleanup.policy": "compact", "segment.bytes": 1024}
        )
        for partition in topic.partitions:
            await _write(own, partition, 8)
        key = topic.partitions[0].keys.state
        until_ms = await own.topics.now_ms() + 400
        await own.store.execute(
            "HSET", key, "cleaner", "somebody", "cleaner_until", until_ms, key=key
        )
        steps = list[tuple[int, str]]()
        done = await compact(own.store, topic, lambda n, at: steps.append((n, at.step)))
        assert await own.topics.now_ms() >= until_ms
        for partition in topic.partitions:
            row = done[partition.index]
            assert row is not None
            assert (row.by_another, row.records_kept) == (False, 4)
            await check_compacted(own.store, partition)
        assert (0, "waiting") in steps
        assert (1, "waiting") not in steps
        assert await compact(own.store, topic, None) == {0: None, 1: None}


async def test_what_another_one_cleans_meanwhile_is_said(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await _write(own, partition, 8)
        topic = await own.topics.get("t")
        waits, goes = asyncio.Event(), asyncio.Event()

        class Slow(Watched):
            async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                if args[0] == "HSCAN":
                    waits.set()
                    await goes.wait()
                return await call(*args, **kwargs)

        slow: Any = Slow(own.store)
        other = asyncio.create_task(upkeep(slow, topic, partition, force=True))
        await waits.wait()
        done = await compact(own.store, topic, lambda *_: goes.set())
        by_other = await other
        assert by_other is not None
        size = by_other.bytes_after
        assert done == {0: Compacted(by_other.boundary, 0, 0, size, size, 0.0, by_another=True)}


async def test_what_is_known_of_a_partition_is_forgotten_with_the_lease(
    redis_url: str, namespace: str
) -> None:
    told = list[Any]()

    class Listening(Observer):
        def dirty_known(self, topic: str, partition: int, ratio: float) -> None:
            told.append((topic, partition))

        def looks_after(self, partitions: Collection[tuple[str, int]]) -> None:
            told.append(set(partitions))

    async with engine(redis_url, namespace, observer=Listening()) as own:
        await own.partition(**SMALL)
        await own.partition("plain")
        sweeper = Sweeper(own.store, own.topics, interval_ms=20)
        sweeper.start()
        await until(lambda: told)
        assert told[:2] == [("t", 0), {("t", 0)}]
        await own.store.execute("SET", own.store.keys.meta.sweep, "another", key="x")
        await until(lambda: told[-1] == set())
        await own.store.execute("DEL", own.store.keys.meta.sweep, key="x")
        await until(lambda: told[-1] == {("t", 0)})
        await sweeper.close()
        assert told[-1] == set()


async def test_who_measures_hears_which_topics_are_gone(redis_url: str, namespace: str) -> None:
    """Whether it sweeps or another client does; topics that come and go are asked for then only."""
    told = list[set[tuple[str, int]]]()

    class Listening(Observer):
        def compacted_known(self, partitions: Collection[tuple[str, int]]) -> None:
            told.append(set(partitions))

    async with engine(redis_url, namespace, observer=Listening()) as own:
        await own.partition(**SMALL)
        await own.partition("other", **SMALL)
        await own.partition("plain")
        lease = own.store.keys.meta.sweep
        sweeper = Sweeper(own.store, own.topics, interval_ms=20)
        sweeper.start()
        await until(lambda: told)
        assert told[-1] == {("t", 0), ("other", 0)}
        await own.topics.delete("other")
        await until(lambda: told[-1] == {("t", 0)})

        await own.store.execute("SET", lease, "another", key="x")
        heard = own.topics.generation
        await own.topics.delete("t")
        await until(lambda: told[-1] == set())
        await until(lambda: own.topics.generation >= heard + 2)  # its own bell comes later
        execute, asked = own.store.execute, list[Any]()

        async def noting(*command: Any, **options: Any) -> Any:
            asked.append(command[0])
            return await execute(*command, **options)

        run, rounds = own.store.run, list[str]()

        async def counting(script: Any, *args: Any, **options: Any) -> Any:
            rounds.append(script.name)
            return await run(script, *args, **options)

        replace(own.store, "run", counting)
        await until(lambda: len(rounds) >= 2)
        replace(own.store, "execute", noting)
        rounds.clear()
        await until(lambda: len(rounds) >= 3)
        assert set(rounds) == {"store/lease"}
        assert asked == []
        await sweeper.close()


@pytest.mark.parametrize("records", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.deadline(180)
async def test_memory_is_that_of_the_last_values(
    redis_url: str, namespace: str, records: int
) -> None:
    """All keys of the partition count, the segment being written too."""
    keys, size = 10_000, 500
    async with engine(redis_url, namespace) as own:
        config = {"segment_bytes": 65_536, "retention_bytes": -1}
        alone = await own.partition("alone", **config)
        for first in range(0, keys, size):
            numbers = range(first, first + size)
            await own.log.append(alone, updates(*((b"k%d" % n, b"x" * 100) for n in numbers)))
        partition = await own.partition("t", cleanup_policy="compact", **config)
        for first in range(0, records, size):
            pairs = [(b"k%d" % (n * 7_919 % keys), b"x" * 100) for n in range(first, first + size)]
            await own.log.append(partition, updates(*pairs))
        assert await clean_now(own, partition) is not None
        assert await _memory(own, partition) < 1.3 * await _memory(own, alone)


async def _memory(own: Engine, partition: Partition) -> int:
    used = 0
    for key in (*partition.keys.all, *partition.keys.clean):
        used += await own.store.execute("MEMORY", "USAGE", key, "SAMPLES", 0, key=key) or 0
    return used

"""Retention: whole segments go, by size with the appends, by time with whoever sweeps."""

from __future__ import annotations

import asyncio
import json

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.engine.partition import Partition
from partstream.engine.retention import Sweeper, sweep
from partstream.engine.times import offset_for_time
from partstream.errors import StoreOutOfMemory
from partstream.records.checksum import crc32c
from tests.engine.logs import Engine, batch, check, engine, inside, read, replace
from tests.waiting import until

pytestmark = pytest.mark.every_server

LONG_AGO = 100_000_000
"""Older than any retention.ms in these tests."""


async def _append(own: Engine, partition: Partition, *ages_ms: int, size: int = 300) -> None:
    now = await own.topics.now_ms()
    for age in ages_ms:
        await own.log.append(partition, batch(size, at=now - age))


async def test_a_segment_ends_when_the_next_batch_does_not_fit(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        one = len(batch(300))
        partition = await own.partition(segment_bytes=3 * one)
        await _append(own, partition, *[0] * 10)
        seen = await check(own.store, partition)
        assert [row.end for row in seen.rows] == [0, 3, 6, 9]
        await own.log.append(partition, batch(9_000))
        await _append(own, partition, 0)
        seen = await check(own.store, partition)
        assert [row.end for row in seen.rows] == [0, 3, 6, 9, 10, 11]


async def test_a_segment_ends_after_segment_ms(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_ms=60_000)
        await _append(own, partition, 0, 0)
        key = partition.keys.state
        began = (await inside(own.store, partition)).number("segment_time")
        await own.store.execute("HSET", key, "segment_time", began - 60_001, key=key)
        await _append(own, partition, 0)
        assert [row.end for row in (await check(own.store, partition)).rows] == [0, 2]


def _undated(plain: bytes) -> bytes:
    """The batch without timestamps, as some clients send it."""
    undated = bytearray(plain)
    undated[27:43] = b"\xff" * 16
    undated[17:21] = crc32c(bytes(undated[21:])).to_bytes(4, "big")
    return bytes(undated)


async def test_records_without_a_timestamp_age_from_when_they_came(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        one = _undated(batch(300))
        partition = await own.partition(segment_bytes=3 * len(one), retention_ms=60_000)
        for _ in range(7):
            await own.log.append(partition, one)
        await sweep(own.store, own.topics)
        assert len(await read(own.store, partition)) == 7

        key = partition.keys.index
        for row in (await inside(own.store, partition)).rows[1:]:  # a minute and more goes by
            member = f"{row.end:020d}:{row.size}:{row.largest}"
            await own.store.execute("ZINCRBY", key, -60_001, member, key=key)
        await sweep(own.store, own.topics)
        assert [record.offset for record in await read(own.store, partition)] == [6]


async def test_size_is_kept_by_the_appends_themselves(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        one = len(batch(300))
        partition = await own.partition(segment_bytes=4 * one, retention_bytes=10 * one)
        for _ in range(60):
            await _append(own, partition, 0)
            size = (await own.log.bounds(partition)).size
            # As Kafka: a segment goes when what is left without it is still retention.bytes.
            assert size < 14 * one
        assert size >= 10 * one
        seen = await check(own.store, partition)
        assert seen.number("start") % 4 == 0
        records = await read(own.store, partition, seen.number("start"))
        assert [record.offset for record in records] == list(range(seen.number("start"), 60))


async def test_a_smaller_limit_is_reached_in_steps(redis_url: str, namespace: str) -> None:
    """One append does a bounded amount of work, a sweep does all."""
    async with engine(redis_url, namespace) as own:
        one = len(batch(300))
        partition = await own.partition(segment_bytes=2 * one - 1 + 1024, retention_bytes=-1)
        await _append(own, partition, *[0] * 100)
        rows = len((await check(own.store, partition)).rows)
        await own.topics.alter("t", {"retention.bytes": 10 * one})
        await _append(own, partition, 0)
        assert rows - len((await check(own.store, partition)).rows) in (1, 2)
        swept = await sweep(own.store, own.topics)
        assert swept.segments > 5
        seen = await check(own.store, partition)
        size = (await own.log.bounds(partition)).size
        assert 10 * one <= size < 10 * one + seen.rows[1].size - seen.rows[0].size


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_bytes_at_all_and_no_limit(redis_url: str, namespace: str, limit: int) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024, retention_bytes=limit)
        await _append(own, partition, *[0] * 20)
        await sweep(own.store, own.topics)
        seen = await check(own.store, partition)
        assert len(seen.entries) == (0 if limit == 0 else 20)
        assert (await own.log.bounds(partition)).end == 20


async def test_time_is_kept_by_whoever_comes_back(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024, retention_ms=60_000)
        await _append(own, partition, *[LONG_AGO] * 20, *[1_000] * 5)
    async with engine(redis_url, namespace) as own:
        assert (await own.log.bounds(partition)).start == 0
        swept = await sweep(own.store, own.topics)
        seen = await check(own.store, partition)
        # The segment in which old and young meet stays whole.
        assert 15 < seen.number("start") <= 20
        assert swept.segments >= 5
        assert (await sweep(own.store, own.topics)).segments == 0


async def test_the_segment_being_written_ages_too(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(retention_ms=60_000)
        await _append(own, partition, *[LONG_AGO] * 3)
        await sweep(own.store, own.topics)
        assert (await check(own.store, partition)).entries == []
        assert (await own.log.bounds(partition))[:2] == (3, 3)
        await _append(own, partition, 0)
        records = await read(own.store, partition, 3)
        assert [record.offset for record in records] == [3]
        await check(own.store, partition)


async def test_one_young_record_keeps_its_segment(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(retention_ms=60_000)
        await _append(own, partition, 0, LONG_AGO, LONG_AGO)
        await sweep(own.store, own.topics)
        assert len((await check(own.store, partition)).entries) == 3


async def test_time_without_limit(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024, retention_ms=-1)
        await _append(own, partition, *[LONG_AGO] * 10)
        assert (await sweep(own.store, own.topics)).segments == 0
        assert len((await check(own.store, partition)).entries) == 10


async def test_a_record_of_the_far_future_counts_until_it_is_deleted(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            segment_bytes=1_024, retention_ms=60_000, message_timestamp_after_max_ms=10**15
        )
        await _append(own, partition, -(10**14), *[LONG_AGO] * 10)
        await sweep(own.store, own.topics)
        assert len((await check(own.store, partition)).entries) == 11
        await own.log.delete_records(partition, -1)
        await _append(own, partition, *[LONG_AGO] * 10)
        await sweep(own.store, own.topics)
        assert (await check(own.store, partition)).entries == []


async def test_times_are_found_after_segments_went(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        one = len(batch(300))
        partition = await own.partition(segment_bytes=4 * one, retention_bytes=8 * one)
        now = await own.topics.now_ms()
        for number in range(40):
            await own.log.append(partition, batch(300, at=now + number))
        start = (await own.log.bounds(partition)).start
        assert start > 20
        for number in range(40):
            found = await offset_for_time(own.store, partition, now + number)
            assert found is not None
            assert found.offset == max(start, number)


async def test_one_client_sweeps_at_a_time(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        partition = await own.partition(retention_ms=1_000)
        await _append(own, partition, LONG_AGO)
        swept: list[str] = []

        async def first() -> int:
            swept.append("first")
            return 0

        async def second() -> int:
            swept.append("second")
            return 0

        one = Sweeper(own.store, own.topics, interval_ms=40, expire_offsets=first)
        two = Sweeper(other.store, other.topics, interval_ms=40, expire_offsets=second)
        one.start()
        await until(lambda: len(swept) >= 2)
        two.start()
        await until(lambda: len(swept) >= 5)
        assert set(swept) == {"first"}
        assert (await own.log.bounds(partition)).start == 1
        await one.close()
        await until(lambda: "second" in swept)
        await two.close()
        left = await own.store.execute(
            "GET", own.store.keys.meta.sweep, key=own.store.keys.meta.sweep
        )
        assert left is None


async def test_a_sweep_gives_partitions_the_configs_that_a_crash_kept_from_them(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create("t", 2, {"retention.bytes": 1_000})
        crashed = asyncio.CancelledError("the client died")

        async def die(_: object) -> None:
            raise crashed

        replace(own.topics, "configure", die)
        with pytest.raises(asyncio.CancelledError):
            await own.topics.alter("t", {"retention.bytes": 2_000})
        del own.topics.configure
        for partition in topic.partitions:
            assert (await inside(own.store, partition)).state["retention_bytes"] == "1000"
        await sweep(own.store, own.topics)
        for partition in topic.partitions:
            assert (await inside(own.store, partition)).state["retention_bytes"] == "2000"


async def test_a_sweep_leaves_what_is_broken_and_goes_on(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        broken = await own.partition("a", retention_ms=1_000)
        sound = await own.partition("b", retention_ms=1_000)
        for partition in (broken, sound):
            await _append(own, partition, LONG_AGO)
        await own.store.execute("SET", broken.keys.log, "mine", key=broken.keys.log)
        swept = await sweep(own.store, own.topics)
        assert swept.partitions == 1
        assert (await check(own.store, sound)).entries == []


async def test_a_full_server_can_free_itself(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition(segment_bytes=100_000, retention_ms=60_000)
        other = await own.partition("other", retention_bytes=300_000, segment_bytes=100_000)
        await _append(own, partition, *[LONG_AGO] * 30, size=50_000)
        await _append(own, other, *[0] * 6, size=50_000)
        used = int(fresh_server.info("memory")["used_memory"])
        fresh_server.command("CONFIG", "SET", "maxmemory", used - 500_000)
        with pytest.raises(StoreOutOfMemory):
            await _append(own, partition, 0)
        await check(own.store, partition)
        assert (await own.log.delete_records(other, 3)) == 3
        assert (await sweep(own.store, own.topics)).segments >= 10
        await check(own.store, partition)
        await _append(own, partition, 0)
        await own.topics.alter("t", {"retention.ms": 120_000})
        fresh_server.command("CONFIG", "SET", "maxmemory", 1)
        await own.topics.delete("t")
        pending = await own.store.execute(
            "HVALS", own.store.keys.meta.pending, key=own.store.keys.meta.pending
        )
        assert [json.loads(note) for note in pending if note] == []

"""The log of a partition: what was appended comes back, dense, in order, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from partstream.engine.log import ANY
from partstream.engine.reading import Cursor, fetch
from partstream.engine.times import offset_for_time
from partstream.errors import (
    ForeignKey,
    InvalidTimestamp,
    OffsetOutOfRange,
    RecordTooLarge,
    UnknownServerError,
    UnknownTopicId,
)
from tests.engine.logs import (
    Producer,
    batch,
    check,
    engine,
    inside,
    read,
    replace,
    stored_from,
)

pytestmark = pytest.mark.every_server


async def test_offsets_are_dense_and_records_in_order(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        assert await read(own.store, partition) == []
        bases = [
            (await own.log.append(partition, batch(*values))).base_offset
            for values in ([b"a"], [b"b", b"c", b"d"], [b"e", b"f"])
        ]
        assert bases == [0, 1, 4]
        records = await read(own.store, partition)
        assert [record.offset for record in records] == list(range(6))
        assert [record.value for record in records] == [b"a", b"b", b"c", b"d", b"e", b"f"]
        assert (await own.log.bounds(partition))[:2] == (0, 6)
        await check(own.store, partition)


async def test_an_entry_is_named_by_its_end_and_epoch(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", b"b"))
        await own.store.execute(
            "HSET", partition.keys.state, "token", "another", key=partition.keys.state
        )
        answer = await own.log.append(partition, batch(b"c"))
        seen = await check(own.store, partition)
        assert [entry[:2] for entry in seen.entries] == [(2, 0), (3, answer.leader_epoch)]
        assert answer.leader_epoch > 0


async def test_a_batch_is_read_from_any_offset_in_it(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for first in range(0, 12, 4):
            await own.log.append(partition, batch(*(b"%d" % (first + i) for i in range(4))))
        for offset in range(13):
            records = await read(own.store, partition, offset)
            assert [record.value for record in records] == [b"%d" % i for i in range(offset, 12)]
        (whole, _, _) = await stored_from(own.store, partition, 2)
        assert (whole.base_offset, whole.next_offset) == (0, 4)


async def test_a_fetch_stays_within_its_budget(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for _ in range(40):
            await own.log.append(partition, batch(1_000))
        cursor = Cursor(partition, 0)
        sizes = []
        while True:
            fetched = await fetch(own.store, cursor, 5_500)
            if not fetched.batches:
                break
            sizes.append(sum(len(stored.payload) for stored in fetched.batches))
            cursor.offset = fetched.batches[-1].next_offset
        assert max(sizes) <= 5_500
        # Once the size of the entries is known the budget is used, not one entry a time.
        assert sizes[1:-1]
        assert min(sizes[1:-1]) > 4_000


async def test_an_entry_larger_than_the_budget_comes_alone(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for _ in range(3):
            await own.log.append(partition, batch(50_000))
        cursor = Cursor(partition, 0)
        for expected in (1, 2, 3):
            fetched = await fetch(own.store, cursor, 100)
            assert [stored.next_offset for stored in fetched.batches] == [expected]
            cursor.offset = expected


@pytest.mark.parametrize("seen_first", [False, True])
async def test_large_entries_after_small_ones_make_no_giant_answer(
    redis_url: str, namespace: str, seen_first: bool
) -> None:
    """Also if whole segments of them came between two fetches of the same reader."""
    budget = 200_000
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=150_500)
        cursor = Cursor(partition, 0)
        for _ in range(20):
            await own.log.append(partition, batch(10))
        if seen_first:
            for _ in range(2):
                fetched = await fetch(own.store, cursor, budget)
                cursor.offset = fetched.batches[-1].next_offset
        for _ in range(12):
            await own.log.append(partition, batch(150_000))
        for _ in range(20):
            await own.log.append(partition, batch(10))
        while cursor.offset < 52:
            fetched = await fetch(own.store, cursor, budget)
            assert fetched.batches
            assert sum(len(stored.payload) for stored in fetched.batches) <= budget
            cursor.offset = fetched.batches[-1].next_offset


async def test_a_first_fetch_knows_no_size_and_asks_for_one(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(max_message_bytes=8_000_000, segment_bytes=2**31 - 1)
        for _ in range(3):
            await own.log.append(partition, batch(3_000_000))
        fetched = await fetch(own.store, Cursor(partition, 0), 5_000_000)
        assert len(fetched.batches) == 1


async def test_a_fetch_tells_start_end_and_epoch(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for _ in range(4):
            await own.log.append(partition, batch(b"a", b"b"))
        await own.log.delete_records(partition, 3)
        fetched = await fetch(own.store, Cursor(partition, 8), 1_000)
        assert (fetched.batches, fetched.log_start, fetched.log_end) == ([], 3, 8)
        below = await fetch(own.store, Cursor(partition, 0), 1_000)
        assert (below.batches[0].base_offset, below.log_start) == (2, 3)


async def test_the_log_stamps_what_it_is_told_to(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(message_timestamp_type="LogAppendTime")
        before = await own.topics.now_ms()
        answer = await own.log.append(partition, batch(b"a", b"b", at=5))
        after = await own.topics.now_ms()
        assert before <= answer.append_time <= after
        records = await read(own.store, partition)
        assert [(r.timestamp, r.timestamp_type) for r in records] == [(answer.append_time, 1)] * 2
        found = await offset_for_time(own.store, partition, before)
        assert found is not None
        assert (found.offset, found.timestamp) == (0, answer.append_time)
        assert await offset_for_time(own.store, partition, after + 1) is None


async def test_timestamps_out_of_bounds_are_refused(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            message_timestamp_before_max_ms=60_000, message_timestamp_after_max_ms=10_000
        )
        now = await own.topics.now_ms()
        await own.log.append(partition, batch(b"a", at=now - 50_000))
        await own.log.append(partition, batch(b"a", at=now + 9_000))
        for at, step, name in (
            (now + 11_500, 0, "after"),
            (now, 12_000, "after"),  # the last one of the batch
            (now - 60_500, 0, "before"),
            (now - 60_500, 60_500, "before"),  # the first one of the batch
        ):
            with pytest.raises(InvalidTimestamp, match=rf"message\.timestamp\.{name}\.max\.ms"):
                await own.log.append(partition, batch(b"a", b"b", at=at, step=step))
        assert (await own.log.bounds(partition)).end == 2
        await own.topics.alter("t", {"message.timestamp.type": "LogAppendTime"})
        await own.log.append(partition, batch(b"a", at=5))


async def test_the_oldest_timestamp_counts_if_it_is_told(redis_url: str, namespace: str) -> None:
    """The header of a batch does not have it; whoever made the batch may know it."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(message_timestamp_before_max_ms=60_000)
        now = await own.topics.now_ms()
        whole = batch(b"a", b"b", at=now)
        answer = own.log.submit(partition, whole, ANY, oldest=now - 60_500)
        assert answer is not None
        await asyncio.wait([answer])
        raw = answer.exception()
        assert raw is not None
        error = await own.log.mend(partition, raw)
        assert isinstance(error, InvalidTimestamp)
        assert f"timestamp {now - 60_500} is more than" in str(error)
        assert "none of the 2 records of its batch" in str(error)
        for oldest in (now - 50_000, -1, None):
            answer = own.log.submit(partition, whole, ANY, oldest=oldest)
            assert answer is not None
            await answer
        assert (await own.log.bounds(partition)).end == 6


async def test_a_batch_without_timestamps_is_in_no_bounds(redis_url: str, namespace: str) -> None:
    """Kafka's NO_TIMESTAMP is -1, and is neither early nor late."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(message_timestamp_before_max_ms=1_000)
        now = await own.topics.now_ms()
        plain = batch(b"a", at=now)
        untimed = bytearray(plain)
        untimed[27:43] = b"\xff" * 16
        await own.log.append(partition, bytes(untimed))


async def test_a_batch_may_not_be_larger_than_the_topic_allows(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        exact = batch(500)
        partition = await own.partition(max_message_bytes=len(exact))
        await own.log.append(partition, exact)
        with pytest.raises(RecordTooLarge, match=rf"{len(exact) + 1} bytes.*{len(exact)}"):
            await own.log.append(partition, batch(501))
        await own.topics.alter("t", {"max.message.bytes": len(exact) + 1})
        await own.log.append(partition, batch(501))


async def test_what_is_cut_short_is_refused_whole(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        with pytest.raises(UnknownServerError, match="data string too short"):
            await own.log.append(partition, b"\0" * 40)
        assert (await check(own.store, partition)).entries == []


async def test_a_topic_made_again_is_another_one(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        old = await own.partition()
        await own.log.append(old, batch(b"old"))
        await own.topics.delete("t")
        new = await own.partition()
        assert new.topic_id != old.topic_id
        calls = (
            own.log.append(old, batch(b"late")),
            fetch(own.store, Cursor(old, 0), 1_000),
            own.log.bounds(old),
            own.log.epoch_end(old, 0),
            own.log.delete_records(old, 0),
            offset_for_time(own.store, old, 0),
        )
        for call in calls:
            with pytest.raises(UnknownTopicId):
                await call
        assert await read(own.store, new) == []
        await check(own.store, new)


@pytest.mark.parametrize("key", ["log", "state", "index", "producers"])
async def test_a_key_of_another_type_is_said_to_be_foreign(
    redis_url: str, namespace: str, key: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        name = getattr(partition.keys, key)
        await own.store.execute("SET", name, "mine", key=name)
        if key == "index":
            call: Awaitable[object] = offset_for_time(own.store, partition, 0)
        else:
            call = own.log.append(partition, batch(b"a", by=Producer(1, 0, 0)))
        with pytest.raises(ForeignKey, match="WRONGTYPE"):
            await call


async def test_entries_that_others_wrote_are_said_to_be_foreign(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        key = partition.keys.log
        await own.store.execute("XADD", key, "*", "hello", "world", key=key)
        with pytest.raises(ForeignKey, match="XADD"):
            await own.log.append(partition, batch(b"a"))
        assert (await inside(own.store, partition)).number("end") == 0


async def test_foreign_keys_where_a_partition_is_to_be(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create("t", 1)
        key = topic.partitions[0].keys.state
        await own.store.execute("DEL", key, key=key)
        with pytest.raises(ForeignKey, match="state"):
            await own.topics._make(topic.partitions[0], topic.config)


# Deleting records.


async def test_delete_records_at_every_offset(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        for offset in range(0, 22):
            partition = await own.partition(f"t{offset}", segment_bytes=1_024)
            for number in range(7):
                await own.log.append(partition, batch(100, 100, 100 + number))
            low = await own.log.delete_records(partition, offset)
            assert low == offset
            await check(own.store, partition)
            records = await read(own.store, partition, offset)
            assert [record.offset for record in records] == list(range(offset, 21))
            await own.log.append(partition, batch(b"after"))
            await check(own.store, partition)


async def test_delete_records_out_of_range(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", b"b", b"c"))
        for offset in (4, -2):
            with pytest.raises(OffsetOutOfRange, match=str(offset)):
                await own.log.delete_records(partition, offset)
        assert await own.log.delete_records(partition, 2) == 2
        assert await own.log.delete_records(partition, 1) == 2, "the log start never goes back"
        assert await own.log.delete_records(partition, -1) == 3
        seen = await check(own.store, partition)
        assert seen.entries == []


@pytest.mark.parametrize("counted", [False, True])
async def test_delete_records_while_others_delete(
    redis_url: str, namespace: str, counted: bool
) -> None:
    """What another one deletes while the bytes are counted is not missing from the count."""
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        partition = await own.partition()
        for _ in range(10):
            await own.log.append(partition, batch(100))
        execute = own.store.execute
        deleted: list[int] = []

        async def overtaken(*command: Any, **options: Any) -> Any:
            answer = await execute(*command, **options) if counted else None
            if command[0] == "XRANGE" and not deleted:
                deleted.append(await other.log.delete_records(partition, 4))
            return answer if counted else await execute(*command, **options)

        replace(own.store, "execute", overtaken)
        assert await own.log.delete_records(partition, 7) == 7
        assert deleted == [4]
        await check(own.store, partition)


async def test_delete_records_while_others_append(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024, retention_bytes=6_000)

        async def append() -> None:
            for number in range(150):
                await own.log.append(partition, batch(50 + number, 50))

        async def delete() -> None:
            while not appending.done():
                bounds = await own.log.bounds(partition)
                for offset in ((bounds.start + bounds.end) // 2, bounds.end):
                    await own.log.delete_records(partition, offset)

        async with asyncio.TaskGroup() as tasks:
            appending = tasks.create_task(append())
            tasks.create_task(delete())
        await check(own.store, partition)

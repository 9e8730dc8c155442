"""A consumer of partitions that it chose itself: records, positions, seeking, pausing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from partstream.client.consumer import Consumer
from partstream.errors import (
    ClosedClient,
    CommitFailed,
    IllegalState,
    InvalidGroupId,
    StoreUnavailable,
    UnknownTopicOrPartition,
    Wakeup,
)
from partstream.model import TimestampType
from tests.client.consuming import (
    Source,
    nothing_from,
    offsets,
    source,
    take,
    tp,
    tps,
    values,
)
from tests.waiting import until


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    return Consumer(url, namespace=namespace, **{"auto_offset_reset": "earliest", **config})


async def test_records_come_in_order_with_all_that_they_carry(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.put(["a", None], timestamp=1_700_000_000_000, headers=[("h", b"1"), ("h", None)])
        await logs.put(["b"])
        await reader.assign(tp())
        records = await take(reader, 3)
        assert values(records) == ["a", "", "b"]
        assert offsets(records) == [0, 1, 2]
        first, tombstone, _ = records
        assert first[:5] == ("t", 0, 0, 1_700_000_000_000, TimestampType.CREATE_TIME)
        assert first.headers == (("h", b"1"), ("h", None))
        assert tombstone.value is None
        assert await reader.position(tp()) == 3


async def test_many_batches_of_many_partitions(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=5)
        for partition in range(5):
            await logs.fill(700, partition, batch=70)
        await reader.assign(tps(5))
        records = await take(reader, 3500)
        for partition in range(5):
            of_it = [record for record in records if record.partition == partition]
            assert values(of_it) == [str(number) for number in range(700)]
        await nothing_from(reader)


async def test_partitions_take_turns(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_poll_records=10) as reader,
    ):
        await logs.topic(partitions=3)
        for partition in range(3):
            await logs.fill(300, partition, batch=10)
        await reader.assign(tps(3))
        await take(reader, 30)  # by now all three have been fetched
        seen = [(await reader.poll(timeout=5.0))[0].partition for _ in range(12)]
        assert {seen.count(partition) for partition in range(3)} == {4}


async def test_iteration_gives_one_record_at_a_time(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_poll_records=7) as reader,
    ):
        await logs.topic(partitions=2)
        await logs.fill(50, 0, batch=9)
        await logs.fill(50, 1, batch=9)
        await reader.assign(tps(2))
        positions = {0: 0, 1: 0}
        count = 0
        async for record in reader:
            assert record.offset == positions[record.partition]
            positions[record.partition] += 1
            for partition, expected in positions.items():
                assert await reader.position(tp(partition)) == expected
            count += 1
            if count == 100:
                break
        await nothing_from(reader)


async def test_iteration_and_poll_take_over_from_each_other(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(10)
        await reader.assign(tp())
        async for record in reader:
            if record.offset == 3:
                break
        assert offsets(await reader.poll(max_records=2, timeout=5.0)) == [4, 5]
        assert (await anext(reader)).offset == 6
        assert (await anext(reader)).offset == 7
        assert offsets(await take(reader, 2)) == [8, 9]


async def test_iteration_goes_where_it_is_sent(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(10)
        await reader.assign(tp())
        seen = []
        async for record in reader:
            seen.append(record.offset)
            if seen == [0, 1, 2]:
                reader.seek(tp(), 8)
            if record.offset == 9:
                break
        assert seen == [0, 1, 2, 8, 9]


async def test_new_records_wake_a_waiting_consumer(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=3)
        await reader.assign(tps(3))
        await nothing_from(reader)
        for number in range(20):
            poll = asyncio.create_task(reader.poll(timeout=9.0))
            await asyncio.sleep(0.01)
            started = time.monotonic()
            await logs.put([str(number)], number % 3)
            assert values(await poll) == [str(number)]
            assert time.monotonic() - started < 1.0


async def test_poll_waits_no_longer_than_it_is_told(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        await nothing_from(reader)
        for timeout in (0.0, 0.3):
            started = time.monotonic()
            assert await reader.poll(timeout=timeout) == []
            assert timeout - 0.01 <= time.monotonic() - started < timeout + 0.5


async def test_polls_that_do_not_wait_get_there_too(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.put(["a"])
        await reader.assign(tp())
        async with asyncio.timeout(5):
            while not (records := await reader.poll()):
                pass
        assert values(records) == ["a"]


async def test_a_cancelled_poll_loses_nothing(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        seen: list[str] = []
        for number in range(50):
            poll = asyncio.create_task(reader.poll(timeout=5.0))
            put = asyncio.create_task(logs.put([str(number)]))
            for _ in range(number % 10):
                await asyncio.sleep(0.0005)
            poll.cancel()
            done = (await asyncio.gather(poll, return_exceptions=True))[0]
            if isinstance(done, list):
                seen += values(done)
            await put
        seen += values(await take(reader, 50 - len(seen)) if len(seen) < 50 else [])
        assert seen == [str(number) for number in range(50)]


async def test_records_with_the_time_of_the_log(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(message_timestamp_type="LogAppendTime")
        await logs.put(["a"], timestamp=1000)
        await reader.assign(tp())
        (record,) = await take(reader, 1)
        assert record.timestamp_type == TimestampType.LOG_APPEND_TIME
        assert abs(record.timestamp / 1000 - time.time()) < 60


async def test_wakeup_ends_the_poll_that_waits_or_the_next_one(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        poll = asyncio.create_task(reader.poll(timeout=None))
        await asyncio.sleep(0.05)
        reader.wakeup()
        with pytest.raises(Wakeup):
            await poll
        reader.wakeup()
        with pytest.raises(Wakeup):
            await anext(reader)
        await logs.put(["a"])
        assert values(await take(reader, 1)) == ["a"]


async def test_one_task_at_a_time_polls(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        poll = asyncio.create_task(reader.poll(timeout=5.0))
        await asyncio.sleep(0)
        with pytest.raises(IllegalState, match="another task"):
            await reader.poll()
        await logs.put(["a"])
        assert values(await poll) == ["a"]


async def test_topics_are_created_if_that_is_allowed(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, num_partitions=3) as generous,
        consumer(redis_url, namespace, allow_auto_create_topics=False) as strict,
    ):
        with pytest.raises(UnknownTopicOrPartition, match="'new'"):
            await strict.assign(tp(0, "new"))
        await generous.assign(tp(2, "new"))
        assert len((await logs.topics.get("new", fresh=True)).partitions) == 3
        await strict.assign(tp(0, "new"))
        with pytest.raises(UnknownTopicOrPartition, match="no partition 3"):
            await generous.assign(tp(3, "new"))


async def test_without_a_group_there_is_nothing_to_subscribe_or_commit_for(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        for waiting in (reader.commit(), reader.commit_async(), reader.committed(tp())):
            with pytest.raises(InvalidGroupId, match="group_id"):
                await waiting
        await reader.unsubscribe()
        with pytest.raises(InvalidGroupId, match="group_id"):
            await reader.subscribe(["t"])


async def test_before_start_and_after_close_every_call_says_so(
    redis_url: str, namespace: str
) -> None:
    reader = consumer(redis_url, namespace, group_id="g")
    with pytest.raises(IllegalState, match="not started"):
        await reader.poll()
    await reader.start()
    await reader.close()
    await reader.close()
    refusals: list[Callable[[], object]] = [
        reader.subscription,
        reader.assignment,
        reader.paused,
        reader.pause,
        reader.resume,
        reader.seek_to_end,
        reader.seek_to_beginning,
        reader.wakeup,
        lambda: reader.seek(tp(), 1),
    ]
    for refused in refusals:
        with pytest.raises(ClosedClient):
            refused()
    for waiting in (
        reader.start(),
        reader.subscribe(["t"]),
        reader.unsubscribe(),
        reader.assign(tp()),
        reader.poll(),
        anext(reader),
        reader.position(tp()),
        reader.commit(),
        reader.commit_async(),
        reader.committed(tp()),
        reader.lag(tp()),
        reader.end_offsets(tp()),
        reader.beginning_offsets(tp()),
        reader.offsets_for_times({tp(): 0}),
        reader.seek_to_timestamp(0),
    ):
        with pytest.raises(ClosedClient):
            await waiting


async def test_closing_ends_a_poll_that_waits(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic()
        reader = await consumer(redis_url, namespace).start()
        await reader.assign(tp())
        poll = asyncio.create_task(reader.poll(timeout=None))
        await asyncio.sleep(0.05)
        await reader.close()
        with pytest.raises(ClosedClient):
            await poll


async def test_closing_at_any_instant_of_another_call(redis_url: str, namespace: str) -> None:
    """Whatever is under way ends, done or refused; nothing begins behind the close."""
    refusals = (ClosedClient, CommitFailed, StoreUnavailable)

    async def subscribe(reader: Consumer) -> None:
        await reader.subscribe(["t"])

    async def assign(reader: Consumer) -> None:
        await reader.assign(tp())

    async def join_and_commit(reader: Consumer) -> None:
        await reader.subscribe(["t"])
        while True:
            await reader.poll(timeout=0.001)
            await reader.commit({tp(): 1})

    async with source(redis_url, namespace) as logs:
        await logs.topic()
        for call in (subscribe, assign, join_and_commit):
            for turns in range(0, 60, 2 if call is join_and_commit else 1):
                reader = await consumer(redis_url, namespace, group_id="g").start()
                calling = asyncio.create_task(call(reader))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await reader.close()
                (ended,) = await asyncio.gather(calling, return_exceptions=True)
                assert ended is None or isinstance(ended, refusals), ended


async def _readers(logs: Source) -> int:
    """How many subscriptions Redis has to the bell of partition 0."""
    bell = (await logs.topics.get("t")).partition(0).keys.bell
    reply = await logs.store.execute("PUBSUB", "SHARDNUMSUB", bell, key=bell)
    return int(reply[1])


async def _unheard(logs: Source) -> bool:
    return await _readers(logs) == 0


async def test_bells_are_watched_while_waiting_only(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_partition_fetch_bytes=4000) as reader,
    ):
        await logs.topic()
        await reader.assign(tp())
        await nothing_from(reader)
        assert await _readers(logs) == 1
        await logs.fill(2000, batch=50)  # more than is fetched ahead
        await until(lambda: _unheard(logs))
        await take(reader, 2000)
        await nothing_from(reader)
        assert await _readers(logs) == 1
        await reader.assign()
        await until(lambda: _unheard(logs))

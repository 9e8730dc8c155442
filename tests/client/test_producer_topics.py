"""Topics that change while records are on their way."""

from __future__ import annotations

import asyncio

import pytest

from partstream.client.admin import Admin
from partstream.client.producer import Producer
from partstream.errors import DeliveryTimeout, RecordTooLarge, UnknownTopicOrPartition
from partstream.partitioners import partition_murmur2, partition_murmur3
from tests.client.producing import assert_once_in_order, make_topic, numbered, values
from tests.waiting import until

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 20}


async def test_a_topic_grows(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", 2)
    async with (
        Producer(redis_url, namespace=namespace, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        with pytest.raises(UnknownTopicOrPartition):
            await producer.send("t", b"x", partition=2)
        keys = numbered(100)
        before = [await (await producer.send("t", b"before", key=key)) for key in keys]
        assert [each.partition for each in before] == [partition_murmur3(key, 2) for key in keys]
        await admin.create_partitions("t", 5)
        await until(lambda: len(producer.routes["t"].queues) == 5)
        after = [await producer.send("t", b"after", key=key) for key in keys]
        assert [(await each).partition for each in after] == [
            partition_murmur3(key, 5) for key in keys
        ]
        assert (await (await producer.send("t", b"x", partition=4))).partition == 4


async def test_growing_under_traffic_loses_nothing(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", 1)
    wanted = numbered(3_000)
    async with (
        Producer(redis_url, namespace=namespace, batch_size=500, linger_ms=1, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        growing = asyncio.create_task(grow(admin))
        for value in wanted:
            await producer.send("t", value, key=value)
            if value.endswith(b"0"):
                await asyncio.sleep(0.0005)
        await growing
    found = await values(redis_url, namespace, "t")
    assert sorted(value for log in found for value in log if value) == wanted


async def grow(admin: Admin) -> None:
    for partitions in range(2, 12):
        await asyncio.sleep(0.01)
        await admin.create_partitions("t", partitions)


async def test_a_topic_is_deleted_and_made_again(redis_url: str, namespace: str) -> None:
    """What was not acknowledged by the old one goes into the new one, in order."""
    await make_topic(redis_url, namespace, "t", 3)
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=0, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        for partition in range(3):
            await (await producer.send("t", b"old", partition=partition))
        await admin.delete_topic("t")
        await admin.create_topic("t", partitions=3)
        deliveries = [
            await producer.send("t", value, partition=number % 3)
            for number, value in enumerate(numbered(300))
        ]
        placed = [await delivery for delivery in deliveries]
        assert [each.offset for each in placed] == [number // 3 for number in range(300)]
        assert producer.losses == []
    found = await values(redis_url, namespace, "t")
    assert found == [numbered(300)[index::3] for index in range(3)]


async def test_made_again_under_traffic(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t")
    wanted = numbered(1_500)
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=0, batch_size=300, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        deliveries = []
        for number, value in enumerate(wanted):
            deliveries.append(await producer.send("t", value))
            if number == 700:
                await admin.delete_topic("t")
                await admin.create_topic("t", partitions=1)
            if number % 10 == 0:
                await asyncio.sleep(0.001)
        for delivery in deliveries:
            await delivery
    (log,) = await values(redis_url, namespace, "t")
    assert 0 < len(log) < 1_500
    assert_once_in_order(log, wanted[-len(log) :])


async def test_made_again_with_fewer_partitions_and_another_hash(
    redis_url: str, namespace: str
) -> None:
    await make_topic(redis_url, namespace, "t", 4)
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=0, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        for partition in range(4):
            await (await producer.send("t", b"old", partition=partition))
        await admin.delete_topic("t")
        await admin.create_topic("t", partitions=2, config={"partstream.partitioner": "murmur2"})
        await until(lambda: len(producer.routes["t"].queues) == 2)
        with pytest.raises(UnknownTopicOrPartition, match="no partition 3, it has 2"):
            await producer.send("t", b"x", partition=3)
        for key in numbered(40):
            placed = await (await producer.send("t", b"new", key=key))
            assert placed.partition == partition_murmur2(key, 2)


async def test_records_for_a_partition_that_is_no_more(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", 4)
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=60_000, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        gone = [await producer.send("t", b"x", partition=partition) for partition in range(4)]
        await admin.delete_topic("t")
        await admin.create_topic("t", partitions=2)
        await producer.flush()
        assert gone[0].exception() is None
        with pytest.raises(UnknownTopicOrPartition, match="made again, without partition 3"):
            await gone[3]


async def test_deleted_for_good(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t")
    async with (
        Producer(
            redis_url, namespace=namespace, linger_ms=0, allow_auto_create_topics=False,
            request_timeout_ms=250, delivery_timeout_ms=300, **QUICK,
        ) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):  # fmt: skip
        await (await producer.send("t", b"x"))
        await admin.delete_topic("t")
        waiting = await producer.send("t", b"y")
        with pytest.raises(DeliveryTimeout, match="topic 't' does not exist"):
            await waiting
        await admin.create_topic("t", partitions=1)
        assert (await (await producer.send("t", b"z"))).offset == 0


async def test_deleted_and_made_again_by_the_producer(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", 3)
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=0, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        await (await producer.send("t", b"x", partition=0))
        await admin.delete_topic("t")
        assert (await (await producer.send("t", b"y", partition=0))).offset == 0
        assert await producer.partitions_for("t") == 1


async def test_configs_are_followed(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t")
    async with (
        Producer(redis_url, namespace=namespace, linger_ms=0, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        await (await producer.send("t", b"x" * 1_000))
        await admin.alter_config("t", {"max.message.bytes": 500})
        await until(lambda: producer.routes["t"].queues[0].limit == 500)
        with pytest.raises(RecordTooLarge, match="500"):
            await producer.send("t", b"x" * 1_000)
        assert (await (await producer.send("t", b"x"))).offset == 1


async def test_growth_is_noticed_without_a_bell(redis_url: str, namespace: str) -> None:
    """Where channels are refused, metadata_max_age_ms tells."""
    await make_topic(redis_url, namespace, "t", 1)
    async with (
        Producer(redis_url, namespace=namespace, metadata_max_age_ms=50, **QUICK) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        await producer.send("t", b"x")
        watch = producer._session.topics._watch
        assert watch is not None
        watch.cancel()
        await admin.create_partitions("t", 2)
        await until(lambda: len(producer.routes["t"].queues) == 2)

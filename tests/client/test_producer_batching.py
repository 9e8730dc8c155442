"""How records become batches: size, time, memory, and where those without a key go."""

from __future__ import annotations

import asyncio
import os
import time
from itertools import groupby

import pytest

from partstream.client.producer import Producer
from partstream.engine.partition import Partition
from partstream.engine.topics import Topics
from partstream.errors import RecordTooLarge
from partstream.records import header
from partstream.store.store import Store
from tests.client.producing import logs, make_topic, values
from tests.engine.logs import inside


async def stored(url: str, namespace: str, topic: str, index: int = 0) -> list[header.BatchHeader]:
    """The headers of a partition's batches."""
    store = await Store.connect(url, namespace=namespace)
    topics = Topics(store)
    try:
        partition: Partition = (await topics.get(topic)).partitions[index]
        return [header.parse(payload) for _, _, payload in (await inside(store, partition)).entries]
    finally:
        topics.close()
        await store.close()


async def test_a_batch_closes_when_it_is_full(redis_url: str, namespace: str) -> None:
    async with Producer(
        redis_url,
        namespace=namespace,
        batch_size=1_000,
        linger_ms=60_000,
        delivery_timeout_ms=120_000,
    ) as producer:
        deliveries = [await producer.send("t", b"x" * 100) for _ in range(25)]
        # 61 bytes of header, some 107 a record: 8 fit.
        assert (await deliveries[7]).offset == 7
        assert (await deliveries[15]).offset == 15
        await asyncio.sleep(0)
        assert not deliveries[24].done()
    heads = await stored(redis_url, namespace, "t")
    assert [head.record_count for head in heads] == [8, 8, 8, 1]
    assert all(head.length + header.LENGTH_END <= 1_000 for head in heads)


async def test_a_batch_closes_when_its_time_is_over(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, linger_ms=80) as producer:
        await producer.partitions_for("t")
        began = time.monotonic()
        first = await producer.send("t", b"1")
        await asyncio.sleep(0.02)
        second = await producer.send("t", b"2")
        await first
        assert 0.07 < time.monotonic() - began < 0.6
        assert second.done()
        began = time.monotonic()
        await (await producer.send("t", b"3"))
        assert 0.07 < time.monotonic() - began < 0.6
    assert [head.record_count for head in await stored(redis_url, namespace, "t")] == [2, 1]


async def test_without_linger_what_comes_while_another_is_under_way_shares_a_batch(
    redis_url: str, namespace: str
) -> None:
    async with Producer(
        redis_url, namespace=namespace, linger_ms=0, max_in_flight_requests_per_connection=1
    ) as producer:
        await producer.partitions_for("t")
        first = await producer.send("t", b"1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [await producer.send("t", b"2") for _ in range(100)]
        await asyncio.gather(first, *others)
    assert [head.record_count for head in await stored(redis_url, namespace, "t")] == [1, 100]


async def test_flush_does_not_wait_for_linger(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, linger_ms=60_000) as producer:
        delivery = await producer.send("t", b"1")
        async with asyncio.timeout(5):
            await producer.flush()
        assert delivery.done()


async def test_a_record_larger_than_a_batch_goes_alone(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, batch_size=500, linger_ms=5) as producer:
        for size in (10, 10, 5_000, 10):
            await producer.send("t", b"x" * size)
    heads = await stored(redis_url, namespace, "t")
    assert [head.record_count for head in heads] == [2, 1, 1]
    async with Producer(redis_url, namespace=namespace, batch_size=0) as producer:
        for _ in range(3):
            await producer.send("single", b"x")
    heads = await stored(redis_url, namespace, "single")
    assert [head.record_count for head in heads] == [1, 1, 1]


async def test_max_request_size(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, max_request_size=1_000) as producer:
        with pytest.raises(RecordTooLarge, match=r"'t'.*max_request_size=1000"):
            await producer.send("t", b"x" * 1_000)
        with pytest.raises(RecordTooLarge):
            await producer.send("t", key=b"x" * 1_000)
        with pytest.raises(RecordTooLarge):
            await producer.send("t", headers=[("h", b"x" * 1_000)])
        await producer.send("t", b"x" * 800)
    assert len((await values(redis_url, namespace, "t"))[0]) == 1


async def test_max_message_bytes(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", max_message_bytes=500)
    async with Producer(redis_url, namespace=namespace) as producer:
        with pytest.raises(RecordTooLarge, match=r"'t'.*max\.message\.bytes=500"):
            await producer.send("t", b"x" * 500)
        for _ in range(10):
            await producer.send("t", b"x" * 100)
        await producer.flush()
        # With compression nobody knows beforehand: the partition decides.
        async with Producer(redis_url, namespace=namespace, compression_type="gzip") as other:
            await (await other.send("t", b"x" * 5_000))
            too_large = await other.send("t", os.urandom(5_000))
            with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes = 500"):
                await too_large
            await (await other.send("t", b"x"))
    assert len((await values(redis_url, namespace, "t"))[0]) == 12


async def test_the_buffer_is_bounded_and_comes_free(redis_url: str, namespace: str) -> None:
    async with Producer(
        redis_url, namespace=namespace, batch_size=1_000, buffer_memory=5_000, linger_ms=1
    ) as producer:
        least = 5_000
        for _ in range(2_000):
            await producer.send("t", b"x" * 100)
            least = min(least, producer._accumulator.free)
        assert 0 <= least < 1_000
        await producer.flush()
        assert producer._accumulator.free == 5_000
    assert len((await values(redis_url, namespace, "t"))[0]) == 2_000


async def test_a_buffer_full_of_open_batches_does_not_wait_for_linger(
    redis_url: str, namespace: str
) -> None:
    """A batch reserves all of its memory: a few partitions can use up the buffer."""
    async with Producer(
        redis_url,
        namespace=namespace,
        batch_size=1_000,
        buffer_memory=4_000,
        linger_ms=30_000,
        max_block_ms=5_000,
        num_partitions=8,
    ) as producer:
        for partition in range(8):
            await producer.send("t", b"x", partition=partition)


async def test_a_record_larger_than_the_buffer_is_let_through(
    redis_url: str, namespace: str
) -> None:
    async with Producer(
        redis_url, namespace=namespace, batch_size=100, buffer_memory=1_000, linger_ms=0
    ) as producer:
        deliveries = [await producer.send("t", b"x" * 5_000) for _ in range(3)]
        assert [(await delivery).offset for delivery in deliveries] == [0, 1, 2]


async def test_headers_survive_a_full_buffer(redis_url: str, namespace: str) -> None:
    """They may be given as an iterator, and a record that has to wait is tried twice."""
    async with Producer(
        redis_url, namespace=namespace, batch_size=200, buffer_memory=200, linger_ms=0
    ) as producer:
        for number in range(20):
            pairs = ((name, b"%d" % number) for name in ("a", "b"))
            await producer.send("t", b"x" * 100, headers=pairs)
    (log,) = await logs(redis_url, namespace, "t")
    assert [record.headers for record in log] == [
        (("a", b"%d" % number), ("b", b"%d" % number)) for number in range(20)
    ]


@pytest.mark.parametrize("linger_ms", [0, 1])
async def test_records_without_a_key_move_on_with_every_batch(
    redis_url: str, namespace: str, linger_ms: int
) -> None:
    """Also where no batch is ever full."""
    async with Producer(
        redis_url, namespace=namespace, linger_ms=linger_ms, num_partitions=4
    ) as producer:
        places = []
        for _ in range(60):
            first, second = await producer.send("t", b"1"), await producer.send("t", b"2")
            places += [(await first).partition, (await second).partition]
    assert places[::2] == places[1::2], "one batch, one partition"
    runs = [len(list(run)) for _, run in groupby(places[::2])]
    assert max(runs) == 1, "the next batch goes elsewhere"
    assert set(places) == {0, 1, 2, 3}


async def test_records_without_a_key_spread_by_full_batches(redis_url: str, namespace: str) -> None:
    async with Producer(
        redis_url, namespace=namespace, batch_size=1_000, linger_ms=100, num_partitions=4
    ) as producer:
        for _ in range(2_000):
            await producer.send("t", b"x" * 100)
    counts = [len(log) for log in await logs(redis_url, namespace, "t")]
    assert sum(counts) == 2_000
    assert min(counts) > 250
    heads = await stored(redis_url, namespace, "t")
    assert sum(head.record_count == 8 for head in heads) >= len(heads) - 3

"""Every config of the consumer does what it says, as far as one can see from outside."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from partstream.client.consumer import Consumer
from partstream.errors import NoOffsetForPartition
from partstream.records.codec import encode
from tests.client.consuming import Source, nothing_from, offsets, source, take, tp, tps, values
from tests.waiting import until


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    return Consumer(url, namespace=namespace, **{"auto_offset_reset": "earliest", **config})


def fetched_ahead(reader: Consumer) -> dict[int, int]:
    """Bytes of batches in the buffers."""
    return {buffer.partition.index: buffer.buffered for buffer in reader.opened.fetcher.buffers()}


async def test_auto_offset_reset(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic()
        await logs.put(["old"])
        for policy, begins in (("earliest", 0), ("latest", 1)):
            async with consumer(redis_url, namespace, auto_offset_reset=policy) as reader:
                await reader.assign(tp())
                assert await reader.position(tp()) == begins
        async with consumer(redis_url, namespace, auto_offset_reset="none") as reader:
            await reader.assign(tp())
            with pytest.raises(NoOffsetForPartition):
                await reader.poll(timeout=5.0)
        async with Consumer(redis_url, namespace=namespace) as reader:
            await reader.assign(tp())
            assert await reader.position(tp()) == 1


async def test_max_poll_records(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_poll_records=7) as reader,
    ):
        await logs.topic()
        await logs.fill(30, batch=10)
        await reader.assign(tp())
        await until(lambda: fetched_ahead(reader)[0] > 300)
        assert [len(await reader.poll(timeout=5.0)) for _ in range(5)] == [7, 7, 7, 7, 2]
        reader.seek_to_beginning()
        assert len(await take(reader, 10)) < 17
        assert len(await reader.poll(max_records=1, timeout=5.0)) == 1


def test_the_default_is_kafkas() -> None:
    assert Consumer().config.max_poll_records == 500


async def test_deserializers(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(
            redis_url, namespace, key_deserializer=bytes.decode, value_deserializer=json.loads
        ) as reader,
    ):
        topic = await logs.topic()
        rows: list[Any] = [(1, b"k", b'{"a": 1}', ()), (1, None, None, ())]
        await logs.log.append(topic.partition(0), encode(rows))
        await reader.assign(tp())
        records: list[Any] = await take(reader, 2)
        assert [(record.key, record.value) for record in records] == [("k", {"a": 1}), (None, None)]


async def test_max_partition_fetch_bytes(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_partition_fetch_bytes=5_000) as reader,
    ):
        await logs.topic(partitions=2)
        for partition in range(2):
            await logs.fill(1000, partition, batch=20)  # some 300 bytes each
        await reader.assign(tps(2))
        await until(lambda: min(fetched_ahead(reader).values()) > 2_500)
        await nothing_more_is_fetched(reader)
        assert max(fetched_ahead(reader).values()) <= 5_000
        assert len(await take(reader, 2000)) == 2000


async def nothing_more_is_fetched(reader: Consumer) -> None:
    """Give readers time to fetch too much."""
    before = fetched_ahead(reader)
    await asyncio.sleep(0.1)
    assert fetched_ahead(reader) == before


async def test_fetch_max_bytes(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, fetch_max_bytes=5_000) as reader,
    ):
        await logs.topic(partitions=8)
        for partition in range(8):
            await logs.fill(200, partition, batch=20)
        await reader.assign(tps(8))
        await until(lambda: sum(fetched_ahead(reader).values()) > 2_500)
        await asyncio.sleep(0.1)
        # One batch always passes: of the last one that was let in.
        assert sum(fetched_ahead(reader).values()) <= 5_000 + 1_000
        records = await take(reader, 1600)
        for partition in range(8):
            assert offsets(r for r in records if r.partition == partition) == list(range(200))


async def test_a_batch_larger_than_both_limits_passes(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, fetch_max_bytes=10, max_partition_fetch_bytes=10) as reader,
    ):
        await logs.topic(partitions=2)
        for partition in range(2):
            await logs.put([b"x" * 100_000] * 3, partition)
            await logs.put(["last"], partition)
        await reader.assign(tps(2))
        assert len(await take(reader, 8)) == 8


async def test_fetch_min_bytes_waits_for_more(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, fetch_min_bytes=5_000, fetch_max_wait_ms=20_000) as reader,
    ):
        await logs.topic(partitions=2)
        await reader.assign(tps(2))
        await logs.put([b"x" * 2_000], 0)
        await until(lambda: sum(fetched_ahead(reader).values()) > 2_000)
        await nothing_from(reader, within=0.1)
        started = time.monotonic()
        await logs.put([b"x" * 4_000], 1)
        assert len(await take(reader, 2)) == 2
        assert time.monotonic() - started < 10


async def test_fetch_max_wait_ms_ends_the_wait(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, fetch_min_bytes=5_000, fetch_max_wait_ms=300) as reader,
    ):
        await logs.topic()
        await reader.assign(tp())
        await nothing_from(reader)
        started = time.monotonic()
        await logs.put(["a"])
        assert values(await reader.poll(timeout=10.0)) == ["a"]
        assert 0.25 < time.monotonic() - started < 3.0


async def test_client_id_is_shown_by_redis(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, client_id=f"reader-{namespace}"),
    ):
        assert f"reader-{namespace}" in await _clients(logs)


async def _clients(logs: Source) -> str:
    reply: bytes = await logs.store.execute("CLIENT", "LIST", key="any")
    return reply.decode()


@pytest.mark.parametrize("level", ["read_uncommitted", "read_committed"])
async def test_isolation_level_is_accepted(redis_url: str, namespace: str, level: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, isolation_level=level) as reader,
    ):
        await logs.topic()
        await logs.put(["a"])
        await reader.assign(tp())
        assert values(await take(reader, 1)) == ["a"]


async def test_the_url_may_come_from_the_environment(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTSTREAM_URL", redis_url)
    async with Consumer(namespace=namespace) as reader:
        await reader.assign(tp())
        assert await reader.end_offsets() == {tp(): 0}


async def test_namespaces_never_meet(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, f"{namespace}-2") as reader,
    ):
        await logs.topic()
        await logs.put(["a"])
        await reader.assign(tp())
        await nothing_from(reader)

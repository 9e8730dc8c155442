"""A Redis that is out of memory, and one that is frozen."""

from __future__ import annotations

import asyncio
import time

import pytest

from partstream.client.delivery import Delivery
from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import BufferExhausted, ClientTimeout, DeliveryTimeout
from tests.client.producing import assert_once_in_order, make_topic, numbered, values
from tests.waiting import until

pytestmark = pytest.mark.faults

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 50}


def set_maxmemory(server: EmbeddedServer, spare: int) -> None:
    """Leave the server so many bytes; 0: no limit."""
    used = int(server.info("memory")["used_memory"])
    server.command("CONFIG", "SET", "maxmemory", used + spare if spare else 0)


@pytest.mark.every_server
async def test_out_of_memory_for_a_while(fresh_server: EmbeddedServer, namespace: str) -> None:
    await make_topic(fresh_server.url, namespace, "t")
    wanted = numbered(2_000)
    async with Producer(
        fresh_server.url, namespace=namespace, linger_ms=0, batch_size=4_000, **QUICK
    ) as producer:
        await producer.partitions_for("t")
        set_maxmemory(fresh_server, 300_000)
        padding = b"." * 500
        deliveries = [await producer.send("t", value + padding) for value in wanted]
        flushing = asyncio.create_task(producer.flush())
        (line,) = producer._lines.values()
        await until(lambda: "maxmemory" in str(line._trouble))
        assert not flushing.done()
        acknowledged = sum(delivery.done() for delivery in deliveries)
        assert 0 < acknowledged < len(wanted)
        set_maxmemory(fresh_server, 0)
        await flushing
        assert [delivery.result().offset for delivery in deliveries] == list(range(len(wanted)))
    (log,) = await values(fresh_server.url, namespace, "t")
    assert_once_in_order([value[:6] for value in log if value is not None], wanted)


async def test_out_of_memory_for_too_long(fresh_server: EmbeddedServer, namespace: str) -> None:
    await make_topic(fresh_server.url, namespace, "t")
    async with Producer(
        fresh_server.url,
        namespace=namespace,
        linger_ms=0,
        request_timeout_ms=300,
        delivery_timeout_ms=400,
        **QUICK,
    ) as producer:
        await (await producer.send("t", b"first"))
        set_maxmemory(fresh_server, -100_000)
        began = time.monotonic()
        failed = [await producer.send("t", b"x" * 100_000) for _ in range(5)]
        with pytest.raises(DeliveryTimeout, match=r"t-0 .*delivery_timeout_ms=400.*maxmemory"):
            await failed[0]
        assert 0.39 < time.monotonic() - began < 1.5
        await producer.flush()
        for delivery in failed:
            assert isinstance(delivery.exception(), DeliveryTimeout)
        set_maxmemory(fresh_server, 0)
        assert (await (await producer.send("t", b"second"))).offset == 1
        assert producer.losses == []
        await until(lambda: producer._accumulator.free == producer.config.buffer_memory)
    assert await values(fresh_server.url, namespace, "t") == [[b"first", b"second"]]


async def test_a_frozen_server_fills_the_buffer(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t")
    async with Producer(
        fresh_server.url,
        namespace=namespace,
        linger_ms=0,
        batch_size=1_000,
        buffer_memory=20_000,
        max_block_ms=150,
        **QUICK,
    ) as producer:
        await (await producer.send("t", b"first"))
        fresh_server.pause()
        sent: list[Delivery] = []
        try:
            # Two fit a batch, and the batches of one partition share 20 kB.
            while producer._accumulator.free >= 1_000 or len(sent) % 2:
                sent.append(await producer.send("t", b"x" * 400))
            began = time.monotonic()
            with pytest.raises(BufferExhausted, match=r"20000 bytes.*max_block_ms=150"):
                await producer.send("t", b"y" * 400)
            assert 0.14 < time.monotonic() - began < 1.0
            assert 20 < len(sent) <= 50
            with pytest.raises(ClientTimeout, match="on their way"):
                await producer.flush(timeout=0.05)
            waiting = asyncio.create_task(producer.send("t", b"y" * 400))
            await asyncio.sleep(0.02)
            assert not waiting.done()
        finally:
            fresh_server.resume()
        assert (await (await waiting)).offset == len(sent) + 1
        assert [(await delivery).offset for delivery in sent] == list(range(1, len(sent) + 1))


async def test_a_frozen_server_and_delivery_timeout(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    """On time, although an answer may still come; and the rest goes on in order when it does."""
    await make_topic(fresh_server.url, namespace, "t")
    async with Producer(
        fresh_server.url,
        namespace=namespace,
        linger_ms=0,
        batch_size=200,
        request_timeout_ms=400,
        delivery_timeout_ms=500,
        **QUICK,
    ) as producer:
        await (await producer.send("t", b"first"))
        fresh_server.pause()
        try:
            began = time.monotonic()
            lost = [await producer.send("t", value) for value in numbered(100)]
            for delivery in lost:
                with pytest.raises(DeliveryTimeout, match="t-0 within delivery_timeout_ms=500"):
                    await delivery
            assert 0.49 < time.monotonic() - began < 0.9
            wanted = numbered(50, 100)
            later = [await producer.send("t", value) for value in wanted]
        finally:
            fresh_server.resume()
        await producer.flush()
        offsets = [delivery.result().offset for delivery in later]
        assert offsets == list(range(offsets[0], offsets[0] + 50))
    (log,) = await values(fresh_server.url, namespace, "t")
    # The first few were in the server's socket already: nobody can know of them.
    assert log[0] == b"first"
    assert_once_in_order(log[-50:], wanted)
    assert_once_in_order(log[1:-50], numbered(len(log) - 51))

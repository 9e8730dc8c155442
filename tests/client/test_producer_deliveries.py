"""Delivery handles: waited for, called back, and closed over."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from partstream.client.delivery import Delivery
from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ClientTimeout, ClosedClient, InvalidTimestamp
from tests.client.producing import make_topic, numbered, values
from tests.waiting import until

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 20}


async def test_several_may_wait_for_one(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, linger_ms=20) as producer:
        delivery = await producer.send("t", b"x")
        assert not delivery.done()
        assert repr(delivery) == "<Delivery to t-0: on its way>"
        waiting = [asyncio.create_task(wait_for(delivery)) for _ in range(5)]
        waiting[0].cancel()
        threads = [asyncio.to_thread(delivery.result, 5) for _ in range(3)]
        assert await asyncio.gather(*waiting[1:]) == [0] * 4
        assert [each.offset for each in await asyncio.gather(*threads)] == [0] * 3
        assert waiting[0].cancelled()
        assert (await delivery).offset == 0, "again, and at once"
        assert delivery.result(0).offset == 0
        assert delivery.exception(0) is None
        assert repr(delivery) == "<Delivery to t-0: done>"


async def wait_for(delivery: Delivery) -> int:
    return (await delivery).offset


async def test_a_failure_is_told_to_everybody(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", message_timestamp_after_max_ms=0)
    async with Producer(redis_url, namespace=namespace, linger_ms=20) as producer:
        failed = [await producer.send("t", b"x", timestamp_ms=10**14) for _ in range(2)]
        for delivery in failed:
            with pytest.raises(InvalidTimestamp):
                await delivery
            with pytest.raises(InvalidTimestamp):
                delivery.result()
            assert isinstance(delivery.exception(), InvalidTimestamp)
            assert delivery.done()


async def test_waiting_with_a_timeout(fresh_server: EmbeddedServer, namespace: str) -> None:
    async with Producer(fresh_server.url, namespace=namespace, linger_ms=0) as producer:
        await (await producer.send("t", b"x"))
        fresh_server.pause()
        try:
            delivery = await producer.send("t", b"y")
            with pytest.raises(ClientTimeout, match=r"t-0 within 0\.01 s"):
                await asyncio.to_thread(delivery.result, 0.01)
            with pytest.raises(ClientTimeout, match=r"t-0 within 0\.01 s"):
                await asyncio.to_thread(delivery.exception, 0.01)
        finally:
            fresh_server.resume()
        assert (await delivery).offset == 1


async def test_callbacks_come_in_order(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[int] = []

    def note(delivery: Delivery) -> None:
        called.append(delivery.result().offset)
        if len(called) == 10:
            raise RuntimeError("mine")

    async with Producer(
        redis_url, namespace=namespace, linger_ms=0, batch_size=500, num_partitions=1
    ) as producer:
        with caplog.at_level(logging.ERROR):
            for value in numbered(1_000):
                (await producer.send("t", value)).add_done_callback(note)
            await producer.flush()
        assert called == list(range(1_000))
        assert any("mine" in (record.exc_text or "") for record in caplog.records)
        late: list[str] = []
        delivery = await producer.send("t", b"x")
        await delivery
        delivery.add_done_callback(lambda _: late.append(threading.current_thread().name))
        assert late == [threading.current_thread().name], "at once if it is done"


async def test_a_callback_may_send(redis_url: str, namespace: str) -> None:
    """What it sends goes out like everything else; also when it is told of a failure."""
    await make_topic(redis_url, namespace, "t", message_timestamp_after_max_ms=0)
    async with Producer(redis_url, namespace=namespace, linger_ms=0) as producer:
        await (await producer.send("t", b"first"))
        again: list[Delivery | None] = []

        def resend(delivery: Delivery) -> None:
            assert delivery.exception() is not None
            again.append(producer.routes["t"].append(b"again", None, None, None, None))

        (await producer.send("t", b"x", timestamp_ms=10**14)).add_done_callback(resend)
        await producer.flush()
        await producer.flush()
        assert again[0] is not None
        assert again[0].result(0).offset == 1


# Closing.


async def test_close_with_a_timeout(
    fresh_server: EmbeddedServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = await Producer(fresh_server.url, namespace=namespace, linger_ms=0, **QUICK).start()
    await (await producer.send("t", b"x"))
    fresh_server.pause()
    try:
        lost = [await producer.send("t", value) for value in numbered(100)]
        async with asyncio.timeout(5):
            await producer.close(timeout=0.05)
    finally:
        fresh_server.resume()
    for delivery in lost:
        with pytest.raises(ClosedClient, match="before the record was delivered"):
            await delivery
    assert "records not delivered: 100" in caplog.text


@pytest.mark.parametrize("timeout", [None, 5, 0])
async def test_close_during_everything(
    fresh_server: EmbeddedServer, namespace: str, timeout: float | None
) -> None:
    """Senders that wait for room, for a topic, for a delivery, and a flush: all of them end."""
    producer = await Producer(
        fresh_server.url,
        namespace=namespace,
        linger_ms=0,
        batch_size=500,
        buffer_memory=5_000,
        **QUICK,
    ).start()
    await (await producer.send("t", b"first"))
    fresh_server.pause()
    accepted: list[Delivery] = []

    async def send_all() -> None:
        while True:
            accepted.append(await producer.send("t", b"x" * 400))

    sending = [asyncio.create_task(send_all()) for _ in range(3)]
    others = [
        asyncio.create_task(producer.send("another", b"x")),
        asyncio.create_task(producer.partitions_for("third")),
        asyncio.create_task(producer.flush()),
    ]
    await until(lambda: producer._accumulator.free < 500)
    await asyncio.sleep(0.01)
    closing = [asyncio.create_task(producer.close(timeout)) for _ in range(2)]
    await asyncio.sleep(0.01)
    fresh_server.resume()
    async with asyncio.timeout(10):
        await asyncio.gather(*closing)
        ends = await asyncio.gather(*sending, *others, return_exceptions=True)
    for end in ends[:4]:
        assert isinstance(end, ClosedClient), ends
    for end in ends[4:]:
        assert end is None or isinstance(end, int | ClosedClient) or "closed" in str(end), ends
    fates = [delivery.exception(0) for delivery in accepted]
    kept = sum(fate is None for fate in fates)
    assert all(isinstance(fate, ClosedClient | None) for fate in fates)
    (log,) = await values(fresh_server.url, namespace, "t")
    if timeout == 0:
        assert kept < len(accepted)
        assert len(log) >= kept + 1
    else:
        assert kept == len(accepted)
        assert len(log) == kept + 1


async def test_a_closed_producer_leaves_nothing_running(redis_url: str, namespace: str) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async with Producer(redis_url, namespace=namespace) as producer:
            await producer.send("t", b"x")
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_close_that_is_cancelled(fresh_server: EmbeddedServer, namespace: str) -> None:
    producer = await Producer(fresh_server.url, namespace=namespace, linger_ms=0, **QUICK).start()
    await (await producer.send("t", b"x"))
    fresh_server.pause()
    try:
        lost = await producer.send("t", b"y")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await producer.close()
    finally:
        fresh_server.resume()
    assert isinstance(lost.exception(0), ClosedClient)

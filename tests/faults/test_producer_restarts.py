"""A server that is restarted under traffic, with all of its log, or without the end of it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from partstream.client.losses import LogLoss
from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from tests.client.producing import assert_once_in_order, make_topic, numbered, values
from tests.servers.targets import Target

pytestmark = [pytest.mark.faults, pytest.mark.every_server]

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 50}


@pytest.fixture
def kept(target: Target, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server with an append-only file, written before each answer."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(
        tmp_path / "data", binary=target.binary.path, config={"appendfsync": "always"}
    ) as running:
        yield running


class Past:
    """The server's files as they were at some time, to go back to: what came since is lost."""

    def __init__(self, server: EmbeddedServer) -> None:
        assert server.data_dir is not None
        self._server = server
        self._files = server.data_dir.path / "appendonlydir"
        self._copy = server.data_dir.path / "past"
        shutil.copytree(self._files, self._copy)

    def come_back(self) -> None:
        """Crash, and start from what there was then."""
        self._server.kill()
        shutil.rmtree(self._files)
        shutil.copytree(self._copy, self._files)
        self._server.start()


async def test_restarted_under_traffic(kept: EmbeddedServer, namespace: str) -> None:
    await make_topic(kept.url, namespace, "t")
    wanted = numbered(900)
    async with Producer(
        kept.url, namespace=namespace, linger_ms=0, batch_size=200, **QUICK
    ) as producer:
        deliveries = []
        start: asyncio.Task[EmbeddedServer] | None = None
        for number, value in enumerate(wanted):
            deliveries.append(await producer.send("t", value))
            if number in (300, 600):
                if start is not None:
                    await start
                kept.kill() if number == 300 else kept.stop()
                start = asyncio.create_task(asyncio.to_thread(kept.start))
            if number % 20 == 0:
                await asyncio.sleep(0.001)
        await producer.flush()
        assert [delivery.result().offset for delivery in deliveries] == list(range(len(wanted)))
        assert producer.losses == []
    assert_once_in_order((await values(kept.url, namespace, "t"))[0], wanted)


@pytest.mark.parametrize("acks", [1, "all"])
async def test_records_that_were_lost_are_noticed(
    kept: EmbeddedServer, namespace: str, acks: object, caplog: pytest.LogCaptureFixture
) -> None:
    await make_topic(kept.url, namespace, "t", 2)
    heard: list[LogLoss] = []
    async with Producer(
        kept.url, namespace=namespace, linger_ms=0, acks=acks, on_log_loss=heard.append, **QUICK
    ) as producer:
        for value in (b"0", b"1", b"2"):
            await (await producer.send("t", value, partition=0))
        await (await producer.send("t", b"other", partition=1))
        past = Past(kept)
        for value in (b"3", b"4"):
            placed = await (await producer.send("t", value, partition=0))
        assert placed.offset == 4
        await asyncio.to_thread(past.come_back)
        with caplog.at_level(logging.WARNING, "partstream"):
            for value in (b"5", b"6"):
                await (await producer.send("t", value, partition=0))
            await (await producer.send("t", b"another", partition=1))
    (loss,) = heard
    assert (loss.topic, loss.partition, loss.first_offset, loss.next_offset) == ("t", 0, 3, 5)
    assert producer.losses == heard
    (warning,) = (r.getMessage() for r in caplog.records if "lost" in r.getMessage())
    assert "t-0" in warning
    assert "offsets 3 to 4" in warning
    found = await values(kept.url, namespace, "t")
    assert found == [[b"0", b"1", b"2", b"5", b"6"], [b"other", b"another"]]


async def test_lost_while_batches_are_under_way(kept: EmbeddedServer, namespace: str) -> None:
    """What is not acknowledged yet is there afterwards, once and in order, behind the gap."""
    await make_topic(kept.url, namespace, "t")
    async with Producer(
        kept.url, namespace=namespace, linger_ms=0, batch_size=200, **QUICK
    ) as producer:
        await (await producer.send("t", b"kept"))
        past = Past(kept)
        await (await producer.send("t", b"lost"))
        kept.pause()
        wanted = numbered(200)
        deliveries = [await producer.send("t", value) for value in wanted]
        await asyncio.sleep(0)  # the first batches go out
        await asyncio.to_thread(past.come_back)
        await producer.flush()
        assert [delivery.result().offset for delivery in deliveries] == list(range(1, 201))
        (loss,) = producer.losses
        assert (loss.first_offset, loss.next_offset) == (1, 2)
    assert_once_in_order((await values(kept.url, namespace, "t"))[0], [b"kept", *wanted])


async def test_a_server_that_comes_back_empty(kept: EmbeddedServer, namespace: str) -> None:
    """Without its file the topic is gone, too: it is made again, and the producer goes on."""
    await make_topic(kept.url, namespace, "t")
    async with Producer(kept.url, namespace=namespace, linger_ms=0, **QUICK) as producer:
        await (await producer.send("t", b"lost"))
        assert kept.data_dir is not None
        kept.kill()
        shutil.rmtree(kept.data_dir.path / "appendonlydir")
        kept.start()
        assert (await (await producer.send("t", b"kept"))).offset == 0
    assert await values(kept.url, namespace, "t") == [[b"kept"]]


async def test_a_callback_that_fails_does_not_stop_the_producer(
    kept: EmbeddedServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: LogLoss) -> None:
        raise RuntimeError("mine")

    await make_topic(kept.url, namespace, "t")
    async with Producer(
        kept.url, namespace=namespace, linger_ms=0, on_log_loss=fail, **QUICK
    ) as producer:
        await (await producer.send("t", b"kept"))
        past = Past(kept)
        await (await producer.send("t", b"lost"))
        await asyncio.to_thread(past.come_back)
        for _ in range(2):
            await (await producer.send("t", b"after"))
    assert len(producer.losses) == 1
    assert any(record.exc_info and "mine" in str(record.exc_info[1]) for record in caplog.records)

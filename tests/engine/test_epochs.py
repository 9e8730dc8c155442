"""Leader epochs: another history is noticed, and what was lost with the old one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, fetch
from partstream.errors import OutOfOrderSequenceNumber, UnknownTopicId
from partstream.store.store import Store
from tests.engine.logs import Producer, batch, check, engine, inside, read, stored_from
from tests.servers.targets import Target

pytestmark = pytest.mark.every_server


async def _another_history(store: Store, partition: Partition) -> None:
    """What a restart or a failover does to the token, without one."""
    key = partition.keys.state
    await store.execute("HSET", key, "token", f"x{time.monotonic_ns()}", key=key)


async def test_where_epochs_end(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        epochs = []
        for _ in range(3):
            epochs.append((await own.log.append(partition, batch(b"a", b"b"))).leader_epoch)
            await _another_history(own.store, partition)
        assert epochs == sorted(set(epochs))
        first, second, third = epochs
        assert await own.log.epoch_end(partition, first) == (first, 2)
        assert await own.log.epoch_end(partition, second) == (second, 4)
        assert await own.log.epoch_end(partition, third) == (third, 6)
        # Between two epochs: the one below. Above all: unknown, as in Kafka.
        assert await own.log.epoch_end(partition, second - 1) == (first, 2)
        assert await own.log.epoch_end(partition, third + 1) == (-1, -1)


async def test_an_epoch_begins_without_an_append(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        first = (await own.log.append(partition, batch(b"a", b"b"))).leader_epoch
        assert await own.log.begin_epoch(partition) == first
        await _another_history(own.store, partition)
        second = await own.log.begin_epoch(partition)
        assert second > first
        assert await own.log.begin_epoch(partition) == second
        assert (await own.log.append(partition, batch(b"c"))).leader_epoch == second
        assert (await own.log.history(partition)).epochs == [(first, 0), (second, 2)]
        other = replace(partition, topic_id="another")
        with pytest.raises(UnknownTopicId):
            await own.log.begin_epoch(other)


async def test_an_epoch_is_when_it_began(redis_url: str, namespace: str) -> None:
    """By the server's clock, in whole seconds since 2020; so no other history has had it before."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()

        async def append() -> int:
            return (await own.log.append(partition, batch(b"a"))).leader_epoch

        for begin in (partial(own.log.begin_epoch, partition), append):
            await _another_history(own.store, partition)
            before = await own.topics.now_ms()
            begun = await begin()
            after = await own.topics.now_ms()
            assert before // 1000 <= begun + 1_577_836_800 <= after // 1000 + 1


async def test_the_history_of_epochs_stays_short(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        key = partition.keys.state
        long = " ".join(f"{epoch}:{epoch}" for epoch in range(900))
        await own.store.execute("HSET", key, "epochs", long, "epoch", 899, "end", 899, key=key)
        await own.store.execute("HSET", key, "start", 899, key=key)
        await _another_history(own.store, partition)
        answer = await own.log.append(partition, batch(b"a"))
        history = (await inside(own.store, partition)).state["epochs"].split()
        assert 100 < len(history) < 900
        assert history[-1] == f"{answer.leader_epoch}:899"
        oldest = int(history[0].split(":")[0])
        # What is older than the history ends at the latest where the history begins.
        assert await own.log.epoch_end(partition, 3) == (3, oldest)


@pytest.fixture
def kept_server(target: Target, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server whose append-only file has all that it answered, however slow the disk is."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(
        tmp_path, binary=target.binary.path, config={"appendfsync": "always"}
    ) as running:
        yield running


@pytest.mark.faults
async def test_a_restart_begins_an_epoch(kept_server: EmbeddedServer) -> None:
    async with engine(kept_server.url, "ps") as own:
        partition = await own.partition()
        epochs = []
        for number in range(3):
            one = batch(b"%d" % number, by=Producer(1, 0, number))
            answer = await own.log.append(partition, one)
            again = await own.log.append(partition, one)
            assert (again.duplicate, again.leader_epoch) == (True, answer.leader_epoch)
            epochs.append(answer.leader_epoch)
            await asyncio.to_thread(kept_server.restart)
        assert epochs == sorted(set(epochs))
        for number, epoch in enumerate(epochs):
            assert await own.log.epoch_end(partition, epoch) == (epoch, number + 1)
        assert [
            stored.leader_epoch for stored in await stored_from(own.store, partition, 0)
        ] == epochs
        await check(own.store, partition)


def _lose_from(folder: Path, what: bytes) -> None:
    """Cut an append-only file off, as a crash does that came before the last sync."""
    (log,) = folder.glob("appendonlydir/*.incr.aof")
    content = log.read_bytes()
    log.write_bytes(content[: content.index(what)])


@pytest.mark.faults
async def test_a_lost_tail_is_noticed(kept_server: EmbeddedServer, tmp_path: Path) -> None:
    """The last second before a crash is gone, and other records stand in its place."""
    async with engine(kept_server.url, "ps") as own:
        partition = await own.partition()
        for number in range(4):
            before = await own.log.append(
                partition, batch(b"old %d" % number, by=Producer(1, 0, number))
            )
        cursor = Cursor(partition, 0)
        assert len((await fetch(own.store, cursor, 1)).batches) == 1
        await asyncio.to_thread(kept_server.kill)
        await asyncio.to_thread(_lose_from, tmp_path, b"old 2")
        await asyncio.to_thread(kept_server.start)

        # The reader, whose position is 4, learns from the epoch that it is past the end.
        assert await own.log.epoch_end(partition, before.leader_epoch) == (before.leader_epoch, 2)
        # So does the producer, whose next batch does not follow on what is there.
        with pytest.raises(OutOfOrderSequenceNumber, match="expected 2"):
            await own.log.append(partition, batch(b"old 4", by=Producer(1, 0, 4)))
        for number in range(2, 6):
            after = await own.log.append(
                partition, batch(b"new %d" % number, by=Producer(1, 1, number - 2))
            )
        assert after.leader_epoch > before.leader_epoch
        assert (await own.log.bounds(partition)).end == 6
        assert await own.log.epoch_end(partition, before.leader_epoch) == (before.leader_epoch, 2)
        values = [record.value for record in await read(own.store, partition)]
        assert values == [b"old 0", b"old 1", b"new 2", b"new 3", b"new 4", b"new 5"]
        await check(own.store, partition)


@pytest.mark.faults
async def test_a_server_without_a_memory(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a"))
        await asyncio.to_thread(fresh_server.restart)
        with pytest.raises(UnknownTopicId):
            await own.log.append(partition, batch(b"b"))
        assert await own.topics.all() == {}

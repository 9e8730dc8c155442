"""Servers that pass through a state in which they take nothing: everybody waits, and goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from partstream.aio import Producer
from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.server import EmbeddedServer
from partstream.metrics.hooks import Observer
from partstream.store.slots import partition_slot, slot_of
from partstream.store.store import Store
from tests.servers.targets import Target
from tests.waiting import until

pytestmark = pytest.mark.faults


class Retries(Observer):
    """Counts the answers after which a request was made again."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def request_retried(self, node: str, error: str) -> None:
        self.seen[error] += 1


class Waiting:
    """A reader and a writer who were at work before the state began."""

    def __init__(self, store: Store, producer: Producer, retries: Retries) -> None:
        self.store, self.producer, self.retries = store, producer, retries
        self.key = store.keys.meta.layout

    async def read(self) -> bytes | None:
        answer: bytes | None = await self.store.execute("GET", self.key, key=self.key)
        return answer

    @asynccontextmanager
    async def through(self, answer: str) -> AsyncIterator[None]:
        """Ask while the server refuses with that answer, and get what was asked for afterwards."""
        delivery = await self.producer.send("t", b"waits")
        reading = asyncio.create_task(self.read())
        try:
            await until(lambda: self.retries.seen[answer], within=30)
            assert not reading.done()
            yield
            await reading
            await delivery
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@asynccontextmanager
async def waiting(url: str) -> AsyncIterator[Waiting]:
    retries = Retries()
    store = await Store.connect(url, observer=retries)
    try:
        async with Producer(url, linger_ms=0, acks=1) as producer:
            await (await producer.send("t", b"before"))
            yield Waiting(store, producer, retries)
    finally:
        await store.close()


@pytest.fixture
def slow_starter(target: Target) -> Iterator[EmbeddedServer]:
    """A server that takes seconds to load what it has saved, and answers meanwhile."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    config: dict[str, str | int] = {
        "save": "3600 1",
        "rdbcompression": "no",
        "key-load-delay": 1_000,
        "loading-process-events-interval-bytes": 16_384,
    }
    with EmbeddedServer(binary=target.binary.path, config=config) as running:
        yield running


@pytest.mark.every_server
async def test_readonly(fresh_server: EmbeddedServer) -> None:
    async with waiting(fresh_server.url) as own:
        fresh_server.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
        fresh_server.command("REPLICAOF", "127.0.0.1", 1)
        writing = asyncio.create_task(
            own.store.execute("SET", own.store.keys.probe(1), "x", key=own.store.keys.probe(1))
        )
        delivery = await own.producer.send("t", b"waits")
        await until(lambda: own.retries.seen["ReadOnlyError"])
        fresh_server.command("REPLICAOF", "NO", "ONE")
        await writing
        assert (await delivery).offset == 1


@pytest.mark.every_server
async def test_masterdown(fresh_server: EmbeddedServer) -> None:
    async with waiting(fresh_server.url) as own:
        fresh_server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        fresh_server.command("REPLICAOF", "127.0.0.1", 1)
        async with own.through("MasterDownError"):
            fresh_server.command("REPLICAOF", "NO", "ONE")


@pytest.mark.every_server
async def test_loading(slow_starter: EmbeddedServer) -> None:
    pairs = [word for at in range(2_000) for word in (f"filler:{at}", "x" * 5_000)]
    slow_starter.command("MSET", *pairs, timeout=30)
    async with waiting(slow_starter.url) as own:
        await asyncio.to_thread(slow_starter.stop)
        starting = asyncio.create_task(asyncio.to_thread(slow_starter.start))
        async with own.through("BusyLoadingError"):
            await starting


async def test_clusterdown(fresh_cluster: EmbeddedCluster) -> None:
    for node in fresh_cluster.nodes:
        node.command("CONFIG", "SET", "cluster-require-full-coverage", "yes")
    async with waiting(fresh_cluster.url) as own:
        needed = [
            await asyncio.to_thread(fresh_cluster.owner_of, slot)
            for slot in (partition_slot("t", 0), slot_of(own.key))
        ]
        primaries = await asyncio.to_thread(fresh_cluster.primaries)
        victim = next(node for node in primaries if node not in needed)
        (replica,) = await asyncio.to_thread(fresh_cluster.replicas_of, victim)
        for node in (replica, victim):
            await asyncio.to_thread(node.kill)
        for node in needed:
            await until(partial(_is_down, node), within=30)
        async with own.through("ClusterDownError"):
            for node in (victim, replica):
                await asyncio.to_thread(node.start)
            await asyncio.to_thread(fresh_cluster.wait_settled)


def _is_down(node: ClusterNode) -> bool:
    return resp.fields(node.command("CLUSTER", "INFO"))["cluster_state"] == "fail"

"""acks="all" with a replica that comes and goes, and with the append-only file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import (
    DeliveryTimeout,
    InvalidConfig,
    NotEnoughReplicas,
    NotEnoughReplicasAfterAppend,
    PartstreamError,
)
from tests.client.producing import assert_once_in_order, make_topic, numbered, values
from tests.servers.targets import Target
from tests.waiting import until, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.every_server]

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 50}


@pytest.fixture
def replica(fresh_server: EmbeddedServer, target: Target) -> Iterator[EmbeddedServer]:
    """A replica of `fresh_server`, linked."""
    assert target.binary is not None
    with EmbeddedServer(
        binary=target.binary.path, config={"replicaof": f"127.0.0.1 {fresh_server.port}"}
    ) as running:
        wait_until(lambda: in_sync(fresh_server))
        yield running


def in_sync(primary: EmbeddedServer) -> bool:
    return "state=online" in primary.info("replication").get("slave0", "")


async def test_all_waits_for_the_replica(
    fresh_server: EmbeddedServer, replica: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t")
    async with Producer(fresh_server.url, namespace=namespace, linger_ms=0, **QUICK) as producer:
        deliveries = [await producer.send("t", value) for value in numbered(200)]
        for delivery in deliveries:
            await delivery
        assert await values(replica.url, namespace, "t") == [numbered(200)]
        replica.pause()
        try:
            waiting = await producer.send("t", b"waits")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await waiting
            async with Producer(
                fresh_server.url, namespace=namespace, linger_ms=0, acks=1
            ) as careless:
                assert (await (await careless.send("t", b"waits not"))).offset == 201
        finally:
            replica.resume()
        assert (await waiting).offset == 200


async def test_min_insync_replicas_after_the_append(
    fresh_server: EmbeddedServer, replica: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t", min_insync_replicas=2)
    options = {"replica_lag_time_max_ms": 1_000, "request_timeout_ms": 600, **QUICK}
    async with (
        Producer(fresh_server.url, namespace=namespace, linger_ms=0, **options) as patient,
        Producer(
            fresh_server.url, namespace=namespace, delivery_timeout_ms=800, **options
        ) as hasty,
    ):
        await (await patient.send("t", b"000000"))
        replica.pause()
        try:
            began = time.monotonic()
            lost = await hasty.send("t", b"hasty")
            deliveries = [await patient.send("t", value) for value in numbered(50, 1)]
            with pytest.raises(DeliveryTimeout, match="replica"):
                await lost
            assert 0.79 < time.monotonic() - began < 1.6
            (line,) = patient._lines.values()
            await until(lambda: isinstance(line._trouble, NotEnoughReplicasAfterAppend))
            # Once it is silent for too long it is not waited for, but it is missed.
            await until(lambda: "min.insync.replicas" in str(line._trouble))
            assert not any(delivery.done() for delivery in deliveries)
        finally:
            replica.resume()
        for delivery in deliveries:
            await delivery
    (log,) = await values(replica.url, namespace, "t")
    assert_once_in_order([value for value in log if value != b"hasty"], numbered(51))
    assert log.count(b"hasty") == 1, "it was appended, and only the acknowledgement was missing"


async def test_min_insync_replicas_before_the_append(
    fresh_server: EmbeddedServer, replica: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t", min_insync_replicas=2)
    async with Producer(fresh_server.url, namespace=namespace, linger_ms=0, **QUICK) as producer:
        await (await producer.send("t", b"000000"))
        replica.stop()
        await until(lambda: not in_sync(fresh_server))
        deliveries = [await producer.send("t", value) for value in numbered(50, 1)]
        (line,) = producer._lines.values()
        await until(lambda: type(line._trouble) is NotEnoughReplicas)
        assert await values(fresh_server.url, namespace, "t") == [[b"000000"]]
        replica.start()
        for delivery in deliveries:
            await delivery
    (log,) = await values(replica.url, namespace, "t")
    assert_once_in_order(log, numbered(51))


async def test_the_floor_counts_for_acks_all_only(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t", min_insync_replicas=2)
    async with Producer(
        fresh_server.url, namespace=namespace, linger_ms=0, acks=1, **QUICK
    ) as producer:
        assert (await (await producer.send("t", b"alone"))).offset == 0
    async with Producer(
        fresh_server.url, namespace=namespace, linger_ms=0, request_timeout_ms=200,
        delivery_timeout_ms=300, **QUICK,
    ) as producer:  # fmt: skip
        with pytest.raises(DeliveryTimeout, match="0 replicas are connected"):
            await (await producer.send("t", b"all"))
    assert await values(fresh_server.url, namespace, "t") == [[b"alone"]]


async def test_a_floor_that_is_lifted_is_noticed(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    await make_topic(fresh_server.url, namespace, "t", min_insync_replicas=2)
    async with Producer(fresh_server.url, namespace=namespace, linger_ms=0, **QUICK) as producer:
        waiting = await producer.send("t", b"waits")
        (line,) = producer._lines.values()
        await until(lambda: type(line._trouble) is NotEnoughReplicas)
        await producer._session.topics.alter("t", {"min.insync.replicas": None})
        assert (await waiting).offset == 0


def waits_for_aof(server: EmbeddedServer) -> bool:
    known = server.command("COMMAND", "INFO", "WAITAOF")
    assert isinstance(known, list)
    return bool(known and known[0])


async def test_flush_messages_needs_an_append_only_file(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    with pytest.raises(InvalidConfig, match=r"flush\.messages"):
        await make_topic(fresh_server.url, namespace, "t", flush_messages=1)


async def test_flush_messages_waits_for_the_append_only_file(
    target: Target, tmp_path: Path, namespace: str
) -> None:
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(
        tmp_path / "data", binary=target.binary.path, config={"appendfsync": "no"}
    ) as server:
        if not waits_for_aof(server):
            with pytest.raises(InvalidConfig, match=r"flush\.messages.*WAITAOF"):
                await make_topic(server.url, namespace, "t", flush_messages=1)
            return
        await make_topic(server.url, namespace, "t", flush_messages=1)
        await make_topic(server.url, namespace, "free")
        async with Producer(
            server.url, namespace=namespace, linger_ms=0, request_timeout_ms=300, **QUICK
        ) as producer:
            waiting = await producer.send("t", b"value")
            assert (await (await producer.send("free", b"value"))).offset == 0
            (line,) = (line for line in producer._lines.values() if line.queue.where.topic == "t")
            await until(lambda: "append-only file" in str(line._trouble))
            assert not waiting.done()
            server.command("CONFIG", "SET", "appendfsync", "always")
            assert (await waiting).offset == 0
            # Whoever switches the file off is told by the next record.
            server.command("CONFIG", "SET", "appendonly", "no")
            failed = await producer.send("t", b"value")
            with pytest.raises(PartstreamError, match="WAITAOF"):
                await failed

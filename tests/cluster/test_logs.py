"""What clients log of reconnects, failovers, moved slots and truncations: a line each, no noise."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from partstream.aio import Consumer, Producer
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import move_slots
from partstream.embedded.server import EmbeddedServer
from partstream.model import TopicPartition
from partstream.store.slots import partition_slot, ranges_text
from tests.engine.logs import batch, engine
from tests.waiting import until

pytestmark = pytest.mark.faults
PARTITION = TopicPartition("t", 0)


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """The lines that would be seen at INFO and that have these words."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.INFO
        and record.name.startswith("partstream.")
        and words in record.getMessage()
    ]


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "partstream")


async def test_ordinary_work_says_next_to_nothing(
    cluster_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Producer(cluster_url, namespace=namespace, num_partitions=12) as producer:
        for number in range(500):
            await producer.send("t", b"%d" % number)
        await producer.flush()
    async with Consumer(
        cluster_url, namespace=namespace, group_id="g", auto_offset_reset="earliest"
    ) as consumer:
        await consumer.subscribe("t")
        seen = 0
        while seen < 500:
            seen += len(await consumer.poll(timeout=5))
        await consumer.commit()
    (line,) = said(caplog, "")
    assert line.startswith("joined group g")


@pytest.mark.every_server
async def test_a_failover_is_one_line(
    fresh_cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a"))
        old = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        (new,) = await asyncio.to_thread(fresh_cluster.replicas_of, old)
        held = (await asyncio.to_thread(fresh_cluster.slots_of))[old.index]
        await asyncio.to_thread(fresh_cluster.failover, new.index)
        await own.log.append(partition, batch(b"b"))
        await until(lambda: said(caplog, "took over"))
        # The slot that was asked for may be known first, and the others a moment later.
        await until(lambda: _covered(said(caplog, f"{new.port} took over")) >= len(held) - 1)
        lines = said(caplog, "")
        assert len(lines) <= 2, lines
        assert all(f"took over from 127.0.0.1:{old.port}; leader epochs" in line for line in lines)
        assert all("(replication ID " in line for line in lines)


def _covered(lines: list[str]) -> int:
    """How many slots the lines name."""
    total = 0
    for line in lines:
        for part in line.removeprefix("slots ").partition(":")[0].split(","):
            first, _, last = part.partition("-")
            total += int(last or first) - int(first) + 1
    return total


async def test_a_reshard_is_a_line_a_second_at_the_most(
    fresh_cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a"))
        source = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        primaries = await asyncio.to_thread(fresh_cluster.primaries)
        target = next(node for node in primaries if node is not source)
        await asyncio.to_thread(move_slots, fresh_cluster, [partition.slot], target)
        await own.log.append(partition, batch(b"b"))
        await until(lambda: said(caplog, "have moved") or said(caplog, "took over"))
        (line,) = said(caplog, "")
        assert line.startswith(
            f"slots {partition.slot} have moved from 127.0.0.1:{source.port} "
            f"to 127.0.0.1:{target.port}"
        )


async def test_a_reconnect_is_one_line(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a"))
        await asyncio.to_thread(fresh_server.command, "CLIENT", "KILL", "TYPE", "normal")
        await own.store.execute("GET", own.store.keys.meta.layout, key=own.store.keys.meta.layout)
        await until(lambda: said(caplog, "reconnected"))
        (line,) = said(caplog, "")
        assert line.startswith(
            f"reconnected to Redis at 127.0.0.1:{fresh_server.port}, slots 0-16383: "
            "its history is the same (replication ID "
        )
        caplog.clear()
        await asyncio.to_thread(fresh_server.restart)
        await own.store.execute("GET", own.store.keys.meta.layout, key=own.store.keys.meta.layout)
        await until(lambda: said(caplog, "reconnected"))
        (line,) = said(caplog, "")
        assert "slots 0-16383: a new leader epoch (replication ID " in line


async def test_a_reconnect_of_the_doorbells_is_one_line(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(fresh_server.url, "ps") as own:
        await own.store.bells.watch("bell", lambda: None)
        for _ in range(2):
            caplog.clear()
            await asyncio.to_thread(fresh_server.command, "CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: said(caplog, "reconnected"))
            (line,) = said(caplog, "")
            assert line == (
                f"reconnected to Redis at 127.0.0.1:{fresh_server.port} to hear doorbells, "
                f"slots 0-16383 (replication ID {_history(fresh_server)})"
            )


async def test_a_reconnect_of_the_barrier_is_one_line(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine(fresh_server.url, "ps") as own:
        barrier = own.store.barrier("key")
        await barrier.confirm()
        for _ in range(2):
            caplog.clear()
            link = barrier._link
            assert link is not None
            assert link.identity is not None
            await asyncio.to_thread(
                fresh_server.command, "CLIENT", "KILL", "ID", link.identity.client_id
            )
            await until(partial(getattr, link, "lost"))
            await barrier.confirm()
            (line,) = said(caplog, "")
            assert line == (
                f"reconnected to Redis at 127.0.0.1:{fresh_server.port} to wait for replicas, "
                f"slots 0-16383 (replication ID {_history(fresh_server)})"
            )


def _history(server: EmbeddedServer) -> str:
    return server.info("replication")["master_replid"][:8]


async def test_a_truncation_names_node_slot_and_epochs(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    slot = partition_slot("t", 0)
    async with (
        Producer(fresh_server.url, acks=1, linger_ms=0) as producer,
        Consumer(fresh_server.url, auto_offset_reset="earliest") as consumer,
    ):
        await (await producer.send("t", b"1"))
        await asyncio.to_thread(fresh_server.command, "SAVE")
        await (await producer.send("t", b"2"))
        await consumer.assign(PARTITION)
        while len(await consumer.poll(timeout=1)) < 1 or await consumer.position(PARTITION) < 2:
            pass
        await asyncio.to_thread(fresh_server.kill)
        await asyncio.to_thread(fresh_server.start)
        await (await producer.send("t", b"3"))
        place = f"slot {slot} on 127.0.0.1:{fresh_server.port}"
        await until(lambda: said(caplog, "was truncated"), within=30)
        (line,) = said(caplog, "was truncated")
        assert place in line
        assert "leader epoch" in line
        await until(lambda: said(caplog, "has lost acknowledged records"), within=30)
        (line,) = said(caplog, "has lost acknowledged records")
        assert place in line


def test_slots_are_written_as_ranges() -> None:
    assert ranges_text([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert ranges_text([]) == ""

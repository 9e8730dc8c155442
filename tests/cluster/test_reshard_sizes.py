"""Moving partitions of 10 MiB, 300 MiB and 1 GiB to another primary while they are in use.

The large ones are marked long: they take up to 3 GiB of memory and print what they measured.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from partstream.aio import Admin, Consumer, Producer
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.process import ServerProcess
from partstream.embedded.reshard import move_at_once, move_slots
from partstream.errors import IllegalState
from partstream.model import TopicPartition
from partstream.store.slots import partition_slot
from tests.servers.targets import Target
from tests.waiting import until

pytestmark = pytest.mark.faults

MIB = 1 << 20
VALUE = 60_000
BIG = TopicPartition("big", 0)
SLOT = partition_slot("big", 0)


@contextmanager
def patient_cluster(binary: Path) -> Iterator[EmbeddedCluster]:
    """Two primaries that wait for one another for as long as MIGRATE may take."""
    with EmbeddedCluster(2, 0, binary=binary, node_timeout_ms=120_000) as running:
        yield running


@pytest.fixture
def patient(target: Target) -> Iterator[EmbeddedCluster]:
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with patient_cluster(target.binary.path) as running:
        yield running


def moves_at_once(node: ServerProcess) -> bool:
    """Whether the server has atomic slot migration."""
    version = tuple(int(part) for part in node.version().split(".")[:2])
    return version >= {"valkey": (9, 0), "redis": (8, 4)}[node.binary.product]


class Stopwatch(threading.Thread):
    """Pings a node, and notes the longest time that it was silent for."""

    def __init__(self, node: ServerProcess) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self._node = node
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            asked = time.perf_counter()
            self._node.command("PING", timeout=120)
            self.longest = max(self.longest, time.perf_counter() - asked)
            self._stopping.wait(0.002)

    def stop(self) -> float:
        self._stopping.set()
        self.join()
        return self.longest


async def fill(url: str, mebibytes: int) -> int:
    """Records that do not compress; returns how many."""
    async with Admin(url) as admin:
        await admin.create_topic("big", 1, {"retention.bytes": -1})
    count = mebibytes * MIB // VALUE
    value = os.urandom(VALUE)
    async with Producer(url, batch_size=65_536, linger_ms=0) as producer:
        for number in range(count):
            await producer.send("big", b"%08d" % number + value)
        await producer.flush()
    return count


class Traffic:
    """Somebody who goes on writing, and somebody who reads it all."""

    def __init__(self, url: str, filled: int) -> None:
        self.url, self.sent = url, filled
        self.stopping = asyncio.Event()

    async def produce(self) -> None:
        async with Producer(self.url, linger_ms=0, delivery_timeout_ms=600_000) as producer:
            while not self.stopping.is_set():
                await (await producer.send("big", b"%08d" % self.sent))
                self.sent += 1

    async def goes_on(self) -> None:
        sent = self.sent + 5
        await until(lambda: self.sent >= sent, within=120)

    async def check(self) -> None:
        """All of it is there, once and in order."""
        async with Consumer(self.url, auto_offset_reset="earliest") as consumer:
            await consumer.assign(BIG)
            expected = 0
            while expected < self.sent:
                for record in await consumer.poll(timeout=60):
                    assert record.offset == expected
                    assert int(record.value[:8]) == expected
                    expected += 1


async def move(cluster: EmbeddedCluster, mebibytes: int, *, at_once: bool) -> None:
    """Move the partition under traffic, and print how long its servers were silent."""
    run = asyncio.to_thread
    traffic = Traffic(cluster.url, await fill(cluster.url, mebibytes))
    source = await run(cluster.owner_of, SLOT)
    target = next(node for node in await run(cluster.primaries) if node is not source)
    watches = [Stopwatch(source), Stopwatch(target)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.produce())
        await traffic.goes_on()
        for watch in watches:
            watch.start()
        began = time.perf_counter()
        await run(move_at_once if at_once else move_slots, cluster, [SLOT], target)
        took = time.perf_counter() - began
        silent = [await run(watch.stop) for watch in watches]
        await traffic.goes_on()
        traffic.stopping.set()
    print(
        f"\n{source.binary.label}: {mebibytes} MiB {'at once' if at_once else 'by MIGRATE'}: "
        f"{took:.2f} s, source silent {silent[0]:.2f} s, target {silent[1]:.2f} s"
    )
    assert await run(cluster.owner_of, SLOT) is target
    await traffic.check()


@pytest.mark.parametrize("at_once", [False, True], ids=["migrate", "at-once"])
async def test_10_mib(patient: EmbeddedCluster, at_once: bool) -> None:
    if at_once and not moves_at_once(patient.nodes[0]):
        pytest.skip("the server has no atomic slot migration")
    await move(patient, 10, at_once=at_once)


@pytest.mark.long
@pytest.mark.every_server
@pytest.mark.deadline(600)
@pytest.mark.parametrize("at_once", [False, True], ids=["migrate", "at-once"])
async def test_300_mib(patient: EmbeddedCluster, at_once: bool) -> None:
    if at_once and not moves_at_once(patient.nodes[0]):
        pytest.skip("the server has no atomic slot migration")
    await move(patient, 300, at_once=at_once)


@pytest.mark.long
@pytest.mark.every_server
@pytest.mark.deadline(600)
async def test_1_gib_is_refused_before_it_starts_and_goes_at_once(
    patient: EmbeddedCluster,
) -> None:
    node = patient.nodes[0]
    if moves_at_once(node):
        await move(patient, 1_024, at_once=True)
    else:
        await fill(patient.url, 1_024)
    await refused(patient, "proto-max-bulk-len")
    async with Admin(patient.url) as admin:
        found = {finding.name: finding for finding in await admin.doctor()}
    assert found["partition-immovable"].where == "big-0"


async def test_what_migrate_cannot_carry_is_refused_before_it_starts(
    patient: EmbeddedCluster,
) -> None:
    for node in patient.nodes:
        node.command("CONFIG", "SET", "proto-max-bulk-len", MIB)
    await fill(patient.url, 3)
    await refused(patient, r"big:.*:0:log has \d MiB, MIGRATE carries 1 MiB")
    async with Admin(patient.url) as admin:
        found = {finding.name: finding for finding in await admin.doctor()}
    assert found["partition-immovable"].where == "big-0"


async def refused(cluster: EmbeddedCluster, words: str) -> None:
    """A move by MIGRATE is refused, and leaves all as it was."""
    run = asyncio.to_thread
    source: ClusterNode = await run(cluster.owner_of, SLOT)
    target = next(node for node in await run(cluster.primaries) if node is not source)
    with pytest.raises(IllegalState, match=words):
        await run(move_slots, cluster, [SLOT], target)
    assert await run(cluster.owner_of, SLOT) is source
    assert not any(word.startswith("[") for words in source.lines() for word in words)

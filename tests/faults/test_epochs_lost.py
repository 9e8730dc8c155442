"""Leader epochs of which no replica ever heard: what was read in them is missed all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from partstream.embedded.server import EmbeddedServer
from tests.engine.logs import Engine, batch, engine
from tests.servers.targets import Target
from tests.waiting import until, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.every_server]


@pytest.fixture
def primary(target: Target, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that finds after a restart what it had."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(
        tmp_path, binary=target.binary.path, config={"appendfsync": "always"}
    ) as running:
        yield running


@pytest.fixture
def replica(primary: EmbeddedServer, target: Target) -> Iterator[EmbeddedServer]:
    """Its replica, linked."""
    assert target.binary is not None
    with EmbeddedServer(
        binary=target.binary.path, config={"replicaof": f"127.0.0.1 {primary.port}"}
    ) as running:
        wait_until(lambda: "state=online" in primary.info("replication").get("slave0", ""))
        yield running


async def test_two_failures_in_a_row(primary: EmbeddedServer, replica: EmbeddedServer) -> None:
    """A primary is restarted, and dies before its replica is back: its last epochs die with it."""
    async with engine(primary.url, "ps") as own:
        partition = await own.partition()
        first = (await own.log.append(partition, batch(b"kept"))).leader_epoch
        await until(lambda: _offset(primary) == _offset(replica))
        replica.pause()
        lost = []
        for _ in range(3):
            await asyncio.to_thread(primary.restart)
            lost.append((await own.log.append(partition, batch(b"lost"))).leader_epoch)
        assert sorted(set(lost)) == lost
        primary.kill()
    replica.resume()
    replica.command("REPLICAOF", "NO", "ONE")
    async with engine(replica.url, "ps") as own:
        partition = (await own.topics.get("t")).partitions[0]
        assert (await own.log.history(partition)).epochs == [(first, 0)]
        # Three restarts in one second are faster than any server fails; and so is this failover.
        await until(lambda: _moved_on(own, lost[-1]))
        for _ in range(4):
            now = (await own.log.append(partition, batch(b"another"))).leader_epoch
        assert now > lost[-1]
        # Whoever has read what is lost is told so, however many records are in its place by now.
        for epoch in lost:
            assert await own.log.epoch_end(partition, epoch) == (first, 1)


def _offset(server: EmbeddedServer) -> str:
    return server.info("replication")["master_repl_offset"]


async def _moved_on(own: Engine, epoch: int) -> bool:
    return await own.topics.now_ms() // 1000 - 1_577_836_800 > epoch

"""What docs/operations.md tells to do with data: from one Redis to a cluster, and backups."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from partstream.aio import Admin, Consumer, Producer
from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.process import ServerProcess
from partstream.embedded.reshard import spread_slots
from partstream.embedded.server import EmbeddedServer
from partstream.errors import LogTruncation
from partstream.model import Record, TopicPartition
from tests.cluster.traffic import Traffic
from tests.servers.targets import Target

pytestmark = [pytest.mark.faults, pytest.mark.deadline(180)]

run = asyncio.to_thread
ONE = TopicPartition("t", 0)


def folder(server: ServerProcess) -> Path:
    """Where a server keeps its files."""
    answer = server.command("CONFIG", "GET", "dir")
    assert isinstance(answer, list)
    return Path(resp.text(answer[1]))


def binary_of(target: Target) -> Path:
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    return target.binary.path


async def test_one_redis_becomes_a_cluster_under_traffic(target: Target, tmp_path: Path) -> None:
    """The same keys, in the same slots: offsets, commits and producers' sequences go on."""
    binary = binary_of(target)
    with ExitStack() as servers:
        old = servers.enter_context(EmbeddedServer(tmp_path, binary=binary))
        kept = folder(old) / "appendonlydir"
        async with Admin(old.url) as admin:
            await admin.create_topic("t", 6)
        traffic = Traffic(old.url, request_timeout_ms=30_000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.produce())
            tasks.create_task(traffic.consume())
            await traffic.goes_on()
            await run(old.stop)
            # A cluster of one that has all slots and no data yet, where the old server was.
            cluster = EmbeddedCluster(
                1,
                0,
                binary=binary,
                ports=range(old.port, old.port + 1),
                config={"appendonly": "yes"},
            )
            await run(servers.enter_context, cluster)
            first = cluster.nodes[0]
            fresh = await run(folder, first) / "appendonlydir"
            await run(first.kill)
            shutil.rmtree(fresh)
            shutil.copytree(kept, fresh)
            await run(first.start)
            await run(cluster.wait_settled)
            await traffic.goes_on()
            others = [await run(cluster.add_node) for _ in range(2)]
            await run(spread_slots, cluster, [first, *others])
            await traffic.goes_on()
            async with Admin(old.url) as admin:
                described = await admin.describe_cluster()
            assert described.kind == "cluster"
            assert [len(node.partitions) for node in described.nodes] == [2, 2, 2]
            traffic.stopping.set()
        traffic.judge()


async def read(consumer: Consumer, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        came = await consumer.poll(timeout=30)
        assert came, f"nothing more behind {len(records)} records"
        records += came
    return records


@pytest.mark.every_server
async def test_a_backup_comes_back(target: Target, tmp_path: Path) -> None:
    """Records, topics and commits as they were; who has got further than the backup is told."""
    binary = binary_of(target)
    group: dict[str, Any] = {
        "group_id": "g",
        "session_timeout_ms": 3_000,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
    }
    with ExitStack() as servers:
        lost = servers.enter_context(EmbeddedServer(binary=binary))
        producer = await Producer(lost.url, linger_ms=0).start()
        member = await Consumer(lost.url, **group).start()
        for number in range(10):
            await (await producer.send("t", b"%d" % number))
        await member.subscribe("t")
        await read(member, 10)
        await member.commit({ONE: 7})
        await run(lost.command, "SAVE")
        shutil.copy(await run(folder, lost) / "dump.rdb", tmp_path / "dump.rdb")
        for number in range(10, 15):
            await (await producer.send("t", b"%d" % number))
        ahead = await Consumer(lost.url, auto_offset_reset="none").start()
        await ahead.assign(ONE)
        ahead.seek(ONE, 0)
        await read(ahead, 15)

        # Another server in its place, with what was backed up, and files that are not yet on.
        await run(lost.kill)
        back = EmbeddedServer(binary=binary, port=lost.port, config={"dir": str(tmp_path)})
        servers.enter_context(back)
        back.command("CONFIG", "SET", "appendonly", "yes")
        async with Admin(back.url) as admin:
            assert (await admin.describe_topic("t")).partitions[0].end_offset == 10
            assert (await admin.describe_group("g")).lags[0].lag == 3
        placed = await (await producer.send("t", b"new"))
        assert placed.offset == 10
        assert producer.losses[0].first_offset == 10
        with pytest.raises(LogTruncation, match="from offset 10 on"):
            await ahead.poll(timeout=60)
        # A new member waits for the session of the one that is in the backup, if that is gone.
        await member.close()
        async with Consumer(back.url, **group) as successor:
            await successor.subscribe("t")
            records = await read(successor, 4)
        assert [record.value for record in records] == [b"7", b"8", b"9", b"new"]
        await ahead.close()
        await producer.close()

"""A cluster that is changed, or loses a part of itself, while it is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from partstream.aio import Admin, Consumer, Producer
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.reshard import drain, spread_slots
from partstream.errors import LogTruncation
from partstream.model import LogLoss, Record, TopicPartition
from partstream.store.slots import partition_slot, slot_of
from tests.cluster.traffic import Traffic
from tests.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.deadline(180)]

run = asyncio.to_thread


@asynccontextmanager
async def traffic_on(cluster: EmbeddedCluster, *, partitions: int = 6) -> AsyncIterator[Traffic]:
    """Traffic on a topic that acknowledges what two have; judged at the end."""
    async with Admin(cluster.url) as admin:
        await admin.create_topic("t", partitions, {"min.insync.replicas": 2})
    traffic = Traffic(cluster.url)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.produce())
        tasks.create_task(traffic.consume())
        await traffic.goes_on()
        yield traffic
        await traffic.goes_on()
        traffic.stopping.set()
    traffic.judge()
    async with Admin(cluster.url) as admin:
        assert not any(lag.lag for lag in (await admin.describe_group("g")).lags)


async def hand_over(cluster: EmbeddedCluster, primary: ClusterNode) -> ClusterNode:
    """A planned failover; returns the new primary."""
    (replica,) = await run(cluster.replicas_of, primary)
    await run(cluster.failover, replica.index)
    return replica


async def test_planned_failovers_there_and_back_and_a_rolling_restart(
    fresh_cluster: EmbeddedCluster,
) -> None:
    async with traffic_on(fresh_cluster) as traffic:
        first = fresh_cluster.nodes[0]
        second = await hand_over(fresh_cluster, first)
        await traffic.goes_on()
        assert await hand_over(fresh_cluster, second) is first
        await traffic.goes_on()
        for primary in await run(fresh_cluster.primaries):
            await hand_over(fresh_cluster, primary)
            await run(primary.restart)
            await run(fresh_cluster.wait_settled)
            await traffic.goes_on(100)


async def test_a_primary_comes_and_goes(fresh_cluster: EmbeddedCluster) -> None:
    async with traffic_on(fresh_cluster, partitions=12) as traffic:
        before = await run(fresh_cluster.primaries)
        added = await run(fresh_cluster.add_node)
        follower = await run(lambda: fresh_cluster.add_node(replica_of=added))
        await run(spread_slots, fresh_cluster, [*before, added])
        await traffic.goes_on()
        async with Admin(fresh_cluster.url) as admin:
            nodes = (await admin.describe_cluster()).nodes
            assert sorted(len(node.partitions) for node in nodes) == [3, 3, 3, 3]
        await run(drain, fresh_cluster, added)
        await run(fresh_cluster.remove_node, follower)
        await run(fresh_cluster.remove_node, added)


async def test_a_replica_is_promoted_while_the_group_rebalances(
    fresh_cluster: EmbeddedCluster,
) -> None:
    async with traffic_on(fresh_cluster) as traffic:
        keeper = await run(fresh_cluster.owner_of, slot_of("{g:g}"))
        async with Consumer(fresh_cluster.url, group_id="g", client_id="second") as second:
            await second.subscribe("t")
            joining = asyncio.create_task(_read_some(second, traffic.read))
            await run(keeper.kill)
            await run(fresh_cluster.wait_taken_over, keeper)
            await joining
            assert second.assignment()
            async with Admin(fresh_cluster.url) as admin:
                group = await admin.describe_group("g")
            owned = [at for member in group.members for at in member.assignment]
            assert len(owned) == len(set(owned))
        await run(keeper.restart)
        await run(fresh_cluster.wait_settled)


async def _read_some(consumer: Consumer, into: list[Record]) -> None:
    async def read() -> bool:
        records = await consumer.poll(timeout=0.5)
        into.extend(records)
        return bool(records)

    await until(read, within=90)


async def test_one_primary_is_full(fresh_cluster: EmbeddedCluster) -> None:
    async with traffic_on(fresh_cluster) as traffic:
        full = await run(fresh_cluster.owner_of, partition_slot("t", 0))
        used = int(full.info("memory")["used_memory"])
        await run(full.command, "CONFIG", "SET", "maxmemory", used // 2)
        async with Producer(fresh_cluster.url, linger_ms=0) as producer:
            elsewhere = await _partition_not_on(fresh_cluster, full)
            await (await producer.send("other", b"goes on", partition=elsewhere))
            refused = await producer.send("other", b"waits", partition=await _other_on(full))
            committed = len(traffic.read)
            await asyncio.sleep(0.5)
            assert not refused.done()
            assert len(traffic.read) >= committed
            await run(full.command, "CONFIG", "SET", "maxmemory", 0)
            await refused


PARTITIONS = 12


async def _partition_not_on(cluster: EmbeddedCluster, node: ClusterNode) -> int:
    async with Admin(cluster.url) as admin:
        topic = await admin.create_topic("other", PARTITIONS)
        assert topic.partitions == PARTITIONS
        rows = (await admin.describe_topic("other")).partitions
    return next(row.partition for row in rows if not row.node.endswith(f":{node.port}"))


async def _other_on(node: ClusterNode) -> int:
    async with Admin(f"redis://127.0.0.1:{node.port}") as admin:
        rows = (await admin.describe_topic("other")).partitions
    return next(row.partition for row in rows if row.node.endswith(f":{node.port}"))


async def test_there_and_back_again_without_an_append_is_noticed(
    fresh_cluster: EmbeddedCluster,
) -> None:
    where = TopicPartition("t", 0)
    async with Admin(fresh_cluster.url) as admin:
        await admin.create_topic("t", 1)
    losses: list[LogLoss] = []
    async with (
        Producer(fresh_cluster.url, acks=1, linger_ms=0, on_log_loss=losses.append) as producer,
        Consumer(fresh_cluster.url, auto_offset_reset="none") as consumer,
    ):
        first = await run(fresh_cluster.owner_of, partition_slot("t", 0))
        (second,) = await run(fresh_cluster.replicas_of, first)
        await (await producer.send("t", b"kept"))
        await until(lambda: _in_step(first))
        await run(second.pause)
        await run(first.command, "CLIENT", "KILL", "TYPE", "replica")
        await (await producer.send("t", b"lost"))
        await consumer.assign(where)
        consumer.seek(where, 0)
        seen: list[Record] = []
        while len(seen) < 2:
            seen += await consumer.poll(timeout=5)
        # The replica takes over without what it had not got, and gives the role back.
        await run(first.kill)
        await run(second.resume)
        await run(fresh_cluster.wait_taken_over, first)
        await run(first.restart)
        await run(fresh_cluster.wait_settled)
        await run(fresh_cluster.failover, first.index)
        placed = await (await producer.send("t", b"new"))
        assert placed.offset == 1
        await until(lambda: losses, within=30)
        assert (losses[0].first_offset, losses[0].next_offset) == (1, 2)
        with pytest.raises(LogTruncation, match="from offset 1 on"):
            await consumer.poll(timeout=60)
        assert [record.value for record in seen] == [b"kept", b"lost"]


def _in_step(primary: ClusterNode) -> bool:
    info = primary.info("replication")
    return f"offset={info['master_repl_offset']}," in info.get("slave0", "")

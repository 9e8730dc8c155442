"""Connections to a cluster: a few to each node, none a partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from partstream.aio import Admin, Consumer, Producer
from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.model import TopicPartition
from tests.waiting import until


def of_client(node: ClusterNode, name: str) -> list[str]:
    """The connections that a client has to a node."""
    lines = resp.text(node.command("CLIENT", "LIST")).splitlines()
    return [line for line in lines if f" name={name} " in line]


async def test_one_for_commands_one_for_bells_one_for_replicas(
    cluster: EmbeddedCluster, namespace: str
) -> None:
    writer, reader = f"w-{namespace}", f"r-{namespace}"
    async with (
        Producer(cluster.url, namespace=namespace, client_id=writer, num_partitions=48) as producer,
        Consumer(cluster.url, namespace=namespace, client_id=reader, group_id="g") as consumer,
    ):
        for number in range(48):
            await producer.send("t", b"x", partition=number)
        await producer.flush()
        await consumer.subscribe("t")

        async def all_wait() -> bool:
            """Every partition is assigned, and its reader listens."""
            await consumer.poll(timeout=0.1)
            channels = [
                await asyncio.to_thread(
                    node.command, "PUBSUB", "SHARDCHANNELS", f"{namespace}:*:t:*"
                )
                for node in cluster.primaries()
            ]
            return sum(len(names) for names in channels if isinstance(names, list)) >= 48

        await until(all_wait, within=30)
        for node in cluster.primaries():
            writing = await asyncio.to_thread(of_client, node, writer)
            reading = await asyncio.to_thread(of_client, node, reader)
            assert 1 <= len(writing) <= 3, writing
            assert 1 <= len(reading) <= 3, reading
            assert sum(" ssub=0 " not in line for line in reading) == 1


@pytest.mark.faults
@pytest.mark.deadline(120)
async def test_none_is_left_to_a_node_that_was_replaced(fresh_cluster: EmbeddedCluster) -> None:
    """However often a primary hands over to its replica, and takes over again."""
    run = asyncio.to_thread
    async with Admin(fresh_cluster.url) as admin:
        await admin.create_topic("t", 3, {"min.insync.replicas": 2})
    first = fresh_cluster.nodes[0]
    (second,) = await run(fresh_cluster.replicas_of, first)
    async with (
        Producer(fresh_cluster.url, client_id="writer", linger_ms=0) as producer,
        Consumer(fresh_cluster.url, client_id="reader", auto_offset_reset="earliest") as consumer,
    ):
        await consumer.assign([TopicPartition("t", partition) for partition in range(3)])

        async def work() -> None:
            """Write to every partition, read that, and listen for more."""
            for partition in range(3):
                await (await producer.send("t", b"x", partition=partition))
            seen = 0
            while seen < 3:
                seen += len(await consumer.poll(timeout=30))
            assert not await consumer.poll(timeout=0.2)

        async def count() -> list[int]:
            nodes = (first, second)
            return [
                len(await run(of_client, node, name))
                for name in ("writer", "reader")
                for node in nodes
            ]

        await work()
        await until(lambda: _is(count, [2, 0, 2, 0]), within=20)
        for _ in range(2):
            await run(fresh_cluster.failover, second.index)
            await work()
            await until(lambda: _is(count, [0, 2, 0, 2]), within=20)
            await run(fresh_cluster.failover, first.index)
            await work()
            await until(lambda: _is(count, [2, 0, 2, 0]), within=20)


async def _is(look: Callable[[], Awaitable[list[int]]], wanted: list[int]) -> bool:
    return await look() == wanted

"""Connections to a cluster: a few to each node, none a partition."""

from __future__ import annotations

import asyncio

from partstream.aio import Consumer, Producer
from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
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

"""The consumer on a cluster: partitions on several nodes, bells and groups too."""

from __future__ import annotations

import asyncio

from partstream.client.consumer import Consumer
from tests.client.consuming import nothing_from, source, take, tps


async def test_partitions_on_every_node(cluster_url: str, namespace: str) -> None:
    async with source(cluster_url, namespace) as logs:
        await logs.topic(partitions=12)
        nodes = {logs.store.placement(f"{{{n}}}").address for n in range(100)}
        assert len(nodes) == 3
        for partition in range(12):
            await logs.fill(100, partition, batch=10)
        config = {"namespace": namespace, "auto_offset_reset": "earliest", "group_id": "g"}
        async with (
            Consumer(cluster_url, **config) as one,
            Consumer(cluster_url, **config) as two,
        ):
            await one.subscribe(["t"])
            await two.subscribe(["t"])
            seen: list[tuple[int, int]] = []
            enough = asyncio.Event()

            async def consume(reader: Consumer, total: int) -> None:
                while not enough.is_set():
                    records = await reader.poll(timeout=0.1)
                    seen.extend((record.partition, record.offset) for record in records)
                    shared = len(one.assignment()) == len(two.assignment()) == 6
                    if len(set(seen)) == total and shared:
                        enough.set()

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(consume(one, 1200))
                group.create_task(consume(two, 1200))
            await one.commit()
            await two.commit()
            async with Consumer(cluster_url, **config) as other:
                committed = await other.committed(tps(12))
            assert [at and at.offset for at in committed.values()] == [100] * 12
            # New records wake a sleeper, on whatever node they are.
            await nothing_from(one)
            await nothing_from(two)
            for name in sorted(one.assignment()):
                waiting = asyncio.create_task(take(one, 1))
                await logs.put(["new"], name.partition)
                assert (await waiting)[0].partition == name.partition

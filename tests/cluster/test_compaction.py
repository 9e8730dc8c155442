"""Compacted topics on a Redis Cluster: cleaned in their slots, also while those move."""

from __future__ import annotations

import asyncio

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import SlotMove
from partstream.engine.retention import sweep
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    last_of,
    left_of,
    updates,
)
from tests.engine.logs import Engine, engine
from tests.waiting import until

pytestmark = pytest.mark.faults

CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": 1_024,
    "min.cleanable.dirty.ratio": 0,
    "delete.retention.ms": 0,
}


class Writer:
    """Updates keys of one partition, and remembers their last values."""

    def __init__(self, own: Engine) -> None:
        self.own = own
        self.values: dict[bytes, bytes] = {}
        self.number = 0

    async def write(self, batches: int) -> None:
        """Append so many batches."""
        partition = (await self.own.topics.get("t")).partitions[0]
        for _ in range(batches):
            pairs = []
            for _ in range(4):
                self.number += 1
                pairs.append((b"k%d" % (self.number * 7 % 11), b"%d" % self.number + b"x" * 80))
            await self.own.log.append(partition, updates(*pairs))
            self.values |= dict(pairs)


@pytest.mark.every_server
async def test_it_is_cleaned_while_its_slot_moves(fresh_cluster: EmbeddedCluster) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        topic = await own.topics.create("t", 3, CONFIG)
        partition = topic.partitions[0]
        writer = Writer(own)
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await writer.write(20)
        owner = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        primaries = await asyncio.to_thread(fresh_cluster.primaries)
        target = next(node for node in primaries if node is not owner)
        move = SlotMove(fresh_cluster, partition.slot, target)
        await asyncio.to_thread(move.begin)
        # All keys are at the source still, and every one that scripts declare is there.
        assert await clean_now(own, partition) is not None
        await writer.write(20)
        await asyncio.to_thread(move.move_keys, 3)
        cleaning = asyncio.create_task(clean_now(own, partition))  # meets TRYAGAIN
        await asyncio.sleep(0.1)
        await asyncio.to_thread(move.move_keys)
        assert await cleaning is not None
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await asyncio.to_thread(move.finish)
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)
        assert last_of(await left_of(own, partition)) == writer.values
        await own.topics.delete("t")
        for node in await asyncio.to_thread(fresh_cluster.primaries):
            assert await asyncio.to_thread(node.command, "KEYS", "ps:*:t:*") == []


async def test_a_failover_loses_no_last_value(fresh_cluster: EmbeddedCluster) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        partition = (await own.topics.create("t", 1, CONFIG)).partitions[0]
        writer = Writer(own)
        await writer.write(30)
        assert (await sweep(own.store, own.topics)).cleaned == 1
        await writer.write(30)
        await own.log.barrier(partition).confirm()
        old = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        cleaning = asyncio.create_task(clean_now(own, partition))
        await asyncio.to_thread(old.kill)
        await asyncio.to_thread(fresh_cluster.wait_taken_over, old)
        await asyncio.gather(cleaning, return_exceptions=True)
        await writer.write(10)
        assert last_of(await left_of(own, partition)) == writer.values
        key = partition.keys.state
        await own.store.execute("HSET", key, "cleaner_until", 0, key=key)
        await until(lambda: _cleaned(own))
        await check_compacted(own.store, partition)
        assert last_of(await left_of(own, partition)) == writer.values


async def _cleaned(own: Engine) -> bool:
    return (await sweep(own.store, own.topics)).cleaned == 1

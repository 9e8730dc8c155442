"""The engine on a Redis Cluster: routed by slot, also while slots move and primaries die."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.reshard import SlotMove, move_slots
from partstream.engine.log import BEGIN, GO_ON
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, fetch
from partstream.engine.retention import sweep
from partstream.errors import (
    ConfigError,
    NotEnoughReplicasAfterAppend,
    OutcomeUnknown,
    StoreUnavailable,
)
from partstream.store.barrier import Barrier
from partstream.store.slots import slot_of
from partstream.store.store import Store
from tests.engine.logs import Engine, Producer, batch, check, engine, read
from tests.waiting import until

pytestmark = pytest.mark.faults


@pytest.mark.every_server
async def test_partitions_are_spread_and_all_are_reached(
    cluster: EmbeddedCluster, namespace: str
) -> None:
    async with engine(cluster.url, namespace) as own:
        topic = await own.topics.create("t", 12, {"segment.bytes": 1_024})
        held = Counter(own.store.placement(p.keys.log).address for p in topic.partitions)
        assert len(held) == 3
        assert max(held.values()) - min(held.values()) <= 2
        for number in range(5):
            answers = await asyncio.gather(
                *(
                    own.log.append(partition, batch(300, b"%d" % number))
                    for partition in topic.partitions
                )
            )
            assert {answer.base_offset for answer in answers} == {2 * number}
            assert {answer.replicas for answer in answers} == {1}
        for partition in topic.partitions:
            assert slot_of(partition.keys.log) == partition.slot
            assert len(await read(own.store, partition)) == 10
            await own.log.delete_records(partition, 3)
            await check(own.store, partition)
        swept = await sweep(own.store, own.topics)
        assert swept.partitions == 12
        await own.topics.grow("t", 15)
        await own.topics.delete("t")
        for node in cluster.primaries():
            keys = node.command("KEYS", f"{namespace}:*:t:*")
            assert keys == []


async def test_one_node_is_enough_to_find_the_others(
    cluster: EmbeddedCluster, namespace: str
) -> None:
    for node in cluster.nodes:  # replicas too
        async with engine(f"redis://127.0.0.1:{node.port}", namespace) as own:
            assert own.store.router.is_cluster
            topic = await own.topics.create(f"t{node.index}", 6)
            for partition in topic.partitions:
                await own.log.append(partition, batch(b"a"))
            assert len(own.store.router.primaries) == 3
    with pytest.raises(ConfigError, match="no database but 0"):
        await Store.connect(cluster.url + "/1")


async def test_confirmations_come_from_the_node_that_wrote(
    cluster: EmbeddedCluster, namespace: str
) -> None:
    async with engine(cluster.url, namespace) as own:
        topic = await own.topics.create("t", 6)
        tokens = set()
        for partition in topic.partitions:
            answer = await own.log.append(partition, batch(b"a"), least_replicas=1)
            # A replica counts from its first acknowledgement on, up to a second later.
            barrier = own.log.barrier(partition)
            await until(partial(_confirmed, barrier, answer.token))
            tokens.add(answer.token)
        assert len(tokens) == 3
        barriers = {own.log.barrier(partition) for partition in topic.partitions}
        assert len(barriers) == 3


async def _confirmed(barrier: Barrier, token: str) -> bool:
    return (await barrier.confirm(token=token)).replicas == 1


async def _other(cluster: EmbeddedCluster, slot: int) -> ClusterNode:
    owner = await asyncio.to_thread(cluster.owner_of, slot)
    primaries = await asyncio.to_thread(cluster.primaries)
    return next(node for node in primaries if node is not owner)


class Traffic:
    """A producer and a reader of one partition who go on whatever happens."""

    def __init__(self, own: Engine, partition: Partition, first: int = 0) -> None:
        self.own, self.partition = own, partition
        self.sent = self.read = first
        self.stopping = False

    async def produce(self) -> None:
        """Append one batch after the other; what is not known to be there is sent again."""
        while not self.stopping:
            one = batch(b"%d" % self.sent, by=Producer(1, 0, self.sent))
            try:
                await self.own.log.append(self.partition, one, line=GO_ON if self.sent else BEGIN)
            except OutcomeUnknown:
                continue
            self.sent += 1
            await asyncio.sleep(0.001)

    async def consume(self) -> None:
        """Read what comes, and compare."""
        cursor = Cursor(self.partition, self.read)
        while not (self.stopping and self.read >= self.sent):
            fetched = await fetch(self.own.store, cursor, 10_000)
            for stored in fetched.batches:
                assert stored.base_offset == self.read
                self.read = cursor.offset = stored.next_offset
            await asyncio.sleep(0.001)

    async def goes_on(self) -> None:
        """Until both have moved on."""
        sent, read_ = self.sent + 5, self.read + 5
        await until(lambda: self.sent > sent and self.read > read_)


@pytest.mark.every_server
async def test_a_slot_moves_under_traffic(fresh_cluster: EmbeddedCluster) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        partition = await own.partition()
        rings = 0

        def ring() -> None:
            nonlocal rings
            rings += 1

        await own.store.bells.watch(partition.keys.bell, ring)
        # A second client, whose map is old and who only listens.
        async with engine(fresh_cluster.url, "ps") as idle:
            heard = 0

            def hear() -> None:
                nonlocal heard
                heard += 1

            await idle.store.bells.watch(partition.keys.bell, hear)
            traffic = Traffic(own, partition)
            target = await _other(fresh_cluster, partition.slot)
            move = SlotMove(fresh_cluster, partition.slot, target)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(traffic.produce())
                tasks.create_task(traffic.consume())
                await traffic.goes_on()
                await asyncio.to_thread(move.begin)
                await traffic.goes_on()  # the keys are all at the source still
                await asyncio.to_thread(move.move_keys, 2)  # scripts meet TRYAGAIN
                await asyncio.sleep(0.1)
                await asyncio.to_thread(move.move_keys)  # and then ASK
                await traffic.goes_on()
                await asyncio.to_thread(move.finish)
                await traffic.goes_on()
                # The bells have moved, too.
                before = rings, heard
                await until(lambda: rings > before[0] and heard > before[1])
                traffic.stopping = True
            values = [record.value for record in await read(own.store, partition)]
            assert values == [b"%d" % number for number in range(traffic.sent)]
            await check(own.store, partition)
            assert own.store.placement(partition.keys.log).address.port == target.port
            before = rings, heard
            await own.log.append(partition, batch(b"last"))
            await until(lambda: rings > before[0] and heard > before[1])


async def test_the_barrier_outlives_the_slot_that_it_wrote_in(
    fresh_cluster: EmbeddedCluster,
) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        topic = await own.topics.create("t", 12)
        node = own.store.router.node(topic.partitions[0].slot)
        there = [p for p in topic.partitions if own.store.router.node(p.slot) is node]
        for partition in there:
            await own.log.barrier(partition).confirm()
        barrier = own.log.barrier(there[0])
        slot = slot_of(barrier._key)
        target = await _other(fresh_cluster, slot)
        move = SlotMove(fresh_cluster, slot, target)
        await asyncio.to_thread(move.begin)
        await asyncio.to_thread(move.move_keys)
        await barrier.confirm()
        assert slot_of(barrier._key) != slot
        await asyncio.to_thread(move.finish)
        await asyncio.to_thread(move_slots, fresh_cluster, [slot_of(barrier._key)], target)
        await barrier.confirm()
        for partition in topic.partitions:
            await own.log.append(partition, batch(b"a"))
            await own.log.barrier(partition).confirm()


async def test_a_primary_dies_under_traffic(fresh_cluster: EmbeddedCluster) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        partition = await own.partition()
        answer = await own.log.append(partition, batch(b"0", by=Producer(1, 0, 0)), line=BEGIN)
        rings = 0

        def ring() -> None:
            nonlocal rings
            rings += 1

        await own.store.bells.watch(partition.keys.bell, ring)

        await until(partial(_confirmed, own.log.barrier(partition), ""))
        old = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        traffic = Traffic(own, partition, first=1)
        await asyncio.to_thread(old.kill)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.produce())
            tasks.create_task(traffic.consume())
            await asyncio.to_thread(fresh_cluster.wait_taken_over, old)
            await traffic.goes_on()
            await until(lambda: rings > 0)
            traffic.stopping = True
        seen = await check(own.store, partition)
        assert [end for end, _, _ in seen.entries] == list(range(1, traffic.sent + 1))
        assert seen.entries[0][1] == answer.leader_epoch
        assert seen.number("epoch") > answer.leader_epoch
        assert await own.log.epoch_end(partition, answer.leader_epoch) == (answer.leader_epoch, 1)
        with pytest.raises((NotEnoughReplicasAfterAppend, StoreUnavailable)):
            await own.log.barrier(partition).confirm(token=answer.token)

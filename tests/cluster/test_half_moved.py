"""A slot that is half moved, for as long as that takes: its keys are there, and it is not yet."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Producer as KafkaProducer

from partstream.aio import Admin, Consumer, Producer
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.reshard import SlotMove
from partstream.model import OffsetAndMetadata, Record, TopicPartition
from partstream.store.slots import partition_slot, slot_of
from tests.engine.logs import engine, read
from tests.gateway.gateways import address, gateway
from tests.waiting import until, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.deadline(120)]

run = asyncio.to_thread
ONE = TopicPartition("t", 0)
SLOT = partition_slot("t", 0)


async def another(cluster: EmbeddedCluster, slot: int) -> ClusterNode:
    """A primary that does not hold a slot."""
    owner = await run(cluster.owner_of, slot)
    return next(node for node in await run(cluster.primaries) if node is not owner)


async def new_primary(cluster: EmbeddedCluster) -> ClusterNode:
    """A primary without slots, which has a replica."""
    added = await run(cluster.add_node)
    await run(lambda: cluster.add_node(replica_of=added))
    await until(lambda: "state=online" in added.info("replication").get("slave0", ""))
    return added


async def create(cluster: EmbeddedCluster) -> None:
    """A topic whose records count when two servers have them."""
    async with Admin(cluster.url) as admin:
        await admin.create_topic("t", 1, {"min.insync.replicas": 2})


class Traffic:
    """Somebody who goes on writing numbers, several at a time."""

    def __init__(self, producer: Producer) -> None:
        self.acknowledged = 0
        self._producer = producer
        self._stopping = False

    async def run(self) -> None:
        for first in itertools.count(0, 20):
            sent = [
                await self._producer.send("t", b"%d" % number, partition=0)
                for number in range(first, first + 20)
            ]
            for number, delivery in enumerate(sent, first):
                assert (await delivery).offset == number
                self.acknowledged = number + 1
            if self._stopping:
                return

    async def goes_on(self) -> None:
        """Until a lot more is acknowledged: in less time than clients give up after."""
        enough = self.acknowledged + 200
        await until(lambda: self.acknowledged >= enough, within=10)

    def stop(self) -> None:
        self._stopping = True


@asynccontextmanager
async def traffic_on(cluster: EmbeddedCluster) -> AsyncIterator[Traffic]:
    """Batches of a record, five under way, each confirmed by a replica."""
    async with Producer(cluster.url, acks="all", linger_ms=0, batch_size=0) as producer:
        traffic = Traffic(producer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await traffic.goes_on()
            yield traffic
            traffic.stop()


async def read_all(consumer: Consumer, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        came = await consumer.poll(timeout=10)
        assert came, f"nothing more behind {len(records)} records"
        records += came
    return records


@pytest.mark.every_server
async def test_producers_and_consumers_go_on(fresh_cluster: EmbeddedCluster) -> None:
    await create(fresh_cluster)
    move = SlotMove(fresh_cluster, SLOT, await another(fresh_cluster, SLOT))
    async with (
        traffic_on(fresh_cluster) as traffic,
        Consumer(fresh_cluster.url, auto_offset_reset="earliest") as consumer,
    ):
        await consumer.assign(ONE)
        await run(move.begin)
        await traffic.goes_on()
        # Some keys here and some there: writes wait, and go on when that is over.
        await run(move.move_keys, 2)
        await asyncio.sleep(0.3)
        await run(move.move_keys)
        await traffic.goes_on()
        seen = await read_all(consumer, traffic.acknowledged)
        await run(move.finish)
        await traffic.goes_on()
        traffic.stop()
        await until(lambda: traffic.acknowledged % 20 == 0)
        seen += await read_all(consumer, traffic.acknowledged - len(seen))
    assert [int(record.value or b"") for record in seen] == list(range(len(seen)))


@pytest.mark.every_server
async def test_the_first_slot_of_a_new_primary(fresh_cluster: EmbeddedCluster) -> None:
    """It confirms what it takes, stays connected, and the rest of the slot can follow."""
    added = await new_primary(fresh_cluster)
    await create(fresh_cluster)
    async with traffic_on(fresh_cluster) as traffic, engine(fresh_cluster.url, "ps") as other:
        partition = (await other.topics.get("t")).partitions[0]
        move = SlotMove(fresh_cluster, SLOT, added)
        move.source.command("SET", other.store.keys.barrier(SLOT), 1)
        await run(move.begin)
        await carry(move, partition.keys.all)
        await traffic.goes_on()

        async def look() -> None:
            """What may be done once only: a connection that is closed under way would show."""
            for _ in range(200):
                key = partition.keys.log
                assert await other.store.execute("XLEN", key, key=key, idempotent=False)

        looking = asyncio.gather(*(look() for _ in range(4)))
        while not looking.done():
            await other.store.router.refresh()
        await looking

        await run(move.move_keys)
        await run(move.finish)
        await traffic.goes_on()
        assert await run(fresh_cluster.owner_of, SLOT) is added
        await other.store.router.refresh()
        assert other.store.router.asked(partition.keys.log) is None


async def carry(move: SlotMove, keys: Iterable[str]) -> None:
    """Move these keys, and no others."""
    to = move.target
    await run(move.source.command, "MIGRATE", to.host, to.port, "", 0, 5_000, "KEYS", *keys)


@pytest.mark.every_server
async def test_groups_go_on(fresh_cluster: EmbeddedCluster) -> None:
    """What they answer is confirmed by the replicas of the node that wrote it."""
    await create(fresh_cluster)
    slot = slot_of("{g:g}")
    move = SlotMove(fresh_cluster, slot, await another(fresh_cluster, slot))
    settings: dict[str, Any] = {
        "group_id": "g",
        "session_timeout_ms": 6_000,
        "heartbeat_interval_ms": 500,
        "request_timeout_ms": 5_000,
        "enable_auto_commit": False,
    }
    async with Consumer(fresh_cluster.url, **settings) as consumer:
        await consumer.subscribe("t")
        await until(lambda: _owns(consumer), within=30)
        await run(move.begin)
        await run(move.move_keys)
        for offset in range(5):
            await consumer.commit({ONE: offset})
        async with Consumer(fresh_cluster.url, **settings) as second:
            await second.subscribe("t")
            await until(lambda: _has_joined(second, fresh_cluster), within=10)
            assert await second.committed(ONE) == {ONE: OffsetAndMetadata(4)}
        await run(move.finish)
        await consumer.commit({ONE: 5})


async def _owns(consumer: Consumer) -> bool:
    await consumer.poll(timeout=0.1)
    return bool(consumer.assignment())


async def _has_joined(consumer: Consumer, cluster: EmbeddedCluster) -> bool:
    """Whether it is the second member."""
    await consumer.poll(timeout=0.1)
    async with Admin(cluster.url) as admin:
        return len((await admin.describe_group("g")).members) == 2


@pytest.mark.every_server
async def test_who_waits_is_woken(fresh_cluster: EmbeddedCluster) -> None:
    """Where the record is nobody listens: the bell is rung where the slot still is."""
    move = SlotMove(fresh_cluster, SLOT, await another(fresh_cluster, SLOT))
    async with (
        Producer(fresh_cluster.url, linger_ms=0) as producer,
        Consumer(fresh_cluster.url, auto_offset_reset="earliest") as consumer,
    ):
        await (await producer.send("t", b"before"))
        await consumer.assign(ONE)
        assert len(await consumer.poll(timeout=30)) == 1
        assert not await consumer.poll(timeout=1)
        await run(move.begin)
        await run(move.move_keys)
        for number in range(3):
            await (await producer.send("t", b"%d" % number))
            began = time.monotonic()
            assert [record.value for record in await consumer.poll(timeout=30)] == [b"%d" % number]
            assert time.monotonic() - began < 2
        await run(move.finish)


@pytest.mark.every_server
async def test_clients_of_the_gateway_go_on(fresh_cluster: EmbeddedCluster) -> None:
    await create(fresh_cluster)
    move = SlotMove(fresh_cluster, SLOT, await another(fresh_cluster, SLOT))

    def work(bootstrap: str) -> None:
        acknowledged: list[int] = []
        errors: list[Any] = []

        def told(error: Any, message: Any) -> None:
            if error is None:
                acknowledged.append(message.offset())
            else:
                errors.append(error)

        config = {"bootstrap.servers": bootstrap, "linger.ms": 0, "message.timeout.ms": 20_000}
        numbered = KafkaProducer({**config, "enable.idempotence": True, "batch.num.messages": 1})
        careless = KafkaProducer({**config, "acks": 0})
        numbers = itertools.count()

        def goes_on() -> None:
            enough = len(acknowledged) + 100

            def more() -> bool:
                numbered.produce("t", b"%d" % next(numbers), partition=0, on_delivery=told)
                numbered.poll(0)
                return len(acknowledged) >= enough

            wait_until(more, within=10)

        def arrives(value: bytes) -> None:
            """One without an acknowledgement: a broken connection is all that is heard of it."""

            def arrived() -> bool:
                careless.produce("t", value, partition=0)
                assert careless.flush(5) == 0
                return value in values()

            wait_until(arrived, within=10, every=0.2)

        def values() -> list[bytes]:
            found = asyncio.run(stored(fresh_cluster))
            return [record.value or b"" for record in found]

        goes_on()
        arrives(b"before")
        move.begin()
        move.move_keys(2)
        time.sleep(0.3)
        move.move_keys()
        goes_on()
        arrives(b"half moved")
        move.finish()
        goes_on()
        assert numbered.flush(20) == 0
        assert not errors
        found = [int(value) for value in values() if value.isdigit()]
        assert found == list(range(len(acknowledged)))

    async with gateway(fresh_cluster.url, "ps") as running:
        await run(work, address(running))


async def stored(cluster: EmbeddedCluster) -> list[Record]:
    """All records of the partition."""
    async with engine(cluster.url, "ps") as own:
        return await read(own.store, (await own.topics.get("t")).partitions[0])

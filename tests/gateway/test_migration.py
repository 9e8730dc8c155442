"""Real clients are switched from one group protocol to the other and back, under traffic."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import KafkaConsumer

from partstream import aio
from tests.gateway.gateways import address, gateway
from tests.waiting import until, wait_until

PARTITIONS = 6
LIMIT_S = 45.0
QUICK: dict[str, Any] = {
    "num_partitions": PARTITIONS,
    "group_initial_rebalance_delay_ms": 0,
    "group_min_session_timeout_ms": 500,
    "group_consumer_heartbeat_interval_ms": 200,
}


class Traffic:
    """Writes numbers to all partitions, one after the other, until it is told to stop."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 5})
        self._producer.list_topics("t", timeout=10)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.written = 0

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def _write(self) -> None:
        while not self._ends.wait(0.01):
            for _ in range(PARTITIONS):
                number = self.written
                self._producer.produce("t", b"%d" % number, partition=number % PARTITIONS)
                self.written += 1
            self._producer.poll(0)

    def stop(self) -> None:
        """All that was written is there."""
        self._ends.set()
        self._thread.join()
        assert self._producer.flush(20) == 0


class Worker:
    """A confluent consumer in a thread of its own: it reads, and commits what it has read."""

    def __init__(self, bootstrap: str, protocol: str, seen: Seen, instance: str = "") -> None:
        own = (
            {"group.protocol": "consumer"}
            if protocol == "consumer"
            else {
                "group.protocol": "classic",
                "partition.assignment.strategy": protocol,
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 200,
            }
        )
        if instance:
            own["group.instance.id"] = instance
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "g",
                "client.id": protocol,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "log_level": 0,
                **own,
            }
        )
        self.consumer.subscribe(["t"], on_assign=self._assigned)
        self.has: set[int] = set()
        """The partitions that it has."""
        self._seen = seen
        self._order: dict[int, int] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._order.pop(one.partition, None)

    def _work(self) -> None:
        while not self._ends.is_set():
            records = self.consumer.consume(50, 0.05)
            # Here, since to ask from another thread may wait for this one for ever.
            self.has = {one.partition for one in self.consumer.assignment()}
            for record in records:
                assert record.error() is None, record.error()
                partition, offset = record.partition(), record.offset()
                assert partition is not None
                assert offset is not None
                # In order, from wherever it was given the partition.
                assert offset == self._order.get(partition, offset), self._seen.fail()
                self._order[partition] = offset + 1
                self._seen.add(partition, offset, record.value())
            try:
                if records:
                    self.consumer.commit(asynchronous=False)
            except KafkaException:
                pass  # it is being moved: whoever has the partition then reads again

    def close(self) -> None:
        """It leaves, unless it is a static member."""
        self._ends.set()
        self._thread.join()
        self.consumer.close()


class Seen:
    """What all members together have read."""

    def __init__(self) -> None:
        self.values: dict[bytes, int] = defaultdict(int)
        self.failed = False

    def add(self, partition: int, offset: int, value: object) -> None:
        """A record was read."""
        assert isinstance(value, bytes)
        self.values[value] += 1

    def fail(self) -> str:
        """A worker has read what it should not."""
        self.failed = True
        return "out of order"


def numbers(count: int) -> set[bytes]:
    """The values of so many records."""
    return {b"%d" % number for number in range(count)}


def settled(workers: list[Worker]) -> Callable[[], bool]:
    """Whether each has a share, and all have all."""

    def look() -> bool:
        shares = [worker.has for worker in workers]
        return all(shares) and sorted(n for share in shares for n in share) == list(
            range(PARTITIONS)
        )

    return look


@contextmanager
def closing(workers: list[Worker]) -> Iterator[None]:
    """End those that are left."""
    try:
        yield
    finally:
        for worker in workers:
            worker.close()


def kind(bootstrap: str) -> tuple[str, list[str]]:
    """The type of the group as a client of Kafka is told it, and its members."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    (described,) = admin.describe_consumer_groups(["g"]).values()
    group = described.result(10)
    return group.type.name, sorted(one.client_id for one in group.members)


def roll(bootstrap: str, before: str, static: bool) -> None:
    """Three members are switched one by one, and back, and nothing is lost."""
    seen = Seen()
    workers: list[Worker] = []

    def worker(protocol: str, number: int) -> Worker:
        return Worker(bootstrap, protocol, seen, f"i{number}" if static else "")

    with Traffic(bootstrap) as traffic, closing(workers):
        workers += [worker(before, number) for number in range(3)]
        wait_until(settled(workers), within=LIMIT_S)
        assert kind(bootstrap) == ("CLASSIC", [before] * 3)
        for after, whole, half in (
            ("consumer", "CONSUMER", "CONSUMER"),
            (before, "CLASSIC", "CONSUMER"),
        ):
            for number in range(3):
                workers[number].close()
                workers[number] = worker(after, number)
                wait_until(settled(workers), within=LIMIT_S)
                assert kind(bootstrap)[0] == (whole if number == 2 else half)
            assert kind(bootstrap) == (whole, [after] * 3)
        written = numbers(traffic.written)
        wait_until(lambda: written <= seen.values.keys(), within=LIMIT_S)
    assert not seen.failed
    left = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "log_level": 0})
    partitions = [TopicPartition("t", number) for number in range(PARTITIONS)]
    committed = sum(one.offset for one in left.committed(partitions, timeout=10))
    left.close()
    assert len(written) <= committed <= traffic.written
    again = sum(times - 1 for times in seen.values.values())
    assert again < len(seen.values) / 2, "committed offsets have moved with the partitions"


@pytest.mark.deadline(240)
@pytest.mark.parametrize("assignor", ["range", "roundrobin", "cooperative-sticky"])
async def test_members_are_switched_one_by_one_and_back(
    redis_url: str, namespace: str, assignor: str
) -> None:
    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(roll, address(running), assignor, False)


@pytest.mark.deadline(240)
async def test_static_members_are_switched_one_by_one_and_back(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(roll, address(running), "range", True)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
async def test_the_library_joins_a_live_classic_group(
    redis_url: str, namespace: str, assignor: str
) -> None:
    async with gateway(redis_url, namespace, **QUICK) as running:
        bootstrap = address(running)
        seen = Seen()
        found: set[bytes] = set()
        traffic = await asyncio.to_thread(Traffic, bootstrap)
        traffic.start()
        worker = await asyncio.to_thread(Worker, bootstrap, assignor, seen)

        async def all_read() -> None:
            written = numbers(traffic.written)
            await until(lambda: written <= seen.values.keys() | found, within=LIMIT_S)

        try:
            await until(settled([worker]), within=LIMIT_S)
            async with library_member(redis_url, namespace, found) as library:

                def shared() -> bool:
                    mine = {one.partition for one in library.assignment()}
                    return (len(mine), len(worker.has)) == (3, 3) and not mine & worker.has

                await until(shared, within=LIMIT_S)
                assert (await asyncio.to_thread(kind, bootstrap))[0] == "CONSUMER"
                await all_read()
            await until(settled([worker]), within=LIMIT_S)
            assert (await asyncio.to_thread(kind, bootstrap))[0] == "CLASSIC"
            await all_read()
        finally:
            await asyncio.to_thread(traffic.stop)
            await asyncio.to_thread(worker.close)
        assert not seen.failed


@asynccontextmanager
async def library_member(
    redis_url: str, namespace: str, found: set[bytes]
) -> AsyncIterator[aio.Consumer]:
    """A consumer of the library, which reads on until the end."""
    async with aio.Consumer(
        redis_url,
        namespace=namespace,
        group_id="g",
        heartbeat_interval_ms=200,
        auto_offset_reset="earliest",
    ) as consumer:
        await consumer.subscribe(["t"])

        async def reads() -> None:
            while True:
                found.update(one.value for one in await consumer.poll(100) if one.value)

        reading = asyncio.create_task(reads())
        try:
            yield consumer
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.deadline(120)
async def test_kafka_python_shares_a_group_with_members_of_the_other_protocol(
    redis_url: str, namespace: str
) -> None:
    def work(bootstrap: str) -> None:
        seen = Seen()
        with Traffic(bootstrap):
            worker = Worker(bootstrap, "consumer", seen)
            other = KafkaConsumer(
                "t",
                bootstrap_servers=bootstrap,
                group_id="g",
                heartbeat_interval_ms=200,
                session_timeout_ms=6_000,
            )
            try:

                def shared() -> bool:
                    other.poll(100)
                    theirs = {one.partition for one in other.assignment()}
                    return (len(theirs), len(worker.has)) == (3, 3) and not (theirs & worker.has)

                wait_until(shared, within=LIMIT_S)
                worker.close()

                def alone() -> bool:
                    other.poll(100)
                    return len(other.assignment()) == PARTITIONS

                wait_until(alone, within=LIMIT_S)
            finally:
                other.close()
        assert not seen.failed

    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(work, address(running))

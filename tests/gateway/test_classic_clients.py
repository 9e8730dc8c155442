"""Real clients in classic groups: they share the work, whoever comes, leaves or dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, closing
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from kafka import KafkaConsumer

from tests.gateway.gateways import address, gateway
from tests.waiting import until

PARTITIONS = 6
COUNT = 300
LIMIT_S = 45.0
QUICK = {
    "num_partitions": PARTITIONS,
    "group_initial_rebalance_delay_ms": 0,
    "group_min_session_timeout_ms": 500,
}
"""A gateway whose groups do not wait for others, and notice soon who is gone."""


def fill(bootstrap: str, start: int = 0) -> None:
    """Write records to all partitions of `t`."""
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    producer.list_topics("t", timeout=10)
    for number in range(start, start + COUNT):
        producer.produce("t", b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(20) == 0


def consumer(
    bootstrap: str, revoked: Callable[..., None] = lambda *_: None, **config: Any
) -> Consumer:
    """A confluent consumer of a classic group; `revoked` is called when it loses partitions."""
    made = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "g",
            "group.protocol": "classic",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 200,
            "log_level": 0,
            **{name.replace("_", "."): value for name, value in config.items()},
        }
    )
    made.subscribe(["t"], on_revoke=revoked)
    return made


def numbers(member: Consumer) -> set[int]:
    """The partitions that a confluent consumer has."""
    return {one.partition for one in member.assignment()}


def poll(members: list[Consumer], enough: Callable[[], bool]) -> set[bytes | None]:
    """Poll all until it is so; what they read."""
    seen: set[bytes | None] = set()
    deadline = time.monotonic() + LIMIT_S
    while not enough():
        assert time.monotonic() < deadline, [sorted(numbers(member)) for member in members]
        for member in members:
            seen |= {one.value() for one in member.consume(100, 0.05) if one.error() is None}
    return seen


def shared(members: list[Consumer]) -> bool:
    """Whether each has a share, and all have all."""
    shares = [numbers(member) for member in members]
    return all(shares) and sorted(n for share in shares for n in share) == list(range(PARTITIONS))


@pytest.mark.parametrize("assignor", ["range", "roundrobin", "cooperative-sticky"])
async def test_confluent_members_come_and_leave(
    redis_url: str, namespace: str, assignor: str
) -> None:
    def work(bootstrap: str) -> None:
        fill(bootstrap)
        with ExitStack() as stack:

            def member(name: str) -> Consumer:
                config: dict[str, Any] = {
                    "client_id": name,
                    "partition_assignment_strategy": assignor,
                }
                return stack.enter_context(closing(consumer(bootstrap, **config)))

            one = member("one")
            seen = poll([one], lambda: shared([one]))
            two, three = member("two"), member("three")
            seen |= poll([one, two, three], lambda: shared([one, two, three]))
            admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
            (described,) = admin.describe_consumer_groups(["g"]).values()
            group = described.result(10)
            assert group.partition_assignor == assignor
            assert sorted(one.client_id for one in group.members) == ["one", "three", "two"]
            assert sum(len(one.assignment.topic_partitions) for one in group.members) == PARTITIONS
            two.close()
            seen |= poll([one, three], lambda: shared([one, three]))
            one.close()
            seen |= poll([three], lambda: shared([three]))
            fill(bootstrap, COUNT)
            # At least once, and nothing is left out.
            expected = {b"%d" % number for number in range(2 * COUNT)}
            deadline = time.monotonic() + LIMIT_S
            while not expected <= seen and time.monotonic() < deadline:
                seen |= {one.value() for one in three.consume(100, 0.1)}
            assert expected <= seen
            three.commit(asynchronous=False)
            committed = three.committed(three.assignment(), timeout=10)
            assert {row.offset for row in committed} == {2 * COUNT // PARTITIONS}

    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(work, address(running))


_MEMBER = """
import sys
from confluent_kafka import Consumer
consumer = Consumer({
    "bootstrap.servers": sys.argv[1], "group.id": "g", "group.protocol": "classic",
    "session.timeout.ms": 1500, "heartbeat.interval.ms": 200, "log_level": 0,
})
consumer.subscribe(["t"])
while not consumer.assignment():
    consumer.poll(0.1)
print("ready", flush=True)
while True:
    consumer.poll(0.1)
"""


async def test_a_member_that_is_killed_is_replaced(redis_url: str, namespace: str) -> None:
    def work(bootstrap: str) -> None:
        fill(bootstrap)
        with closing(consumer(bootstrap)) as one:
            poll([one], lambda: shared([one]))
            dying = subprocess.Popen([sys.executable, "-c", _MEMBER, bootstrap])
            try:
                poll([one], lambda: 0 < len(numbers(one)) < PARTITIONS)
            finally:
                dying.kill()
                dying.wait()
            poll([one], lambda: shared([one]))

    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(work, address(running))


async def test_a_static_member_comes_back_without_a_rebalance(
    redis_url: str, namespace: str
) -> None:
    def work(bootstrap: str) -> None:
        fill(bootstrap)
        rebalances: list[str] = []

        def revoked(*_: object) -> None:
            rebalances.append("revoked")

        with closing(consumer(bootstrap, revoked, group_instance_id="one")) as one:
            two = consumer(bootstrap, group_instance_id="two")
            poll([one, two], lambda: shared([one, two]))
            had = numbers(two)
            rebalances.clear()
            two.close()  # a static member does not leave
            with closing(consumer(bootstrap, group_instance_id="two")) as back:
                poll([one, back], lambda: shared([one, back]))
                assert numbers(back) == had
                assert rebalances == []

    async with gateway(redis_url, namespace, **QUICK) as running:
        await asyncio.to_thread(work, address(running))


async def test_clients_of_three_kinds_share_a_group(redis_url: str, namespace: str) -> None:
    """librdkafka, kafka-python and aiokafka, each with its own heartbeats and assignor code."""
    async with gateway(redis_url, namespace, **QUICK) as running, AsyncExitStack() as stack:
        bootstrap = address(running)
        await asyncio.to_thread(fill, bootstrap)
        settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "group_id": "g",
            "auto_offset_reset": "earliest",
            "heartbeat_interval_ms": 200,
            "session_timeout_ms": 6_000,
        }
        third = AIOKafkaConsumer(
            "t", partition_assignment_strategy=[RoundRobinPartitionAssignor], **settings
        )
        await third.start()
        stack.push_async_callback(third.stop)

        def work() -> int:
            from kafka.coordinator.assignors.roundrobin import (  # noqa: PLC0415 (same name)
                RoundRobinPartitionAssignor as OfKafkaPython,
            )

            second = KafkaConsumer("t", partition_assignment_strategy=[OfKafkaPython], **settings)
            with closing(consumer(bootstrap, partition_assignment_strategy="roundrobin")) as first:
                deadline = time.monotonic() + LIMIT_S
                while True:
                    assert time.monotonic() < deadline
                    first.consume(100, 0.05)
                    second.poll(50)
                    sizes = [len(numbers(first)), len(second.assignment())]
                    if sizes == [2, 2] and len(third.assignment()) == 2:
                        break
                shares = [
                    numbers(first),
                    {one.partition for one in second.assignment()},
                    {one.partition for one in third.assignment()},
                ]
                second.close()
                poll([first], lambda: len(numbers(first)) == PARTITIONS // 2)
            return len(set().union(*shares))

        reading = asyncio.create_task(_read(third))
        stack.callback(reading.cancel)
        assert await asyncio.to_thread(work) == PARTITIONS
        async with asyncio.timeout(LIMIT_S):
            while len(third.assignment()) < PARTITIONS:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(member: AIOKafkaConsumer) -> None:
    while True:
        await member.getone()


async def test_aiokafka_members_share_and_take_over(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, **QUICK) as running, AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=address(running))
        await producer.start()
        stack.push_async_callback(producer.stop)
        await producer.partitions_for("t")

        async def member() -> AIOKafkaConsumer:
            made = AIOKafkaConsumer(
                "t",
                bootstrap_servers=address(running),
                group_id="a",
                heartbeat_interval_ms=200,
                session_timeout_ms=6_000,
                auto_offset_reset="earliest",
            )
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        members = [await member()]
        members.append(await member())
        async with asyncio.timeout(LIMIT_S):
            while sorted(len(one.assignment()) for one in members) != [3, 3]:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        for number in range(COUNT):
            await producer.send("t", b"%d" % number, partition=number % PARTITIONS)
        await producer.flush()
        seen: set[bytes | None] = set()
        async with asyncio.timeout(LIMIT_S):
            while len(seen) < COUNT // 2:
                seen.add((await members[0].getone()).value)
        await members[0].commit()
        await members[0].stop()
        async with asyncio.timeout(LIMIT_S):
            while len(seen) < COUNT:
                seen.add((await members[1].getone()).value)
            while len(members[1].assignment()) < PARTITIONS:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)


async def test_a_group_goes_on_when_its_gateway_is_gone(redis_url: str, namespace: str) -> None:
    """Two gateways in front of one group: the one that its members talk to dies."""
    async with (
        gateway(redis_url, namespace, **QUICK) as one,
        gateway(redis_url, namespace, **QUICK) as two,
        AsyncExitStack() as stack,
    ):
        # A client that is told of one gateway here and of two there may drop the one it talks to.
        await until(lambda: len(one.broker.registry.nodes) == len(two.broker.registry.nodes) == 2)
        both = f"{address(one)},{address(two)}"
        await asyncio.to_thread(fill, both)
        members = [
            await asyncio.to_thread(consumer, both, session_timeout_ms=10_000) for _ in range(2)
        ]
        for member in members:
            stack.push_async_callback(asyncio.to_thread, member.close)
        seen = await asyncio.to_thread(poll, members, lambda: shared(members))
        coordinator = one.broker.registry.coordinator("g").id
        gone, left = (one, two) if one.broker.registry.me.id == coordinator else (two, one)
        await gone.close()
        await asyncio.to_thread(fill, address(left), COUNT)
        everything = {b"%d" % number for number in range(2 * COUNT)}

        def read() -> None:
            def enough() -> bool:
                return everything <= seen and shared(members)

            deadline = time.monotonic() + LIMIT_S
            while not enough():
                assert time.monotonic() < deadline, len(seen)
                for member in members:
                    messages = member.consume(100, 0.05)
                    seen.update(one.value() for one in messages if one.error() is None)

        await asyncio.to_thread(read)

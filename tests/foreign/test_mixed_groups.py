"""Clients of different languages in one group, the library among them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from partstream import aio
from tests.foreign.agent import Agent
from tests.foreign.brokers import Serve
from tests.foreign.groups import QUICK, SOON, Watch
from tests.foreign.kinds import KINDS
from tests.waiting import until

pytestmark = [pytest.mark.deadline(300), pytest.mark.xdist_group("foreign-java")]


def start(agents: dict[str, Agent], *names: str) -> list[Agent]:
    """These clients, started if they do not run yet."""
    commands = {kind.name: kind.command for kind in KINDS}
    for name in names:
        if name not in agents or not agents[name].idle:
            agents[name] = Agent(commands[name]())
    return [agents[name] for name in names]


async def test_five_languages_share_a_classic_group(
    agents: dict[str, Agent], serve: Serve, namespace: str
) -> None:
    """All know the range assignor, and whoever leads assigns for all."""
    names = ("java-2.8.2", "java-4.3.0", "franz-go", "confluent-kafka-2.0.2", "kafka-python-new")
    clients = await asyncio.to_thread(start, agents, *names)
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 10)
        await group.create(clients[0])
        await group.write(clients[0], 50)
        for name, client in zip(names, clients, strict=True):
            await group.join(client, name, "range")
        await group.shared(2, 2, 2, 2, 2)
        await group.write(clients[2], 50)
        await group.all_read()
        # The one that leads leaves, too.
        for left, name in enumerate(names[:4], start=1):
            await group.leave(name)
            sizes = [10 // (5 - left) + (number < 10 % (5 - left)) for number in range(5 - left)]
            await group.shared(*sizes)
        await group.write(clients[1], 20)
        await group.all_read()
        await group.leave(names[4])


async def test_the_library_shares_a_group_with_java_and_librdkafka(
    agents: dict[str, Agent], serve: Serve, namespace: str, redis_url: str
) -> None:
    """KIP-848: one coordinator for all doors."""
    java, librdkafka = await asyncio.to_thread(start, agents, "java-4.3.0", "confluent-kafka-new")
    async with serve(**QUICK) as running:
        if running.gateway is None:
            pytest.skip("the library speaks to Redis, not to Kafka")
        group = Watch(running.bootstrap, namespace, 6)
        await group.create(java)
        await group.write(java, 30)
        await group.join(java, "java", "consumer")
        await group.join(librdkafka, "librdkafka", "consumer")
        await group.shared(3, 3)
        found: list[Any] = []
        async with aio.Consumer(
            redis_url,
            namespace=namespace,
            group_id=group.where["group"],
            heartbeat_interval_ms=200,
            auto_offset_reset="earliest",
        ) as library:
            await library.subscribe([namespace])

            async def shared() -> bool:
                found.extend(await library.poll(100))
                told = await group.seen()
                return [
                    len(library.assignment()),
                    *(len(one["assigned"]) for one in told.values()),
                ] == [
                    2,
                    2,
                    2,
                ]

            await until(shared, within=SOON)
            await group.write(librdkafka, 30)

            async def all_read() -> bool:
                found.extend(await library.poll(100))
                told = await group.seen()
                values = {row["value"] for one in told.values() for row in one["records"]}
                return values | {record.value.decode() for record in found} >= set(group.written)

            await until(all_read, within=SOON)
            assert found
        await group.shared(3, 3)
        await group.leave("java")
        await group.leave("librdkafka")


async def test_a_classic_group_becomes_a_consumer_group(
    agents: dict[str, Agent], serve: Serve, namespace: str
) -> None:
    """Once its last member has left, from where that one has committed."""
    (java,) = await asyncio.to_thread(start, agents, "java-4.3.0")
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 4)
        await group.create(java)
        await group.write(java, 40)
        await group.join(java, "old", "cooperative-sticky")
        await group.shared(4)
        await group.all_read()
        await group.leave("old")
        assert await group.committed(java) == 40
        await group.join(java, "one", "consumer")
        await group.join(java, "two", "consumer")
        await group.shared(2, 2)
        await group.write(java, 40)
        await group.all_read()
        # What the classic member has committed was not read again.
        seen = [row["value"] for one in (await group.seen()).values() for row in one["records"]]
        assert set(seen) == set(group.written[40:])
        await group.leave("one")
        await group.leave("two")


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
async def test_members_are_switched_one_by_one_and_back(
    agents: dict[str, Agent], serve: Serve, namespace: str, assignor: str
) -> None:
    """From one protocol to the other (KIP-848), while they read; librdkafka is there, too."""
    java, other = await asyncio.to_thread(start, agents, "java-4.3.0", "confluent-kafka-new")
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 6)
        await group.create(java)
        await group.write(java, 60)
        await group.join(java, "java-1", assignor)
        await group.join(other, "librdkafka-1", assignor)
        await group.shared(3, 3)
        await group.all_read()
        await group.join(java, "java-2", "consumer")
        await group.shared(2, 2, 2)
        await group.write(java, 60)
        await group.leave("java-1")
        await group.shared(3, 3)
        await group.join(other, "librdkafka-2", "consumer")
        await group.leave("librdkafka-1")
        await group.shared(3, 3)
        await group.write(other, 60)
        await group.all_read()
        # And back.
        await group.join(java, "java-3", assignor)
        await group.shared(2, 2, 2)
        await group.leave("java-2")
        await group.leave("librdkafka-2")
        await group.shared(6)
        await group.join(other, "librdkafka-3", assignor)
        await group.shared(3, 3)
        await group.write(java, 60)
        await group.all_read()
        await group.leave("java-3")
        await group.leave("librdkafka-3")

"""What the checker takes from librdkafka: a generation, and the errors that end a member."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError

from partstream import aio
from tests.chaos.history import Crashed, Journal, Owning, Trouble, load
from tests.chaos.kafka_clients import Member, Stage, generation_of
from tests.chaos.names import CLASSIC, TOPIC
from tests.chaos.plan import Client
from tests.gateway.gateways import address, gateway
from tests.waiting import until

E = TypeVar("E")


def stage_at(bootstrap: str, folder: Path) -> Stage:
    """What members share, and a journal in a folder."""
    journal = Journal(folder / "members.jsonl")
    return Stage(bootstrap, 2, journal, finishing=threading.Event(), draining=threading.Event())


def static_member(stage: Stage, name: str) -> Member:
    """A classic member, always of the same instance."""
    config = {
        "group.id": CLASSIC,
        "group.protocol": "classic",
        "group.instance.id": "classic-0",
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 200,
    }
    client = Client("kafka member", config, {"work": 0.0, "commit_every": 1})
    return Member(stage, name, client, random.Random(1))


@asynccontextmanager
async def at_work(*members: Member) -> AsyncIterator[None]:
    """Members in threads of their own, until the block ends."""
    running = [asyncio.create_task(asyncio.to_thread(member.run)) for member in members]
    try:
        yield
    finally:
        for member in members:
            member.over.set()
        await asyncio.gather(*running)


async def first_of(kind: type[E], client: str, folder: Path) -> E:
    """What a client has written down of a kind, as soon as it has."""

    def look() -> list[E]:
        return [
            event
            for event in load(folder)
            if isinstance(event, kind) and getattr(event, "client", "") == client
        ]

    found: list[E] = await until(look, within=20.0)
    return found[0]


def test_a_consumer_that_has_not_joined_has_no_generation() -> None:
    consumer = Consumer({"bootstrap.servers": "localhost:1", "group.id": "g", "log_level": 0})
    assert generation_of(consumer.consumer_group_metadata()) == -1
    consumer.close()


async def test_a_fenced_member_is_one_that_crashed(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """The generation that it was in before is the one that the group says."""
    async with (
        gateway(redis_url, namespace, group_initial_rebalance_delay_ms=0) as running,
        aio.Admin(redis_url, namespace=namespace) as admin,
    ):
        await admin.create_topic(TOPIC, 2)
        stage = stage_at(address(running), tmp_path)
        async with at_work(static_member(stage, "first")):
            owning = await first_of(Owning, "first", tmp_path)
            assert owning.member == "classic-0"
            assert owning.epoch == (await admin.describe_group(CLASSIC)).epoch
            async with at_work(static_member(stage, "second")):
                crashed = await first_of(Crashed, "first", tmp_path)
                assert "fenced" in crashed.error
                handed_on = await first_of(Owning, "second", tmp_path)
                assert (handed_on.member, handed_on.epoch) == (owning.member, owning.epoch)
        stage.journal.close()


def test_a_member_that_is_over_may_be_fenced(tmp_path: Path) -> None:
    stage = stage_at("localhost:1", tmp_path)
    member = static_member(stage, "first")
    member.over.set()
    member._failed(KafkaError(KafkaError._FATAL))
    assert [type(event) for event in load(tmp_path)] == [Trouble]
    stage.journal.close()

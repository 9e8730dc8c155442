"""A group whose members join, leave, crash and dawdle at random: every record is read by somebody,
and no partition by two at a time."""

from __future__ import annotations

import asyncio
import random

import pytest

from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.errors import CommitFailed
from partstream.model import TopicPartition
from tests.client.consuming import Source, source, tps
from tests.waiting import until

PARTITIONS = 7
STEPS = 40


class Ledger:
    """Who owns what, and what was read; complains about two owners."""

    def __init__(self) -> None:
        self.owners: dict[TopicPartition, str] = {}
        self.read: set[tuple[int, int]] = set()
        self.complaints: list[str] = []

    def take(self, name: TopicPartition, who: str) -> None:
        """A member was given a partition."""
        if name in self.owners:
            self.complaints.append(f"{name} was {self.owners[name]}'s when {who} got it")
        self.owners[name] = who

    def drop(self, name: TopicPartition, who: str) -> None:
        """A member let go of a partition, or lost it."""
        if self.owners.get(name) != who:
            self.complaints.append(f"{who} let go of {name}, which was {self.owners.get(name)}'s")
        self.owners.pop(name, None)

    def died(self, who: str) -> None:
        """A member is no more."""
        self.owners = {name: owner for name, owner in self.owners.items() if owner != who}


class Worker(RebalanceListener):
    """A consumer that commits what it has read, and can be made to die or to dawdle."""

    def __init__(self, reader: Consumer, name: str, ledger: Ledger) -> None:
        self.reader = reader
        self.name = name
        self.ledger = ledger
        self.dawdle = 0.0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.reader:
            await self.reader.subscribe(["t"], listener=self)
            while True:
                for record in await self.reader.poll(timeout=0.2, max_records=10):
                    key = (record.partition, record.offset)
                    owner = self.ledger.owners.get(TopicPartition("t", record.partition))
                    if owner != self.name:
                        self.ledger.complaints.append(f"{self.name} read {key} of {owner}")
                    self.ledger.read.add(key)
                try:
                    await self.reader.commit()
                except CommitFailed:
                    continue
                if self.dawdle:
                    dawdle, self.dawdle = self.dawdle, 0.0
                    await asyncio.sleep(dawdle)

    def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        for name in partitions:
            self.ledger.take(name, self.name)

    def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        for name in partitions:
            self.ledger.drop(name, self.name)

    def on_partitions_lost(self, partitions: frozenset[TopicPartition]) -> None:
        for name in partitions:
            if self.ledger.owners.get(name) == self.name:
                self.ledger.drop(name, self.name)

    async def leave(self) -> None:
        """Close in good order."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def crash(self) -> None:
        """Fall silent: neither a farewell nor another heartbeat."""
        opened = self.reader._opened
        member = None if opened is None else opened._member
        if member is not None:
            member._task.cancel()
            member.state = member.state.LOST  # closing says no farewell then
        self.ledger.died(self.name)
        await self.leave()


@pytest.mark.deadline(90)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_chaotic_group(redis_url: str, namespace: str, seed: int) -> None:
    chance = random.Random(seed)
    ledger = Ledger()
    workers: list[Worker] = []
    made = 0

    def hire() -> None:
        nonlocal made
        made += 1
        reader = Consumer(
            redis_url,
            namespace=namespace,
            group_id="g",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=800,
            max_poll_interval_ms=10_000,
        )
        workers.append(Worker(reader, f"worker {made}", ledger))

    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=PARTITIONS)
        put = asyncio.create_task(_keep_putting(logs, chance))
        hire()
        for _ in range(STEPS):
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            what = chance.random()
            if what < 0.4 or len(workers) < 2:
                hire()
            elif what < 0.6:
                await workers.pop(chance.randrange(len(workers))).leave()
            elif what < 0.8:
                await workers.pop(chance.randrange(len(workers))).crash()
            else:
                chance.choice(workers).dawdle = chance.uniform(0.1, 1.0)
        put.cancel()
        await asyncio.gather(put, return_exceptions=True)
        ends = [
            (await logs.log.bounds((await logs.topics.get("t")).partition(number))).end
            for number in range(PARTITIONS)
        ]
        everything = {
            (partition, offset) for partition, end in enumerate(ends) for offset in range(end)
        }
        assert len(everything) > 100
        await until(lambda: ledger.read == everything, within=20)
        await until(lambda: set(ledger.owners) == set(tps(PARTITIONS)))
        for worker in workers:
            await worker.leave()
    assert ledger.complaints == []


async def _keep_putting(logs: Source, chance: random.Random) -> None:
    while True:
        count = chance.randint(1, 20)
        await logs.put([str(number) for number in range(count)], chance.randrange(PARTITIONS))
        await asyncio.sleep(0.01)

"""Kafka Streams: a topology without state, in two processes that share its partitions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.foreign.applications import application
from tests.foreign.brokers import Serve
from tests.foreign.builds import NEWEST_JAVA, java_class
from tests.foreign.groups import QUICK, SOON
from tests.waiting import until

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-tools")]

PARTITIONS = 4


class Pair:
    """The topic that is read, and the one that is written."""

    def __init__(self, bootstrap: str, source: str, target: str) -> None:
        self._settings: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self.source, self.target = source, target
        self.written = 0
        self.found: list[int] = []

    def create(self) -> Consumer:
        """Both, and who reads what comes out."""
        admin = AdminClient(self._settings)
        topics = [NewTopic(name, PARTITIONS, 1) for name in (self.source, self.target)]
        for done in admin.create_topics(topics).values():
            done.result(30)
        consumer = Consumer({**self._settings, "group.id": "reader"})
        consumer.assign([TopicPartition(self.target, number, 0) for number in range(PARTITIONS)])
        return consumer

    def write(self, count: int) -> None:
        """The next numbers."""
        producer = Producer(self._settings)
        for number in range(self.written, self.written + count):
            producer.produce(self.source, str(number), partition=number // 2 % PARTITIONS)
        assert producer.flush(30) == 0
        self.written += count

    def read(self, consumer: Consumer) -> bool:
        """Whether everything has come out that must."""
        for record in consumer.consume(500, 0.2):
            value = record.value()
            assert value is not None
            self.found.append(int(value))
        return set(self.found) == {2 * number for number in range(0, self.written, 2)}


async def test_two_processes_share_a_topology(serve: Serve, namespace: str, tmp_path: Path) -> None:
    async with serve(**QUICK) as running:
        topics = Pair(running.bootstrap, f"{namespace}-in", f"{namespace}-out")
        consumer = await asyncio.to_thread(topics.create)

        async def write_and_see(count: int) -> None:
            await asyncio.to_thread(topics.write, count)
            await until(lambda: asyncio.to_thread(topics.read, consumer), within=SOON, every=0.01)

        words = (running.bootstrap, f"{namespace}-app", topics.source, topics.target)
        command = (*java_class(NEWEST_JAVA), "Streams", *words)
        async with application((*command, str(tmp_path / "one"))) as one:
            await one.runs()
            await write_and_see(40)
            async with application((*command, str(tmp_path / "two"))) as two:
                await two.runs()
                assert "REBALANCING" in two.states
                await write_and_see(40)
            await one.runs()
            await write_and_see(40)
        await asyncio.to_thread(consumer.close)

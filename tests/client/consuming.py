"""What tests of the consumer share: topics with records in them, without a producer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from partstream.client.consumer import Consumer
from partstream.engine.log import Log
from partstream.engine.partition import Topic
from partstream.engine.topics import Topics
from partstream.errors import UnknownTopicOrPartition
from partstream.model import Record, TopicPartition
from partstream.records.codec import encode
from partstream.store.store import Store


class Source:
    """Topics of one namespace, and a hand that appends to them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.topics = Topics(store)
        self.log = Log(store)

    async def topic(self, name: str = "t", partitions: int = 1, **config: object) -> Topic:
        """A new topic; configs by Kafka's names with `_` for `.`."""
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        return await self.topics.create(name, partitions, dotted)

    async def put(
        self,
        values: Sequence[bytes | str | None],
        partition: int = 0,
        topic: str = "t",
        *,
        timestamp: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> int:
        """Append one batch; returns its first offset."""
        found = await self.topics.get(topic)
        at = int(time.time() * 1000) if timestamp is None else timestamp
        rows = [
            (at, None, value.encode() if isinstance(value, str) else value, headers)
            for value in values
        ]
        appended = await self.log.append(found.partition(partition), encode(rows))
        return appended.base_offset

    async def fill(
        self, count: int, partition: int = 0, topic: str = "t", batch: int = 100
    ) -> None:
        """Append records whose values are their offsets."""
        for start in range(0, count, batch):
            numbers = range(start, min(start + batch, count))
            await self.put([str(number) for number in numbers], partition, topic)

    async def raw(self, *command: Any, partition: int = 0, topic: str = "t") -> Any:
        """A command to Redis on a partition; `log` and `state` stand for its keys."""
        keys = (await self.topics.get(topic)).partition(partition).keys
        words = [getattr(keys, word) if word in {"log", "state"} else word for word in command]
        return await self.store.execute(*words, key=keys.log)


@asynccontextmanager
async def source(url: str, namespace: str) -> AsyncIterator[Source]:
    """A source on that server and namespace."""
    store = await Store.connect(url, namespace=namespace)
    made = Source(store)
    try:
        yield made
    finally:
        made.topics.close()
        await store.close()


def tp(partition: int = 0, topic: str = "t") -> TopicPartition:
    """A partition of the topic that tests mostly use."""
    return TopicPartition(topic, partition)


def tps(count: int, topic: str = "t") -> list[TopicPartition]:
    """The first partitions of a topic."""
    return [TopicPartition(topic, number) for number in range(count)]


def values(records: Iterable[Record]) -> list[str]:
    """Their values as text."""
    return [(record.value or b"").decode() for record in records]


def offsets(records: Iterable[Record]) -> list[int]:
    """Their offsets."""
    return [record.offset for record in records]


async def take(consumer: Consumer, count: int, *, within: float = 15.0) -> list[Record]:
    """Poll until there are so many records (or more, if the last poll brings them)."""
    records: list[Record] = []
    async with asyncio.timeout(within):
        while len(records) < count:
            records += await consumer.poll(timeout=1.0)
    return records


def fetched_ahead(consumer: Consumer) -> int:
    """Bytes of batches in all buffers."""
    return sum(buffer.buffered for buffer in consumer.opened.fetcher.buffers())


async def nothing_from(consumer: Consumer, *, within: float = 0.2) -> None:
    """Fail if the consumer has anything to hand out."""
    assert await consumer.poll(timeout=within) == []


async def until_assigned(consumer: Consumer, *names: TopicPartition, within: float = 15.0) -> None:
    """Poll, without taking a record, until the consumer has just these partitions."""
    async with asyncio.timeout(within):
        while consumer.assignment() != set(names):
            try:
                with consumer.opened._not_late():
                    await consumer.opened.poller.poll(0, 0.05)
            except UnknownTopicOrPartition:
                continue

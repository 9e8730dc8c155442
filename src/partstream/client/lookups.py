"""Questions about partitions that need no position: their ends, and offsets by time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from partstream.client.positions import check_timestamp
from partstream.engine.log import Bounds, Log
from partstream.engine.partition import Partition
from partstream.engine.times import offset_for_time
from partstream.engine.topics import Topics
from partstream.errors import UnknownTopicId, UnknownTopicOrPartition
from partstream.model import OffsetAndTimestamp, TopicPartition
from partstream.store.store import Store


class Lookups:
    """Asks the log."""

    def __init__(self, store: Store, topics: Topics) -> None:
        self._store = store
        self._topics = topics
        self._log = Log(store)

    async def partition(self, name: TopicPartition) -> Partition:
        """A partition by name, however new it is.

        Raises:
            UnknownTopicOrPartition, InvalidTopic: there is none.
        """
        try:
            return (await self._topics.get(name.topic)).partition(name.partition)
        except UnknownTopicOrPartition:
            return (await self._topics.get(name.topic, fresh=True)).partition(name.partition)

    async def partitions(self, topic: str, *, fresh: bool = False) -> list[TopicPartition]:
        """All partitions of a topic; `fresh`: those made just now, too.

        Raises:
            UnknownTopicOrPartition, InvalidTopic: there is no such topic.
        """
        found = await self._topics.get(topic, fresh=fresh)
        return [partition.name for partition in found.partitions]

    async def bounds(self, names: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Start and end of logs."""
        wanted = list(names)
        found = await asyncio.gather(*map(self._bounds, wanted))
        return dict(zip(wanted, found, strict=True))

    async def for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record at or after a time (ms) of each; None if there is none.

        Raises:
            IllegalState: a time is none.
        """
        for name, at in times.items():
            check_timestamp(name, at)
        found = await asyncio.gather(*(self._for_time(name, at) for name, at in times.items()))
        return dict(zip(times, found, strict=True))

    async def _bounds(self, name: TopicPartition) -> Bounds:
        try:
            return await self._log.bounds(await self.partition(name))
        except UnknownTopicId:
            return await self._log.bounds(await self._fresh(name))

    async def _for_time(self, name: TopicPartition, timestamp: int) -> OffsetAndTimestamp | None:
        try:
            return await offset_for_time(self._store, await self.partition(name), timestamp)
        except UnknownTopicId:
            return await offset_for_time(self._store, await self._fresh(name), timestamp)

    async def _fresh(self, name: TopicPartition) -> Partition:
        """What was known of the topic is out of date."""
        return (await self._topics.get(name.topic, fresh=True)).partition(name.partition)

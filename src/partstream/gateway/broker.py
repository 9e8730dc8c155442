"""What every handler works with: the engine, and this gateway's place among the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from partstream.config.gateway import GatewayConfig
from partstream.config.internal import check_made
from partstream.config.topic import TopicConfig
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.log import Log
from partstream.engine.partition import Topic
from partstream.engine.topics import Topics
from partstream.errors import (
    InvalidRequest,
    InvalidTopic,
    TopicAlreadyExists,
    UnknownTopicOrPartition,
)
from partstream.gateway.connection import Connection
from partstream.gateway.epochs import Epochs
from partstream.gateway.landings import Landings
from partstream.gateway.meter import Meter
from partstream.gateway.registry import Registry
from partstream.gateway.versions import Versions
from partstream.store.store import Store

_MOST_NAMES = 100_000

PARTITIONER = "murmur2"
"""The hash of Kafka's own clients, for topics that are created through the gateway."""


@dataclass(slots=True)
class Broker:
    """The gateway, as its handlers see it."""

    config: GatewayConfig
    store: Store
    topics: Topics
    log: Log
    groups: ConsumerGroups
    registry: Registry
    epochs: Epochs
    apis: Mapping[int, Versions]
    """What is served, by API key."""
    meter: Meter = field(default_factory=Meter)
    """Counts what is served."""
    landings: Landings = field(default_factory=Landings)
    """What is being appended, for those who wait for it."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the gateway ends: nobody is to begin to wait (see `Connection.hurriers`)."""

    _names: dict[str, str] = field(default_factory=dict)

    async def named(self, name: str | None, topic_id: str | None) -> Topic:
        """The topic that a request means: newer versions give its id, older ones its name.

        Raises:
            UnknownTopicId: there is none of that id.
            UnknownTopicOrPartition: there is none of that name; perhaps there cannot be one.
        """
        if topic_id is None and name is not None:
            return self.topics.known(name) or await self.existing(name)
        # An id means one topic for ever, and has its name from there; whether it is still there,
        # and as it was, the engine knows.
        topic = self.topics.known(self._names.get(topic_id or "", ""))
        if topic is None or topic.id != topic_id:
            topic = await self.topics.by_id(topic_id or "")
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[topic.id] = topic.name
        return topic

    async def existing(self, name: str, *, fresh: bool = False) -> Topic:
        """The topic of a name; `fresh`: as Redis has it now.

        Raises:
            UnknownTopicOrPartition: there is none; perhaps there cannot be one.
        """
        try:
            return await self.topics.get(name, fresh=fresh)
        except InvalidTopic as error:
            raise UnknownTopicOrPartition(str(error)) from None

    async def check_name(self, name: str) -> None:
        """Keep names apart that differ in `.` and `_` only, and those of internal topics free, as
        Kafka does. Whether another was made meanwhile is seen when the topic is (`apart`).

        Raises:
            InvalidTopic: there is such a topic.
            TopicAlreadyExists, InvalidRequest: it is an internal topic's.
        """
        check_made(name)
        if "." not in name and "_" not in name:
            return
        plain = name.replace(".", "_")
        for other in await self.topics.all():
            if other != name and other.replace(".", "_") == plain:
                raise InvalidTopic(f"Topic '{name}' collides with existing topic: {other}")

    async def create_topic(
        self, name: str, partitions: int, configs: Mapping[str, object] | None = None
    ) -> Topic:
        """Create a topic as Kafka's clients expect it to be.

        Raises:
            TopicAlreadyExists, InvalidTopic, InvalidPartitions, InvalidConfig: as they say.
            InvalidRequest: it has the name of an internal topic.
        """
        await self.check_name(name)
        config = self.topic_config(configs or {})
        return await self.topics.create(name, partitions, config, apart=True)

    def topic_config(self, configs: Mapping[str, object]) -> TopicConfig:
        """The configs of a new topic, above the gateway's defaults.

        Raises:
            InvalidConfig: a name is unknown or a value is refused.
        """
        return TopicConfig.from_overrides(
            {"partstream.partitioner": PARTITIONER, **configs}, self.config.topic_defaults
        )

    async def auto_create(self, name: str) -> Topic:
        """Create a topic that a client has asked for, unless another has done so meanwhile.

        Raises:
            UnknownTopicOrPartition: no topic of that name is created.
            InvalidTopic, InvalidPartitions, InvalidConfig: as they say.
        """
        try:
            return await self.create_topic(name, self.config.num_partitions)
        except (TopicAlreadyExists, InvalidRequest):
            return await self.topics.get(name, fresh=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, beside its body."""

    connection: Connection
    api_key: int
    version: int
    client_id: str
    errors: list[int] = field(default_factory=list)
    """Error codes that the answer holds, as far as a raw handler says so; for metrics."""

    @property
    def listener(self) -> str:
        """The name of the listener that it came in on."""
        return self.connection.listener

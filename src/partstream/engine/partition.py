"""A topic and its partitions, as the engine's modules hand them to one another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from partstream.config.topic import TOPIC_CONFIGS, TopicConfig
from partstream.errors import UnknownTopicOrPartition
from partstream.model import TopicPartition
from partstream.store.keys import Keys, PartitionKeys
from partstream.store.slots import partition_slot


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: whose it is, and where it lives."""

    topic: str
    topic_id: str
    index: int
    slot: int
    keys: PartitionKeys

    @property
    def name(self) -> TopicPartition:
        """Topic and number."""
        return TopicPartition(self.topic, self.index)

    def __str__(self) -> str:
        return f"{self.topic}-{self.index}"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it was when it was read."""

    name: str
    id: str
    """22 characters of URL-safe base64; another one when the topic is made again."""
    config: TopicConfig
    version: int
    """Grows with each change of configs or of the number of partitions."""
    partitions: tuple[Partition, ...]
    foreign_config: Mapping[str, str] = field(repr=False)
    """Configs that a newer partstream has set and this one does not know: kept as they are."""
    row: bytes = field(repr=False)
    """The row in Redis, byte for byte, to replace it by compare-and-set."""

    @property
    def partitioner(self) -> str:
        """The name of the hash that chooses the partition of a key."""
        return self.config.partitioner

    def partition(self, index: int) -> Partition:
        """One of its partitions.

        Raises:
            UnknownTopicOrPartition: there is none of that number.
        """
        if 0 <= index < len(self.partitions):
            return self.partitions[index]
        raise UnknownTopicOrPartition(
            f"topic {self.name!r} has no partition {index}, it has {len(self.partitions)}"
        )


def make_partition(keys: Keys, topic: str, topic_id: str, index: int) -> Partition:
    """The partition of that number, whether or not it exists yet."""
    return Partition(
        topic=topic,
        topic_id=topic_id,
        index=index,
        slot=partition_slot(topic, index),
        keys=keys.partition(topic, topic_id, index),
    )


def encode_topic(
    topic_id: str,
    partitions: int,
    config: TopicConfig,
    version: int,
    foreign_config: Mapping[str, str] | None = None,
) -> bytes:
    """A topic's row in Redis."""
    row = {
        "id": topic_id,
        "partitions": partitions,
        "config": {**(foreign_config or {}), **config.overrides()},
        "version": version,
    }
    return json.dumps(row, separators=(",", ":"), sort_keys=True).encode()


def decode_topic(keys: Keys, name: str, row: bytes) -> Topic:
    """A topic from its row in Redis."""
    fields = json.loads(row)
    configs: dict[str, str] = fields["config"]
    return Topic(
        name=name,
        id=fields["id"],
        config=TopicConfig.from_overrides(
            {name: value for name, value in configs.items() if name in TOPIC_CONFIGS}
        ),
        foreign_config={
            name: value for name, value in configs.items() if name not in TOPIC_CONFIGS
        },
        version=fields["version"],
        partitions=tuple(
            make_partition(keys, name, fields["id"], index) for index in range(fields["partitions"])
        ),
        row=row,
    )

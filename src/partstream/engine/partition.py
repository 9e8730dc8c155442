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
    foreign_defaults: Mapping[str, str] = field(repr=False)
    """The same of defaults."""
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
    before: Topic | None = None,
) -> bytes:
    """A topic's row in Redis.

    Args:
        before: as it was so far; what only a newer partstream knows of it stays.
    """
    row: dict[str, object] = {
        "id": topic_id,
        "partitions": partitions,
        "config": {**(before.foreign_config if before else {}), **config.overrides()},
        "version": version,
    }
    defaults = {**(before.foreign_defaults if before else {}), **config.defaults}
    if defaults:
        row["defaults"] = defaults
    return json.dumps(row, separators=(",", ":"), sort_keys=True).encode()


def decode_topic(keys: Keys, name: str, row: bytes) -> Topic:
    """A topic from its row in Redis."""
    fields = json.loads(row)
    config, foreign_config = _known(fields["config"])
    defaults, foreign_defaults = _known(fields.get("defaults", {}))
    return Topic(
        name=name,
        id=fields["id"],
        config=TopicConfig.from_overrides(config, defaults),
        foreign_config=foreign_config,
        foreign_defaults=foreign_defaults,
        version=fields["version"],
        partitions=tuple(
            make_partition(keys, name, fields["id"], index) for index in range(fields["partitions"])
        ),
        row=row,
    )


def _known(configs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The configs that this partstream knows, and those that it does not."""
    known = {name: value for name, value in configs.items() if name in TOPIC_CONFIGS}
    return known, {name: value for name, value in configs.items() if name not in known}

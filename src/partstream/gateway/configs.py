"""Configs as DescribeConfigs shows them: value, source, type and documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotated_types import Le
from pydantic import SecretStr

from partstream.config.common import INT64_MAX, CommonConfig
from partstream.config.gateway import GatewayConfig
from partstream.config.topic import PARTITIONER, TOPIC_CONFIGS, TopicConfig
from partstream.errors import (
    InvalidConfig,
    InvalidRequest,
    UnknownTopicOrPartition,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from partstream.engine.partition import Topic
    from partstream.gateway.broker import Broker
    from partstream.gateway.codec import Struct

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
"""Kafka's types of config resources."""

DYNAMIC_TOPIC, STATIC_BROKER, DEFAULT = 1, 4, 5
"""Where a value comes from."""

BOOLEAN, STRING, INT, LONG, DOUBLE, LIST = 1, 2, 3, 5, 6, 7

SET, DELETE, APPEND, SUBTRACT = range(4)
"""What IncrementalAlterConfigs does to a config (KIP-339)."""

_LISTS = {
    "cleanup.policy",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
}
_SYNONYMS = {
    "cleanup.policy": "log.cleanup.policy",
    "compression.gzip.level": "compression.gzip.level",
    "compression.lz4.level": "compression.lz4.level",
    "compression.type": "compression.type",
    "compression.zstd.level": "compression.zstd.level",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "file.delete.delay.ms": "log.segment.delete.delay.ms",
    "flush.messages": "log.flush.interval.messages",
    "index.interval.bytes": "log.index.interval.bytes",
    "local.retention.bytes": "log.local.retention.bytes",
    "local.retention.ms": "log.local.retention.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "max.message.bytes": "message.max.bytes",
    "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
    "message.timestamp.type": "log.message.timestamp.type",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "min.insync.replicas": "min.insync.replicas",
    "preallocate": "log.preallocate",
    "retention.bytes": "log.retention.bytes",
    "segment.bytes": "log.segment.bytes",
    "segment.index.bytes": "log.index.size.max.bytes",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""Under which name Kafka's brokers have the default of a topic config."""
_OWN_NAMES = {"listen": "listeners", "advertised": "advertised.listeners"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One config."""

    name: str
    value: str | None
    default: str | None
    """What it would be if it were not set."""
    source: int
    kind: int
    documentation: str
    read_only: bool = False
    sensitive: bool = False
    """A secret: its value is never shown."""
    synonym: str = ""
    """The name under which the default is known."""


def topic_configs(topic: Topic) -> Iterator[Shown]:
    """All configs of a topic."""
    defaults = TopicConfig().as_strings()
    overrides = topic.config.overrides()
    for name, value in topic.config.as_strings().items():
        field = TopicConfig.model_fields[TOPIC_CONFIGS[name]]
        yield Shown(
            name,
            value,
            defaults[name],
            DYNAMIC_TOPIC if name in overrides else DEFAULT,
            LIST if name in _LISTS else _kind(field),
            _text(field),
            read_only=name == PARTITIONER,
            synonym=_SYNONYMS.get(name, ""),
        )


def broker_configs(config: GatewayConfig, node_id: int) -> Iterator[Shown]:
    """The configs of this gateway that are no secrets; they change only by a restart."""
    for attribute, field in GatewayConfig.model_fields.items():
        if attribute in CommonConfig.model_fields:
            continue
        name = _OWN_NAMES.get(attribute, attribute.replace("_", "."))
        value = node_id if attribute == "node_id" else getattr(config, attribute)
        if attribute == "listen":
            value = ",".join(map(str, config.listeners))
        elif isinstance(value, SecretStr):
            value = None
        yield Shown(
            name,
            _written(value),
            _written(field.default),
            STATIC_BROKER if attribute in config.model_fields_set else DEFAULT,
            _kind(field),
            _text(field),
            read_only=True,
            synonym=name,
            sensitive="SecretStr" in str(field.annotation),
        )


def _written(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(field: FieldInfo) -> int:
    if isinstance(field.default, bool):
        return BOOLEAN
    if isinstance(field.default, float):
        return DOUBLE
    if not isinstance(field.default, int) and "int" not in str(field.annotation):
        return STRING
    limits = [limit.le for limit in field.metadata if isinstance(limit, Le)]
    return LONG if INT64_MAX in limits else INT


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def counted(resources: Sequence[Struct]) -> list[tuple[Struct, bool]]:
    """The resources of a request, and whether each is there more than once."""
    times = Counter((one.resource_type, one.resource_name) for one in resources)
    return [(one, times[one.resource_type, one.resource_name] > 1) for one in resources]


async def alter_topic(
    broker: Broker,
    resource_type: int,
    name: str,
    changes: Mapping[str, str | None],
    *,
    validate_only: bool,
) -> None:
    """Change configs of a resource; None puts one back to its default.

    Raises:
        UnknownTopicOrPartition: there is no such topic.
        InvalidConfig: a name or a value is refused; nothing was changed.
        InvalidRequest: the configs of such a resource cannot be changed.
    """
    if resource_type == BROKER:
        raise InvalidRequest("a gateway's configs are changed where it is started, not by clients")
    if resource_type != TOPIC:
        raise InvalidRequest(f"Unknown resource type {resource_type}")
    topic = await _to_alter(broker, name)
    if validate_only:
        topic.config.altered(changes)
    else:
        await broker.topics.alter(name, changes)


async def replaced(
    broker: Broker, name: str, configs: Mapping[str, str | None]
) -> Mapping[str, str | None]:
    """The changes that leave a topic with just these configs (AlterConfigs)."""
    for key, value in configs.items():
        if value is None:
            raise InvalidRequest(f"Null value not supported for : {key}")
    topic = await _to_alter(broker, name)
    unset = dict.fromkeys(topic.config.overrides().keys() - {PARTITIONER})
    return {**unset, **configs}


async def stepped(
    broker: Broker, name: str, operations: list[tuple[str, int, str | None]]
) -> Mapping[str, str | None]:
    """The changes that these operations come to (IncrementalAlterConfigs).

    Raises:
        InvalidRequest: a config is named twice.
        InvalidConfig: an operation is unknown, lacks its value, or is for lists only.
    """
    if len({key for key, _, _ in operations}) < len(operations):
        raise InvalidRequest("Error due to duplicate config keys")
    changes: dict[str, str | None] = {}
    for key, operation, value in operations:
        if operation == DELETE:
            if key in TOPIC_CONFIGS:  # what nobody knows is not set, either
                changes[key] = None
            continue
        if value is None:
            raise InvalidRequest(f"Null value not supported for : {key}")
        if operation == SET:
            changes[key] = value
        elif operation in (APPEND, SUBTRACT):
            changes[key] = await _listed(broker, name, key, operation, value)
        else:
            raise InvalidRequest(f"Unknown operation type {operation}")
    return changes


async def _listed(broker: Broker, topic: str, key: str, operation: int, value: str) -> str:
    if key not in _LISTS:
        verb = "APPEND" if operation == APPEND else "SUBTRACT"
        raise InvalidConfig(f"Can't {verb} to key {key} because its type is not LIST.")
    now = (await find_topic(broker, topic)).config.as_strings()[key].split(",")
    now = [item for item in now if item]
    given = value.split(",")
    if operation == APPEND:
        return ",".join([*now, *(item for item in given if item not in now)])
    return ",".join(item for item in now if item not in given)


async def _to_alter(broker: Broker, name: str) -> Topic:
    if not name:
        raise InvalidRequest("Default topic resources are not allowed.")
    return await find_topic(broker, name)


async def find_topic(broker: Broker, name: str) -> Topic:
    """A topic whose configs were asked for.

    Raises:
        UnknownTopicOrPartition: there is none of that name.
        InvalidTopic: there cannot be one.
    """
    try:
        return await broker.topics.get(name, fresh=True)
    except UnknownTopicOrPartition:
        raise UnknownTopicOrPartition(f"The topic '{name}' does not exist.") from None

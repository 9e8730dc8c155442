"""Configs as DescribeConfigs shows them: value, source, type and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotated_types import Le

from partstream.config.common import INT64_MAX, CommonConfig
from partstream.config.gateway import GatewayConfig
from partstream.config.gateway_topics import BROKER_NAMES
from partstream.config.group import GROUP_CONFIGS, GroupConfig
from partstream.config.topic import PARTITIONER, TOPIC_CONFIGS, TopicConfig
from partstream.errors import UnknownTopicOrPartition

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from partstream.engine.partition import Topic
    from partstream.gateway.broker import Broker

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
"""Kafka's types of config resources."""

DYNAMIC_TOPIC, STATIC_BROKER, DEFAULT, DYNAMIC_GROUP = 1, 4, 5, 8
"""Where a value comes from."""

BOOLEAN, STRING, INT, LONG, DOUBLE, LIST, PASSWORD = 1, 2, 3, 5, 6, 7, 9

TOPIC_LISTS = {
    "cleanup.policy",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
}
"""Topic configs that are lists."""
_IN_HOURS = {"retention.ms": "log.retention.hours", "segment.ms": "log.roll.hours"}
"""Kafka's brokers have the default of these in hours."""
_HOUR_MS = 3_600_000
_OWN_NAMES = {"listen": "listeners", "advertised": "advertised.listeners"}
_KINDS = {
    **dict.fromkeys(
        (
            *("advertised.listeners", "controller.listener.names", "group.consumer.assignors"),
            *("listeners", "log.cleanup.policy", "ssl.cipher.suites", "ssl.enabled.protocols"),
        ),
        LIST,
    ),
    **dict.fromkeys(
        (
            *("connections.max.idle.ms", "log.retention.check.interval.ms", "log.retention.ms"),
            *("log.roll.ms", "replica.lag.time.max.ms"),
        ),
        LONG,
    ),
    **dict.fromkeys(
        (
            *("ssl.key.password", "ssl.keystore.certificate.chain", "ssl.keystore.key"),
            "ssl.truststore.certificates",
        ),
        PASSWORD,
    ),
}
"""What Kafka's brokers call a config where the model does not say it."""
_OF_BROKERS = {
    *("log_retention_check_interval_ms", "offsets_retention_minutes"),
    *("producer_id_expiration_ms", "replica_lag_time_max_ms"),
}
"""What Kafka's brokers are configured with, and here all clients."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One config."""

    name: str
    value: str | None
    source: int
    kind: int
    documentation: str
    synonyms: tuple[tuple[str, str | None, int], ...] = ()
    """All that could give the value, the first that does first: name, value, source."""
    read_only: bool = False

    @property
    def sensitive(self) -> bool:
        """Whether it is a secret: its value is never shown."""
        return self.kind == PASSWORD


def source_of(config: TopicConfig, name: str) -> int:
    """Where a topic has the value of a config from."""
    if TOPIC_CONFIGS[name] in config.model_fields_set:
        return DYNAMIC_TOPIC
    return STATIC_BROKER if name in config.defaults else DEFAULT


def topic_configs(topic: Topic) -> Iterator[Shown]:
    """All configs of a topic."""
    defaults = TopicConfig().as_strings()
    for name, value in topic.config.as_strings().items():
        field = TopicConfig.model_fields[TOPIC_CONFIGS[name]]
        source = source_of(topic.config, name)
        own = ((name, value, source),) if source == DYNAMIC_TOPIC else ()
        yield Shown(
            name,
            value,
            source,
            LIST if name in TOPIC_LISTS else _kind(name, field),
            _text(field),
            (*own, *_of_broker(topic.config, name, defaults[name])),
            read_only=name == PARTITIONER,
        )


def _of_broker(config: TopicConfig, name: str, default: str) -> Iterator[tuple[str, str, int]]:
    """What a broker says of a topic config: its setting, and Kafka's default of that."""
    broker_name = BROKER_NAMES.get(name)
    if broker_name is None:
        return
    given = config.defaults.get(name)
    if given is not None:
        yield broker_name, given, STATIC_BROKER
    if name not in _IN_HOURS:
        yield broker_name, default, DEFAULT
    elif given is not None:
        yield _IN_HOURS[name], str(int(default) // _HOUR_MS), DEFAULT


def group_configs(config: GatewayConfig, own: GroupConfig) -> Iterator[Shown]:
    """The configs of a group: what is set for it, or else the gateway's."""
    overrides = own.overrides()
    for name in GROUP_CONFIGS:
        broker_name = f"group.{name}"
        attribute = broker_name.replace(".", "_")
        field = GatewayConfig.model_fields[attribute]
        value = str(getattr(config, attribute))
        source, synonyms = _origin(config, attribute, broker_name, value)
        if name in overrides:
            value, source = overrides[name], DYNAMIC_GROUP
            synonyms = ((name, value, source), *synonyms)
        yield Shown(name, value, source, _kind(broker_name, field), _text(field), synonyms)


def broker_configs(broker: Broker) -> Iterator[Shown]:
    """The configs of this gateway; they change only by a restart."""
    config, me = broker.config, broker.registry.me
    effective: dict[str, object] = {
        "node_id": me.id,
        "listen": ",".join(map(str, config.listeners)),
        "advertised": ",".join(map(str, broker.registry.told)),
    }
    for attribute, field in GatewayConfig.model_fields.items():
        if attribute in CommonConfig.model_fields and attribute not in _OF_BROKERS:
            continue
        name = _OWN_NAMES.get(attribute, attribute.replace("_", "."))
        kind = _kind(name, field)
        value = _written(effective.get(attribute, getattr(config, attribute)))
        if kind == PASSWORD:
            value = None
        elif kind == LIST:
            value = value or ""
        source, synonyms = _origin(config, attribute, name, value)
        yield Shown(name, value, source, kind, _text(field), synonyms, read_only=True)


def _origin(
    config: GatewayConfig, attribute: str, name: str, value: str | None
) -> tuple[int, tuple[tuple[str, str | None, int], ...]]:
    """Where a gateway has a value from, and all that could give it."""
    default = _written(GatewayConfig.model_fields[attribute].default)
    usual = ((name, default, DEFAULT),) if default is not None else ()
    if attribute not in config.model_fields_set:
        return DEFAULT, usual
    return STATIC_BROKER, ((name, value, STATIC_BROKER), *usual)


def _written(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(name: str, field: FieldInfo) -> int:
    if name in _KINDS:
        return _KINDS[name]
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

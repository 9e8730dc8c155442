"""What topics get that are created through a gateway, under the names of Kafka's broker configs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field, field_validator, model_validator

from partstream.config.common import INT32_MAX, INT64_MAX, CommonConfig
from partstream.config.topic import TopicConfig
from partstream.errors import InvalidConfig

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS

BROKER_NAMES = {
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
    "retention.ms": "log.retention.ms",
    "segment.bytes": "log.segment.bytes",
    "segment.index.bytes": "log.index.size.max.bytes",
    "segment.ms": "log.roll.ms",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""Topic config -> under which name Kafka's brokers have the default of it."""

_IN_OTHER_UNITS = {
    "retention.ms": (("log_retention_minutes", _MINUTE_MS), ("log_retention_hours", _HOUR_MS)),
    "segment.ms": (("log_roll_hours", _HOUR_MS),),
}
"""The finest unit that is given counts, as in Kafka."""

_Unlimited = Annotated[int, Field(ge=-1, le=INT32_MAX)]


def _like(topic_config: str) -> Any:
    """A field with the default and the bounds of a topic config."""
    field = TopicConfig.model_fields[topic_config]
    bounds = [bound for bound in field.metadata if isinstance(bound, Ge | Le)]
    return Field(
        default=field.default,
        ge=next((bound.ge for bound in bounds if isinstance(bound, Ge)), None),
        le=next((bound.le for bound in bounds if isinstance(bound, Le)), None),
    )


class TopicDefaultsConfig(CommonConfig):
    """What a topic is created with if nothing else is asked for."""

    message_max_bytes: int = _like("max_message_bytes")
    """The largest batch, in bytes as it is stored (after compression): `max.message.bytes`."""

    min_insync_replicas: int = _like("min_insync_replicas")
    """How many servers, the primary counted in, must hold a batch for `acks=all`."""

    compression_type: Literal["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] = (
        "producer"
    )
    """How batches are stored; `producer`: as the producer compressed them."""

    compression_gzip_level: int = _like("compression_gzip_level")
    """How hard gzip tries where it is `compression.type`, from 1 to 9; -1: zlib's default."""

    compression_lz4_level: int = _like("compression_lz4_level")
    """How hard lz4 tries where it is `compression.type`."""

    compression_zstd_level: int = _like("compression_zstd_level")
    """How hard zstd tries where it is `compression.type`."""

    log_cleanup_policy: str = "delete"
    """What happens to old records: `delete`, `compact`, or both with a comma between them."""

    log_retention_bytes: int = _like("retention_bytes")
    """How many bytes of batches a partition keeps; -1: no limit. Kafka's default is -1; memory is
    the disk here."""

    log_retention_hours: _Unlimited = 168
    """How many hours records are kept; -1: for ever."""

    log_retention_minutes: _Unlimited | None = None
    """The same in minutes. It goes before hours."""

    log_retention_ms: Annotated[int, Field(ge=-1, le=INT64_MAX)] | None = None
    """The same in milliseconds. It goes before minutes and hours."""

    log_segment_bytes: int = _like("segment_bytes")
    """The grain of retention, `segment.bytes`. Kafka's default is 1 GiB."""

    log_roll_hours: int = Field(default=168, ge=1, le=INT32_MAX)
    """After how many hours a segment ends even if it is not full."""

    log_roll_ms: Annotated[int, Field(ge=1, le=INT64_MAX)] | None = None
    """The same in milliseconds. It goes before hours."""

    log_flush_interval_messages: int = _like("flush_messages")
    """1: a batch is acknowledged once Redis has written it to its append-only file. Any other value
    leaves that to Redis's own `appendfsync`."""

    log_message_timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    """Whether a record keeps the producer's timestamp or gets Redis's time when it is appended."""

    log_message_timestamp_before_max_ms: int = _like("message_timestamp_before_max_ms")
    """How far a producer's timestamp may lie behind Redis's clock."""

    log_message_timestamp_after_max_ms: int = _like("message_timestamp_after_max_ms")
    """How far a producer's timestamp may lie ahead of Redis's clock."""

    log_cleaner_delete_retention_ms: int = _like("delete_retention_ms")
    """How long a tombstone of a compacted topic stays after it was first cleaned."""

    log_cleaner_min_cleanable_ratio: float = _like("min_cleanable_dirty_ratio")
    """How much of a compacted partition must be new to clean it."""

    log_cleaner_min_compaction_lag_ms: int = _like("min_compaction_lag_ms")
    """How long a record of a compacted topic stays at least."""

    log_cleaner_max_compaction_lag_ms: int = _like("max_compaction_lag_ms")
    """After how long a record of a compacted topic is cleaned at the latest."""

    @property
    def topic_defaults(self) -> dict[str, str]:
        """The topic configs that were given here, by Kafka's names of them, as text."""
        return TopicConfig.from_overrides(
            {name: value for name, (_, value) in self._given().items()}
        ).overrides()

    def _given(self) -> dict[str, tuple[str, object]]:
        """Topic config -> the config that gives its default, and that default."""
        found: dict[str, tuple[str, object]] = {}
        for name, broker_name in BROKER_NAMES.items():
            units = ((broker_name.replace(".", "_"), 1), *_IN_OTHER_UNITS.get(name, ()))
            for attribute, scale in reversed(units):
                value = getattr(self, attribute, None)
                if attribute in self.model_fields_set and value is not None:
                    found[name] = attribute, value if scale == 1 or value < 0 else value * scale
        return found

    @field_validator("log_retention_hours", "log_retention_minutes", "log_retention_ms")
    @classmethod
    def _some_time(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("expected -1 or at least 1")
        return value

    @model_validator(mode="after")
    def _fit_for_topics(self) -> TopicDefaultsConfig:
        for name, (attribute, value) in self._given().items():
            try:
                TopicConfig.from_overrides({name: value})
            except InvalidConfig as error:
                reason = str(error).partition(f" for configuration {name}: ")[2] or str(error)
                given = getattr(self, attribute)
                raise ValueError(f"{attribute}={given!r}: {reason}") from None
        try:
            self.topic_defaults  # noqa: B018 (it raises)
        except InvalidConfig as error:
            raise ValueError(str(error)) from None
        return self

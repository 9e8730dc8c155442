"""A topic's configs, by Kafka's dotted names, with Kafka's bounds.

Kafka keeps topic configs as text, and so does partstream: what was not set follows the default of
whoever reads it, and a later default reaches old topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from partstream.config.build import expectation
from partstream.config.common import (
    GZIP_LEVEL,
    INT64_MAX,
    LZ4_LEVEL,
    ZSTD_LEVEL,
    level_of,
)
from partstream.config.texts import Int32, Int64, Ratio, Whole, items, written
from partstream.config.topic_without_effect import WithoutEffect
from partstream.errors import InvalidConfig

DAY_MS = 86_400_000
PARTITIONER = "partstream.partitioner"
"""The one topic config that Kafka does not have."""


def _cleanup(text: object) -> object:
    """A list without what stands in it twice; an empty one keeps every record for ever."""
    policies = list(dict.fromkeys(items(str(text))))
    if not {"compact", "delete"}.issuperset(policies):
        raise ValueError("expected 'delete', 'compact' or both, with a comma between them")
    return ",".join(policies)


class TopicConfig(WithoutEffect):
    """What a topic is configured with. Make one with `from_overrides`."""

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        alias_generator=lambda name: (
            PARTITIONER if name == "partitioner" else name.replace("_", ".")
        ),
    )

    cleanup_policy: Annotated[str, BeforeValidator(_cleanup)] = "delete"
    """What happens to old records: `delete` drops them by age and by size; `compact` keeps the last
    one of every key; `compact,delete` does both; an empty list does neither.

    Every record of a compacted topic needs a key.
    """

    min_cleanable_dirty_ratio: Ratio = 0.5
    """How much of a compacted partition must be new, of all that can be cleaned, to clean it."""

    min_compaction_lag_ms: Annotated[Int64, Field(ge=0)] = 0
    """How long a record of a compacted topic stays at least, be there newer ones of its key."""

    max_compaction_lag_ms: Annotated[Int64, Field(ge=1)] = INT64_MAX
    """After how long a record is cleaned at the latest, however little there is to clean.

    A segment ends after so long, too.
    """

    delete_retention_ms: Annotated[Int64, Field(ge=0)] = DAY_MS
    """How long a tombstone (a record without a value) stays after it was first cleaned.

    A reader that begins at the start and is done within that time hears of every deletion.
    """

    retention_ms: Annotated[Int64, Field(ge=-1)] = 7 * DAY_MS
    """How long records are kept, by their timestamp; -1: for ever. Whole segments go."""

    retention_bytes: Annotated[Int64, Field(ge=-1)] = 256 * 1024 * 1024
    """How many bytes of batches a partition keeps; -1: no limit. Whole segments go.

    Kafka's default is -1. Memory is the disk here, so there is a limit unless it is lifted.
    """

    segment_bytes: Annotated[Int32, Field(ge=1024)] = 4 * 1024 * 1024
    """The grain of retention and of look-ups by time: one index row a segment.

    Kafka's default is 1 GiB and its least 1 MiB. A segment is no file here but one small row, so
    it may be as small as 1 KiB.
    """

    segment_ms: Annotated[Int64, Field(ge=1)] = 7 * DAY_MS
    """After how long a segment ends even if it is not full, so that retention can reach it."""

    max_message_bytes: Annotated[Int32, Field(ge=0)] = 1_048_588
    """The largest batch, in bytes as it is stored (after compression)."""

    min_insync_replicas: Annotated[Int32, Field(ge=1)] = 1
    """How many servers, the primary counted in, must hold a batch for `acks="all"`."""

    message_timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    """Whether a record keeps the producer's timestamp or gets Redis's time when it is appended."""

    message_timestamp_before_max_ms: Annotated[Int64, Field(ge=0)] = INT64_MAX
    """How far a producer's timestamp may lie behind Redis's clock.

    One record that is out of bounds takes its whole batch with it.
    """

    message_timestamp_after_max_ms: Annotated[Int64, Field(ge=0)] = 3_600_000
    """How far a producer's timestamp may lie ahead of Redis's clock.

    One record from the far future would keep its segment from ever ageing.
    """

    compression_type: Literal["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] = (
        "producer"
    )
    """How batches are stored; `producer`: as the producer compressed them.

    A batch that comes in the codec that is asked for stays as it is, whatever its level.
    """

    compression_gzip_level: Annotated[Whole, GZIP_LEVEL] = -1
    """How hard gzip tries, from 1 to 9, where `compression.type` is `gzip`; -1: zlib's default."""

    compression_lz4_level: Annotated[Whole, LZ4_LEVEL] = 9
    """How hard lz4 tries, where `compression.type` is `lz4`; 9, as in Kafka, is its fast mode."""

    compression_zstd_level: Annotated[Whole, ZSTD_LEVEL] = 3
    """How hard zstd tries, where `compression.type` is `zstd`."""

    flush_messages: Annotated[Int64, Field(ge=1)] = INT64_MAX
    """1: a batch is acknowledged once Redis has written it to its append-only file (`WAITAOF`).

    Any other value leaves that to Redis's own `appendfsync`.
    """

    partitioner: Literal["murmur3", "murmur2", "crc32"] = "murmur3"
    """The hash of the key that chooses the partition; set at creation and never changed.

    `murmur2` is that of Kafka's Java client, kafka-python and aiokafka; `crc32` librdkafka's.
    """

    _defaults: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_overrides(
        cls, overrides: Mapping[str, object], defaults: Mapping[str, object] | None = None
    ) -> TopicConfig:
        """Validate configs by Kafka's dotted names; values may be text, numbers, bools or lists.

        Args:
            overrides: what is asked for.
            defaults: what holds where nothing was asked for, in place of our own defaults: those
                of the gateway that the topic was created through.

        Raises:
            InvalidConfig: a name is unknown or a value is refused; the message names both.
        """
        asked = {name: _text(name, value) for name, value in _mapping(overrides).items()}
        beneath = {name: _text(name, value) for name, value in _mapping(defaults or {}).items()}
        texts = {**beneath, **asked}
        for name in texts:
            if name not in TOPIC_CONFIGS:
                raise InvalidConfig(_unknown(name))
        try:
            config = cls.model_validate(texts, by_alias=True, by_name=False)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        else:
            config._check_lags()
            config._defaults.update(beneath)
            # What comes from a default counts as not set.
            config.model_fields_set.intersection_update(TOPIC_CONFIGS[name] for name in asked)
            return config
        raise InvalidConfig(
            "; ".join(
                f"Invalid value {texts[str(fault['loc'][0])]!r} for configuration "
                f"{fault['loc'][0]}: {expectation(fault)}"
                for fault in faults
            )
        )

    def _check_lags(self) -> None:
        least, most = self.min_compaction_lag_ms, self.max_compaction_lag_ms
        if least > most:
            raise InvalidConfig(
                f"conflict topic config setting min.compaction.lag.ms ({least}) > "
                f"max.compaction.lag.ms ({most})"
            )

    @property
    def compacts(self) -> bool:
        """Whether of every key only the last record is kept."""
        return "compact" in self.cleanup_policy

    @property
    def deletes(self) -> bool:
        """Whether records go by age and by size."""
        return "delete" in self.cleanup_policy

    @property
    def bounds_age(self) -> bool:
        """Whether records may be too old to be taken."""
        return (
            self.message_timestamp_type == "CreateTime"
            and self.message_timestamp_before_max_ms < INT64_MAX
        )

    @property
    def compression_level(self) -> int | None:
        """How hard to compress what comes in otherwise; None: as the codec does by itself."""
        return level_of(self, self.compression_type)

    def altered(self, changes: Mapping[str, object | None]) -> TopicConfig:
        """These configs with some replaced, and those that are `None` back at their default.

        Raises:
            InvalidConfig: as `from_overrides`; or the partitioner would change.
        """
        overrides: dict[str, object] = dict(self.overrides())
        for name, value in _mapping(changes).items():
            if name not in TOPIC_CONFIGS:
                raise InvalidConfig(_unknown(name))
            if value is None:
                overrides.pop(name, None)
            else:
                overrides[name] = value
        result = TopicConfig.from_overrides(overrides, self._defaults)
        if result.partitioner != self.partitioner:
            raise InvalidConfig(
                f"Invalid value {result.partitioner!r} for configuration {PARTITIONER}: it cannot "
                f"change after the topic was created with {self.partitioner!r}, or keys would move"
            )
        return result

    def overrides(self) -> dict[str, str]:
        """The configs that were set, by Kafka's names, as text."""
        values = self.model_dump(by_alias=True, exclude_unset=True)
        return {name: written(value) for name, value in values.items()}

    @property
    def defaults(self) -> Mapping[str, str]:
        """What holds in place of our own defaults where a config was not set."""
        return self._defaults

    def as_strings(self) -> dict[str, str]:
        """All configs, defaults included, by Kafka's names, as text; last those without effect."""
        return {name: written(getattr(self, field)) for name, field in TOPIC_CONFIGS.items()}

    def partition_fields(self) -> dict[str, int]:
        """What the state of every partition repeats, since the append script must know it."""
        return {
            "compact": int(self.compacts),
            "retention_ms": self.retention_ms if self.deletes else -1,
            "retention_bytes": self.retention_bytes if self.deletes else -1,
            "segment_ms": min(self.segment_ms, self.max_compaction_lag_ms)
            if self.compacts
            else self.segment_ms,
            "segment_bytes": self.segment_bytes,
            "max_message_bytes": self.max_message_bytes,
            "log_append_time": int(self.message_timestamp_type == "LogAppendTime"),
            "before_max": self.message_timestamp_before_max_ms,
            "after_max": self.message_timestamp_after_max_ms,
            "flush": int(self.flush_messages == 1),
        }


TOPIC_CONFIGS: dict[str, str] = {
    str(TopicConfig.model_fields[name].alias): name
    for name in sorted(TopicConfig.model_fields, key=WithoutEffect.model_fields.__contains__)
}
"""Kafka's name of every topic config -> the attribute that holds it; last those without effect."""


def _mapping(configs: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(configs, Mapping):
        raise InvalidConfig(f"config={configs!r:.100}: expected a mapping of names to values")
    return configs


def _text(name: str, value: object) -> str:
    """A value as Kafka would have it: text, without blanks around it."""
    if value is None:
        raise InvalidConfig(f"Null value not supported for topic configs: {name}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value).strip()


def _unknown(name: object) -> str:
    if not isinstance(name, str):
        return f"Unknown topic config name: {name!r:.100}, which is no str"
    message = f"Unknown topic config name: {name}"
    near = get_close_matches(name.lower().replace("_", "."), TOPIC_CONFIGS, n=1, cutoff=0.6)
    return f"{message}; did you mean {near[0]!r}?" if near else message

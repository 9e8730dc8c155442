"""The consumer's configs, with Kafka's rules between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from partstream.config.common import (
    INT32_MAX,
    AutoCreateConfig,
    Bytes,
    Milliseconds,
    PositiveMilliseconds,
)

MIN_SESSION_MS = 100
"""Below that, one slow round trip to Redis would cost a healthy member its partitions."""


class ConsumerConfig(AutoCreateConfig):
    """What `Consumer` is configured with."""

    group_id: Annotated[str, Field(min_length=1)] | None = None
    """The consumer group to join, and to commit offsets for. `None`: no group, `assign` only."""

    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """A name that outlives restarts: a static member comes back to the partitions it had (KIP-345).
    """

    group_remote_assignor: Literal["uniform", "range"] = "uniform"
    """How the group shares out partitions: `uniform` is balanced and sticky, `range` gives
    partitions with the same number of several topics to one member."""

    auto_offset_reset: Literal["earliest", "latest", "none"] = "latest"
    """Where to begin if there is no committed offset, or it is out of range.

    `none` raises `NoOffsetForPartition`, or `OffsetOutOfRange`.
    """

    enable_auto_commit: bool = True
    """Whether positions are committed in the background. Off without a `group_id`."""

    auto_commit_interval_ms: PositiveMilliseconds = 5_000
    """How often all positions are committed with `enable_auto_commit`, moved or not."""

    max_poll_records: int = Field(default=500, ge=1, le=INT32_MAX)
    """The most records that one poll returns."""

    max_poll_interval_ms: PositiveMilliseconds = 300_000
    """The longest time between two polls; a consumer that takes longer leaves its group."""

    session_timeout_ms: int = Field(default=45_000, ge=MIN_SESSION_MS, le=INT32_MAX)
    """After how long without a heartbeat a member is taken for dead, by Redis's clock.

    At least 100. Kafka 4 sets it for all groups of a broker; here it is each member's own, unless
    `consumer.session.timeout.ms` is set for the group.
    """

    heartbeat_interval_ms: PositiveMilliseconds = 5_000
    """How often a member says that it lives, unless `consumer.heartbeat.interval.ms` is set for the
    group. Below `session_timeout_ms`.

    The default gives way to a third of a shorter session.
    """

    fetch_min_bytes: Bytes = 1
    """How many bytes a fetch waits for, at most `fetch_max_wait_ms`."""

    fetch_max_wait_ms: Milliseconds = 500
    """How long a fetch waits for `fetch_min_bytes`."""

    fetch_max_bytes: Bytes = 52_428_800
    """Bytes of batches fetched ahead, all partitions together. One batch always passes."""

    max_partition_fetch_bytes: Bytes = 1_048_576
    """Bytes of batches fetched ahead of one partition. One batch always passes."""

    check_crcs: bool = True
    """Whether the checksum of every batch is verified when it is read."""

    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    """Whether to read records of transactions that are open or aborted."""

    key_deserializer: Callable[[bytes], Any] | None = None
    """Makes an object of the bytes of a key; not called for `None`. `None`: keys stay bytes."""

    value_deserializer: Callable[[bytes], Any] | None = None
    """Makes an object of the bytes of a value; not called for `None`. `None`: values stay bytes."""

    @model_validator(mode="after")
    def _auto_commit(self) -> ConsumerConfig:
        if self.group_id is None and self.enable_auto_commit:
            if "enable_auto_commit" in self.model_fields_set:
                raise ValueError("enable_auto_commit=True: expected a group_id to commit for")
            self._settle(enable_auto_commit=False)
        return self

    @model_validator(mode="after")
    def _heartbeat(self) -> ConsumerConfig:
        if "heartbeat_interval_ms" not in self.model_fields_set:
            self._settle(
                heartbeat_interval_ms=min(self.heartbeat_interval_ms, self.session_timeout_ms // 3)
            )
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ValueError(
                f"heartbeat_interval_ms={self.heartbeat_interval_ms}: expected less than "
                f"session_timeout_ms={self.session_timeout_ms}"
            )
        return self

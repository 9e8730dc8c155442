"""The producer's configs, with Kafka's rules between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from partstream.config.common import (
    GZIP_LEVEL,
    INT32_MAX,
    INT64_MAX,
    LZ4_LEVEL,
    ZSTD_LEVEL,
    AutoCreateConfig,
    Bytes,
    Milliseconds,
    level_of,
)
from partstream.model import LogLoss

MAX_IN_FLIGHT = 5
"""A partition remembers the last five batches of a producer, so that many may be unanswered."""


def _acks(value: object) -> object:
    """Kafka takes acks as text or number, and `-1` for `all`."""
    if not isinstance(value, (int, str)):
        return value
    return {"0": 0, "1": 1, "-1": "all", -1: "all"}.get(value, value)


class ProducerConfig(AutoCreateConfig):
    """What `Producer` is configured with."""

    acks: Annotated[Literal[0, 1, "all"], BeforeValidator(_acks)] = "all"
    """Whose acknowledgement makes a record delivered.

    `0`: nobody's, and its offset is not known; `1`: the primary's; `"all"` (or `-1`): that of every
    replica in sync, of which there must be `min.insync.replicas`, the primary counted in.
    """

    enable_idempotence: bool = True
    """Whether retries can neither duplicate nor reorder records.

    It needs `acks="all"`, `retries` above 0 and at most 5 requests in flight. As in Kafka it is
    switched off if it was not asked for and `acks` or `retries` rule it out.
    """

    batch_size: Bytes = 65_536
    """Bytes after which a batch is sent, before compression. A larger record goes alone.

    Kafka's default is 16384; one batch is one stream entry here, and larger ones cost less each.
    """

    linger_ms: Milliseconds = 5
    """How long a batch that is not full waits for more records."""

    buffer_memory: int = Field(default=32 * 1024 * 1024, ge=1, le=INT64_MAX)
    """Bytes of records that may wait to be sent. When they are used up, `send` waits."""

    max_block_ms: Annotated[int, Field(ge=0, le=INT64_MAX)] = 60_000
    """How long `send` waits for room in the buffer or for a topic's metadata, before it raises."""

    max_request_size: Bytes = 1_048_576
    """The largest record, in bytes before compression. The topic's `max.message.bytes` also counts.
    """

    delivery_timeout_ms: Milliseconds = 120_000
    """How long after `send` a record is either acknowledged or failed, retries included.

    At least `linger_ms + request_timeout_ms`; the default gives way to them.
    """

    retries: int = Field(default=INT32_MAX, ge=0, le=INT32_MAX)
    """How often a batch is sent again. Better left alone: `delivery_timeout_ms` bounds it."""

    max_in_flight_requests_per_connection: int = Field(default=MAX_IN_FLIGHT, ge=1, le=INT32_MAX)
    """How many batches of one partition may be unanswered at a time.

    At most 5 with idempotence. Without it, more than 1 can reorder records when one is retried.
    """

    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    """How batches are compressed, unless the topic's `compression.type` asks for another codec."""

    compression_gzip_level: Annotated[int, GZIP_LEVEL] = -1
    """How hard gzip tries, from 1 to 9, where `compression_type` is `gzip`; -1: zlib's default."""

    compression_lz4_level: Annotated[int, LZ4_LEVEL] = 9
    """How hard lz4 tries, where `compression_type` is `lz4`; 9, as in Kafka, is its fast mode."""

    compression_zstd_level: Annotated[int, ZSTD_LEVEL] = 3
    """How hard zstd tries, where `compression_type` is `zstd`."""

    partitioner: Callable[[bytes | None, int], int] | None = None
    """Chooses the partition of a record: called with its key and the number of partitions.

    `None`: by the topic's own hash of the key; records without a key keep to one per batch.
    """

    key_serializer: Callable[[Any], bytes | None] | None = None
    """Makes bytes of a key. `None`: keys are given as bytes, or not at all."""

    value_serializer: Callable[[Any], bytes | None] | None = None
    """Makes bytes of a value. `None`: values are given as bytes, or as `None` (a tombstone)."""

    on_log_loss: Callable[[LogLoss], object] | None = None
    """Called with a `partstream.LogLoss` when acknowledged records turn out to be gone.

    A failover or a crash of Redis may take back what had not been replicated or written to disk;
    the producer notices by the leader epoch. The loss names topic, partition, and the offsets from
    `first_offset` up to and without `next_offset`. Losses are logged as warnings, too.
    """

    @property
    def compression_level(self) -> int | None:
        """How hard `compression_type` is to try; None: as the codec does by itself."""
        return level_of(self, self.compression_type)

    @model_validator(mode="after")
    def _idempotence(self) -> ProducerConfig:
        if not self.enable_idempotence:
            return self
        if self.max_in_flight_requests_per_connection > MAX_IN_FLIGHT:
            raise ValueError(
                "max_in_flight_requests_per_connection="
                f"{self.max_in_flight_requests_per_connection}: expected at most {MAX_IN_FLIGHT} "
                "with enable_idempotence"
            )
        ruled_out = None
        if self.acks != "all":
            ruled_out = f"acks={self.acks!r}: expected 'all' with enable_idempotence"
        elif self.retries == 0:
            ruled_out = "retries=0: expected at least 1 with enable_idempotence"
        if ruled_out is not None:
            if "enable_idempotence" in self.model_fields_set:
                raise ValueError(ruled_out)
            self._settle(enable_idempotence=False)
        return self

    @model_validator(mode="after")
    def _delivery_timeout(self) -> ProducerConfig:
        least = min(self.linger_ms + self.request_timeout_ms, INT32_MAX)
        if self.delivery_timeout_ms < least:
            if "delivery_timeout_ms" in self.model_fields_set:
                raise ValueError(
                    f"delivery_timeout_ms={self.delivery_timeout_ms}: expected at least linger_ms "
                    f"+ request_timeout_ms = {least}"
                )
            self._settle(delivery_timeout_ms=least)
        return self

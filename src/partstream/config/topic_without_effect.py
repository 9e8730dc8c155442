"""Topic configs that Kafka has and that mean nothing here, where a log is no file on a disk.

Applications set them, or ask for them. So they are checked as Kafka checks them, kept and shown.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from partstream.config.common import INT64_MAX
from partstream.config.texts import Bool, Int32, Int64, items


def _without_tiers(value: bool) -> bool:
    """Kafka itself refuses it, unless its brokers were set up with storage to move segments to."""
    if value:
        raise ValueError("expected 'false', as there is no tiered storage")
    return value


def _replicas(text: str) -> str:
    """`*`, or a list of partitions and brokers."""
    if text != "*" and not all(re.fullmatch(r"[0-9]+:[0-9]+", item) for item in items(text)):
        raise ValueError("expected '*' or a list like '0:1,0:2', of partitions and brokers")
    return text


_Replicas = Annotated[str, AfterValidator(_replicas)]


class WithoutEffect(BaseModel):
    """What a topic can be configured with, as in Kafka, and what changes nothing here."""

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        alias_generator=lambda name: name.replace("_", "."),
    )

    file_delete_delay_ms: Annotated[Int64, Field(ge=0)] = 60_000
    """In Kafka, how long the file of a deleted segment stays. Here there are no files."""

    flush_ms: Annotated[Int64, Field(ge=0)] = INT64_MAX
    """In Kafka, how long a record may wait until it is forced to the disk.

    Here `appendfsync` of Redis says that, for all topics, and `flush.messages=1` for one.
    """

    follower_replication_throttled_replicas: _Replicas = ""
    """In Kafka, which replicas copy slowly while they catch up. Here Redis copies, and decides."""

    index_interval_bytes: Annotated[Int32, Field(ge=0)] = 4096
    """In Kafka, how many bytes of log a row of the offset index stands for.

    Here records are found by offset without one.
    """

    leader_replication_throttled_replicas: _Replicas = ""
    """In Kafka, which replicas are served slowly while they catch up."""

    local_retention_bytes: Annotated[Int64, Field(ge=-2)] = -2
    """In Kafka with tiered storage, how many bytes of a partition stay on the broker's disk."""

    local_retention_ms: Annotated[Int64, Field(ge=-2)] = -2
    """In Kafka with tiered storage, how long records stay on the broker's disk."""

    preallocate: Bool = False
    """In Kafka, whether the file of a new segment gets its full size at once."""

    remote_log_copy_disable: Bool = False
    """In Kafka with tiered storage, whether segments are no longer moved there."""

    remote_log_delete_on_disable: Bool = False
    """In Kafka with tiered storage, whether what is there goes when it is turned off."""

    remote_storage_enable: Annotated[Bool, AfterValidator(_without_tiers)] = False
    """In Kafka, whether old segments are moved to tiered storage. There is none here.

    `true` is refused, as by a Kafka that has none.
    """

    segment_index_bytes: Annotated[Int32, Field(ge=4)] = 10 * 1024 * 1024
    """In Kafka, how large a segment's offset index may get. Here a segment has one row."""

    segment_jitter_ms: Annotated[Int64, Field(ge=0)] = 0
    """In Kafka, by how much at most segments end early, so that not all end at once."""

    unclean_leader_election_enable: Bool = False
    """In Kafka, whether a replica that is behind may become the leader.

    Here Redis decides who follows a primary that failed.
    """

"""The values that partstream hands out and takes: immutable, with Kafka's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, NamedTuple, TypeAlias

Headers: TypeAlias = "tuple[tuple[str, bytes | None], ...]"
"""Record headers in their order; a name may stand more than once."""

OffsetSpec: TypeAlias = Literal["earliest", "latest"] | datetime | int
"""A place in a log: its start, its end, or the first record at or after a time.

A time is a datetime (without a time zone: local time) or milliseconds since 1970.
"""

ResetSpec: TypeAlias = Literal["earliest", "latest"] | datetime | int
"""Where a group's offset is set to: the log's start or end, a time, or (an int) an offset."""


class TimestampType(IntEnum):
    """What a record's timestamp means (KIP-32)."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    """Dense from 0 within the partition."""
    timestamp: int
    """Milliseconds since 1970 (UTC)."""
    timestamp_type: int
    """A `TimestampType`: whether the producer or the log set the timestamp."""
    key: Any
    """bytes or None, or what the consumer's key_deserializer made of it."""
    value: Any
    """bytes, or what the consumer's value_deserializer made of it; None is a tombstone."""
    headers: Headers


class RecordMetadata(NamedTuple):
    """Where an acknowledged record is."""

    topic: str
    partition: int
    offset: int
    """The record's offset; -1 with acks=0, where nobody says."""
    timestamp: int
    """Milliseconds since 1970: the record's own, or the log's with LogAppendTime."""


@dataclass(frozen=True, slots=True)
class LogLoss:
    """Records that had been acknowledged, and that a failover or a crash of Redis took back."""

    topic: str
    partition: int
    first_offset: int
    """The first one lost."""
    next_offset: int
    """The one after the last that this producer knows of."""
    leader_epoch: int
    """The epoch in which they had been written."""


class OffsetAndMetadata(NamedTuple):
    """A committed position: the offset of the next record to process."""

    offset: int
    metadata: str = ""
    leader_epoch: int = -1
    """The epoch of the last record processed, or -1 if not known (KIP-320)."""


class OffsetAndTimestamp(NamedTuple):
    """The first record at or after a time."""

    offset: int
    timestamp: int
    leader_epoch: int = -1


class Compacted(NamedTuple):
    """What one cleaning of a compacted partition did."""

    boundary: int
    """The log is clean up to this offset."""
    records_read: int
    records_kept: int
    bytes_before: int
    """Of the part that is clean now."""
    bytes_after: int
    dirty_ratio: float
    """How much of what could be cleaned never was before (0 to 1)."""
    by_another: bool = False
    """Another client was at it, and was waited for; this one has read nothing. The bytes are those
    of what is clean now."""


class CompactionProgress(NamedTuple):
    """How far the cleaning of a partition is."""

    step: str
    """`reading` (which keys there are), `writing` (what stays), then `trimming`; or `waiting`, for
    another client that cleans it."""
    done: int
    """Bytes."""
    whole: int


@dataclass(frozen=True, slots=True)
class TopicListing:
    """A topic, as `Admin.list_topics` sees it."""

    name: str
    topic_id: str
    """Kafka's form of a topic id: 22 characters of URL-safe base64."""
    partitions: int
    partitioner: str


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """One partition, as `Admin.describe_topics` sees it."""

    partition: int
    key: str
    """The Redis key of its log."""
    slot: int
    node: str
    """host:port of the Redis primary that holds it."""
    leader_epoch: int
    start_offset: int
    end_offset: int
    size: int
    """Bytes of record batches held."""


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic, its configs and its partitions."""

    name: str
    topic_id: str
    """Kafka's form of a topic id: 22 characters of URL-safe base64."""
    partitions: tuple[PartitionDescription, ...]
    config: dict[str, str]
    """Every config by Kafka's name, defaults included."""
    partitioner: str

    @property
    def records(self) -> int:
        """Offsets from the partitions' starts to their ends; what compaction removed counts too."""
        return sum(each.end_offset - each.start_offset for each in self.partitions)

    @property
    def size(self) -> int:
        """Bytes of record batches held, in all partitions."""
        return sum(each.size for each in self.partitions)


class GroupState(IntEnum):
    """The state of a group, under Kafka's names."""

    EMPTY = 0
    ASSIGNING = 1
    RECONCILING = 2
    STABLE = 3
    DEAD = 4
    PREPARING_REBALANCE = 5
    """Of a classic group: its members are to join again."""
    COMPLETING_REBALANCE = 6
    """Of a classic group: its leader is to assign."""


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group, as `Admin.list_groups` sees it."""

    group_id: str
    type: str
    """`consumer` (KIP-848) or `classic`."""
    state: GroupState
    protocol_type: str = "consumer"
    """What its members are: `consumer`, `connect` or another; empty if it never had any."""


@dataclass(frozen=True, slots=True)
class MemberDescription:
    """A member of a group: who it is, what it owns, and what it is to own."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    epoch: int
    subscribed_topics: tuple[str, ...]
    subscribed_regex: str | None
    assignment: tuple[TopicPartition, ...]
    target_assignment: tuple[TopicPartition, ...]
    rack: str | None = None
    type: str = "consumer"
    """The protocol that it speaks: `consumer` (KIP-848) or `classic`. Members of a consumer group
    may speak either, while they are switched from one to the other."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What a group has committed of a partition, and how far behind it is."""

    partition: TopicPartition
    committed: OffsetAndMetadata | None
    start_offset: int
    end_offset: int
    lag: int | None
    """Records between the committed offset and the end; None without a committed offset."""


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group, its members and its lag."""

    group_id: str
    type: str
    """`consumer` (KIP-848) or `classic`."""
    state: GroupState
    epoch: int
    """Of a classic group: its generation, as is every other epoch."""
    target_epoch: int
    assignor: str
    """Of a classic group: the protocol of its generation."""
    members: tuple[MemberDescription, ...] = ()
    lags: tuple[PartitionLag, ...] = field(default=())
    protocol_type: str = "consumer"
    """As in `GroupListing`."""
    configs: dict[str, str] = field(default_factory=dict)
    """What is set for this group, by Kafka's names; the rest follows its members' gateways and
    clients."""


class OffsetChange(NamedTuple):
    """What resetting a group's offsets changes in one partition."""

    partition: TopicPartition
    before: int | None
    """The offset that was committed, or None."""
    after: int


@dataclass(frozen=True, slots=True)
class ReplicaDescription:
    """A replica of a Redis primary, as the primary sees it."""

    address: str
    state: str
    """`online`, what it is at on its way there (`wait_bgsave`, ...), or `away`: the cluster knows
    of it, but it is not connected. `?` where the primary does not tell (INFO refused)."""
    lag_s: int | None = None
    """Seconds since it was last heard of; None where that is not known."""
    lag_bytes: int | None = None
    """How much of what the primary has written it has not acknowledged."""


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """A Redis primary, and the replicas that follow it."""

    address: str
    """host:port, or the path of a Unix socket."""
    product: str
    """`redis` or `valkey`."""
    version: str
    slots: int
    """How many hash slots it holds; a server that is no node of a cluster holds them all."""
    replicas: tuple[ReplicaDescription, ...]
    partitions: tuple[TopicPartition, ...] = ()
    """Those of this namespace that it holds."""
    used_memory: int | None = None
    """Bytes; None where INFO is refused."""
    maxmemory: int | None = None
    """Bytes; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The Redis deployment behind a client."""

    kind: str
    """`standalone`, `cluster` or `sentinel`."""
    namespace: str
    layout: int
    """The version of the key layout."""
    nodes: tuple[NodeDescription, ...]


class Severity(IntEnum):
    """How bad a finding of `Admin.doctor` is."""

    INFO = 0
    """Worth knowing."""
    WARNING = 1
    """Something can be lost or can stall, in circumstances that the finding names."""
    ERROR = 2
    """Data will be lost, or something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `Admin.doctor` found."""

    name: str
    """A short name that stays the same between versions: `eviction-policy`."""
    severity: Severity
    where: str
    """The node, topic or partition that it is about."""
    what: str
    why: str
    """What can happen because of it."""
    remedy: str
    """What to do about it; a command wherever there is one."""

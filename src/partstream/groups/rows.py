"""The rows of a group's state, and their text form in Redis.

The text is canonical: equal values have equal text. The scripts depend on it, for they compare
rows as bytes (has this member changed since it was read? does it own just what it is to own?).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from partstream.model import OffsetAndMetadata

TopicIdPartition: TypeAlias = "tuple[str, int]"
"""One partition: the id of its topic (22 characters of URL-safe base64), and its number."""

Partitions: TypeAlias = "frozenset[TopicIdPartition]"

NOTHING: Partitions = frozenset()

STABLE = "S"
"""The member owns what it is to own."""
REVOKING = "R"
"""The member has yet to say that it let go of some partitions."""
WAITING = "W"
"""The member waits for partitions that others still own."""

LEFT_STATIC = -2
"""The epoch of a static member that left for a while (KIP-345, KIP-848)."""


def encode_partitions(partitions: Iterable[TopicIdPartition]) -> str:
    """`TOPIC:0,1,2;OTHER:5`: topics in the order of their ids, partitions in theirs."""
    by_topic: dict[str, list[int]] = {}
    for topic_id, partition in sorted(partitions):
        by_topic.setdefault(topic_id, []).append(partition)
    return ";".join(f"{topic}:{','.join(map(str, these))}" for topic, these in by_topic.items())


def decode_partitions(text: str) -> Partitions:
    """The partitions that `encode_partitions` wrote."""
    if not text:
        return NOTHING
    topics = (piece.split(":") for piece in text.split(";"))
    return frozenset((topic, int(number)) for topic, these in topics for number in these.split(","))


def encode_partition(partition: TopicIdPartition) -> str:
    """One partition as the field of a hash: `TOPIC:5`."""
    return f"{partition[0]}:{partition[1]}"


def decode_partition(field: str) -> TopicIdPartition:
    """The partition that `encode_partition` wrote."""
    topic, _, number = field.rpartition(":")
    return topic, int(number)


@dataclass(frozen=True, slots=True)
class MemberRow:
    """What a member has applied: the truth about who owns what.

    A partition belongs to the member while it is in `assigned` or in `revoking`.
    """

    epoch: int
    """The epoch of the member; -2 for a static member that left for a while."""
    previous_epoch: int
    """The epoch before: a member that sends it has missed an answer, and is told again."""
    seq: int
    """Grows with every change of any row of the group, so no two versions of a row are equal."""
    incarnation: int
    """Which join of this member id made the row; a later join has a larger one."""
    state: str
    """`STABLE`, `REVOKING` or `WAITING`."""
    assigned: Partitions = NOTHING
    revoking: Partitions = NOTHING

    def encode(self) -> str:
        """The row as the scripts read it."""
        return (
            f"{self.epoch}|{self.previous_epoch}|{self.seq}|{self.incarnation:020d}|{self.state}|"
            f"{encode_partitions(self.assigned)}|{encode_partitions(self.revoking)}"
        )

    @classmethod
    def decode(cls, text: str) -> MemberRow:
        """The row that `encode`, or a script, wrote."""
        epoch, previous, seq, incarnation, state, assigned, revoking = text.split("|")
        return cls(
            int(epoch),
            int(previous),
            int(seq),
            int(incarnation),
            state,
            decode_partitions(assigned),
            decode_partitions(revoking),
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member wants, and who it is."""

    topics: tuple[str, ...] = ()
    """Names, sorted; topics that do not exist (yet) are allowed."""
    regex: str | None = None
    assignor: str | None = None
    """The assignor that the member prefers; None leaves it to the group."""
    rack: str | None = None
    instance_id: str | None = None
    rebalance_timeout_ms: int = -1
    """How long the member may take to let go of partitions."""
    client_id: str = ""
    host: str = ""

    def encode(self) -> str:
        """Two lines of JSON: what the assignment depends on, then the rest.

        The scripts compare the first line: only if that changes is there anything to rebalance.
        """
        matters = [list(self.topics), self.regex, self.assignor, self.rack]
        rest = [self.instance_id, self.rebalance_timeout_ms, self.client_id, self.host]
        return f"{json.dumps(matters)}\n{json.dumps(rest)}"

    @classmethod
    def decode(cls, text: str) -> Subscription:
        """The subscription that `encode` wrote."""
        matters, rest = text.split("\n")
        topics, regex, assignor, rack = json.loads(matters)
        return cls(tuple(topics), regex, assignor, rack, *json.loads(rest))


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset, and when it was committed."""

    position: OffsetAndMetadata
    committed_at: int
    """Milliseconds since 1970, by Redis's clock."""

    @classmethod
    def decode(cls, text: str) -> CommittedOffset:
        """The row `offset|leader epoch|time|stamp|metadata` that the commit script wrote."""
        offset, leader_epoch, committed_at, _stamp, metadata = text.split("|", 4)
        return cls(
            OffsetAndMetadata(int(offset), metadata, int(leader_epoch)),
            int(committed_at),
        )

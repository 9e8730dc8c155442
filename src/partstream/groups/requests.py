"""What a member sends in its heartbeat, and what of it Kafka refuses (KIP-848)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from partstream.errors import (
    InvalidGroupId,
    InvalidRequest,
    OffsetMetadataTooLarge,
    UnsupportedAssignor,
)
from partstream.groups import patterns
from partstream.groups.assignors import ASSIGNORS
from partstream.groups.classic import Protocols
from partstream.groups.rows import LEFT_STATIC, Subscription, TopicIdPartition

JOIN = 0
"""The member epoch of a member that joins."""
LEAVE = -1
"""The member epoch of a member that leaves for good."""
UNSAID = -1
"""The rebalance timeout of a heartbeat that says none. Any other counts, as in Kafka: with none at
all a member that has to give something up is removed at once."""

MAX_METADATA = 4096
"""Kafka's offset.metadata.max.bytes: the longest metadata of a committed offset, in bytes."""


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """One ConsumerGroupHeartbeat, with Kafka's meaning of each field; None: as before."""

    group_id: str
    member_id: str
    member_epoch: int
    instance_id: str | None = None
    rack: str | None = None
    rebalance_timeout_ms: int = UNSAID
    client_id: str = ""
    host: str = ""
    subscribed_topics: Sequence[str] | None = None
    subscribed_regex: str | None = None
    assignor: str | None = None
    owned: Collection[TopicIdPartition] | None = None
    supported: Protocols = ()
    """Of a member that speaks the classic protocol, when it joins. It says what it owns after it
    has let go of the rest, so `owned` counts whatever its row says by now."""

    @property
    def subscribes(self) -> bool:
        """Whether it says what the member subscribes to."""
        return self.subscribed_topics is not None or self.subscribed_regex is not None

    @property
    def changes_subscription(self) -> bool:
        """Whether it may change anything that the member said when it joined."""
        return self.subscribes or self.assignor is not None or self.rebalance_timeout_ms != UNSAID

    @property
    def is_full(self) -> bool:
        """Whether it says everything, as a client does that does not know what was heard of it."""
        return self.subscribes and self.owned is not None and self.rebalance_timeout_ms != UNSAID

    def subscription(self) -> Subscription:
        """What it subscribes to; an empty regex is none."""
        return Subscription(
            tuple(sorted(set(self.subscribed_topics or ()))),
            self.subscribed_regex or None,
            self.assignor,
            self.rack,
            self.instance_id,
            self.rebalance_timeout_ms,
            self.client_id,
            self.host,
        )


def check_group_id(group_id: str) -> None:
    """Make sure that a group id is one.

    Raises:
        InvalidGroupId: it is empty or blank, or not a string.
    """
    if not isinstance(group_id, str) or not group_id.strip():
        raise InvalidGroupId(f"a group id is a string that is not empty, and {group_id!r} is not")


def check(request: HeartbeatRequest) -> None:
    """Refuse what Kafka refuses.

    Raises:
        InvalidGroupId: the group id is empty.
        InvalidRequest: a field is missing, or contradicts another.
        UnsupportedAssignor: there is no such assignor.
        InvalidRegularExpression: the subscription's pattern is not valid.
    """
    check_group_id(request.group_id)
    problem = _problem(request)
    if problem:
        raise InvalidRequest(problem)
    if request.assignor is not None and request.assignor not in ASSIGNORS:
        known = ", ".join(ASSIGNORS)
        raise UnsupportedAssignor(f"{request.assignor!r} is not an assignor; there are {known}")
    if request.subscribed_regex:
        patterns.check(request.subscribed_regex)


def _problem(request: HeartbeatRequest) -> str | None:
    if not request.member_id or not _printable(request.member_id):
        return f"member_id {request.member_id!r} is empty or holds control characters"
    for name, value in (("instance_id", request.instance_id), ("rack", request.rack)):
        if value == "":
            return f"{name} must not be empty"
    if request.member_epoch < LEFT_STATIC:
        return f"member_epoch {request.member_epoch} is less than -2"
    if request.member_epoch == LEFT_STATIC and request.instance_id is None:
        return "member_epoch -2 is for static members, and instance_id is not given"
    if request.member_epoch == JOIN:
        return _problem_of_join(request)
    return None


def _problem_of_join(request: HeartbeatRequest) -> str | None:
    if request.rebalance_timeout_ms == UNSAID:
        return "rebalance_timeout_ms must be given in the first heartbeat"
    if request.owned:
        return "a member that joins owns nothing, but owned is not empty"
    if not request.subscribes:
        return "subscribed_topics or subscribed_regex must be given in the first heartbeat"
    return None


def _printable(text: str) -> bool:
    return all(letter >= " " for letter in text)


def check_metadata(metadata: str, most: int = MAX_METADATA) -> None:
    """Make sure that the metadata of a committed offset is not too long.

    Raises:
        OffsetMetadataTooLarge: it is longer than `most` bytes.
    """
    size = len(metadata.encode())
    if size > most:
        raise OffsetMetadataTooLarge(
            f"the metadata of a committed offset is {size} bytes, and {most} are allowed"
        )

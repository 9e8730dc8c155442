"""The protocol that consumers embed in a classic group: what they want, what they were assigned.

A group does not look into what its members say to one another, except here: to tell an admin which
topics are in use, and where members of both protocols share a group. Metadata of another protocol,
or of none, gives None.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct, error

from partstream.model import TopicPartition

CONSUMER = "consumer"
"""The protocol type of consumers; others are those of Kafka Connect, schema registries, ..."""

_INT16, _INT32 = Struct(">h"), Struct(">i")
_NEWEST = 3
"""The newest version of both messages that there is."""


class _Reader:
    """Reads from the start; raises `struct.error` or ValueError where the bytes end or lie."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def int16(self) -> int:
        self.at += 2
        return int(_INT16.unpack_from(self.data, self.at - 2)[0])

    def int32(self) -> int:
        self.at += 4
        return int(_INT32.unpack_from(self.data, self.at - 4)[0])

    def count(self, least: int) -> int:
        """The length of an array whose items take at least so many bytes."""
        count = self.int32()
        if not 0 <= count * least <= len(self.data) - self.at:
            raise ValueError(f"{count} items do not fit")
        return count

    def string(self) -> str:
        return self._bytes(self.int16()).decode()

    def nullable_string(self) -> str | None:
        size = self.int16()
        return None if size == -1 else self._bytes(size).decode()

    def user_data(self) -> bytes:
        """What an assignor adds for itself; null is nothing."""
        size = self.int32()
        return b"" if size == -1 else self._bytes(size)

    def partitions(self) -> list[TopicPartition]:
        found = []
        for _ in range(self.count(6)):
            topic = self.string()
            found += [TopicPartition(topic, self.int32()) for _ in range(self.count(4))]
        return found

    def _bytes(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"{size} bytes do not fit")
        self.at += size
        return self.data[self.at - size : self.at]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a consumer says when it joins (ConsumerProtocolSubscription)."""

    version: int
    topics: tuple[str, ...]
    owned: tuple[TopicPartition, ...] = ()
    """What it goes on reading while it joins; nothing if its assignor is an eager one."""
    generation: int = -1
    """The one in which it was given what it owns."""
    rack: str | None = None


def read_wish(metadata: bytes) -> Wish | None:
    """What a consumer wants; None if that cannot be read."""
    reader = _Reader(metadata)
    try:
        version = reader.int16()
        if version < 0:
            return None
        topics = tuple(reader.string() for _ in range(reader.count(2)))
        reader.user_data()
        owned = tuple(reader.partitions()) if version >= 1 else ()
        generation = reader.int32() if version >= 2 else -1
        rack = reader.nullable_string() if version >= 3 else None
    except (error, ValueError):
        return None
    return Wish(min(version, _NEWEST), topics, owned, generation, rack)


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics that a consumer subscribes to; every version begins as the first one."""
    reader = _Reader(metadata)
    try:
        reader.int16()
        return frozenset(reader.string() for _ in range(reader.count(2)))
    except (error, ValueError):
        return None


def assigned_partitions(assignment: bytes) -> tuple[TopicPartition, ...] | None:
    """The partitions that a consumer was assigned."""
    read = read_assignment(assignment)
    return None if read is None else read[0]


def read_assignment(assignment: bytes) -> tuple[tuple[TopicPartition, ...], bytes] | None:
    """The partitions that a consumer was assigned, and what its assignor has added."""
    reader = _Reader(assignment)
    try:
        reader.int16()
        found = reader.partitions()
        # Old assignors leave it out.
        added = reader.user_data() if reader.at < len(assignment) else b""
    except (error, ValueError):
        return None
    return tuple(sorted(found)), added


def write_assignment(version: int, partitions: Iterable[TopicPartition]) -> bytes:
    """An assignment (ConsumerProtocolAssignment), of the version that the consumer's wish has."""
    topics: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        topics.setdefault(topic, []).append(number)
    parts = [_INT16.pack(version), _INT32.pack(len(topics))]
    for topic, numbers in topics.items():
        name = topic.encode()
        parts += [_INT16.pack(len(name)), name, _INT32.pack(len(numbers))]
        parts += map(_INT32.pack, numbers)
    return b"".join([*parts, _INT32.pack(-1)])

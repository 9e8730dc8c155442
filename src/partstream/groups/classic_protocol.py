"""The protocol that consumers embed in a classic group: what they want, what they were assigned.

A group does not look into what its members say to one another, except here: to tell an admin which
topics are in use. Metadata of another protocol, or of none, gives None.
"""

from __future__ import annotations

from struct import Struct, error

from partstream.model import TopicPartition

CONSUMER = "consumer"
"""The protocol type of consumers; others are those of Kafka Connect, schema registries, ..."""

_INT16, _INT32 = Struct(">h"), Struct(">i")


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
        size = self.int16()
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"a string of {size} bytes does not fit")
        self.at += size
        return self.data[self.at - size : self.at].decode()


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
    reader = _Reader(assignment)
    found = []
    try:
        reader.int16()
        for _ in range(reader.count(6)):
            topic = reader.string()
            found += [TopicPartition(topic, reader.int32()) for _ in range(reader.count(4))]
    except (error, ValueError):
        return None
    return tuple(sorted(found))

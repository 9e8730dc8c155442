"""Rules about positions, without I/O: where reading begins, and what users may give as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from partstream.engine.log import Bounds
from partstream.errors import IllegalState
from partstream.model import OffsetAndMetadata, TopicPartition

Reset: TypeAlias = Literal["earliest", "latest", "none"]

Partitions: TypeAlias = "TopicPartition | tuple[str, int] | Iterable[TopicPartition]"
"""What methods take that are about partitions: one of them, or several in any collection."""


class Position(NamedTuple):
    """Where a reader stands."""

    offset: int
    """Of the next record."""
    leader_epoch: int = -1
    """An epoch in which the log reached that offset; -1 if none is known."""


def start_of(bounds: Bounds, reset: Reset) -> Position | None:
    """Where reading begins without a position of its own; None if the policy is `none`.

    At the end the epoch is known: the log has just reached it. Of what lies before the start
    nothing is known any more.
    """
    if reset == "earliest":
        return Position(bounds.start)
    if reset == "latest":
        return Position(bounds.end, bounds.leader_epoch)
    return None


def partitions_of(given: Iterable[Partitions]) -> list[TopicPartition]:
    """The partitions that a call names, one by one or as collections, in order.

    Raises:
        IllegalState: something is no partition.
    """
    return list(_each(given))


def _each(given: Iterable[object]) -> Iterator[TopicPartition]:
    for item in given:
        match item:
            case TopicPartition():
                yield item
            case (str() as topic, int() as partition) if isinstance(item, tuple):
                yield TopicPartition(topic, partition)
            case str() | bytes():
                raise IllegalState(f"{item!r} is no TopicPartition")
            case _ if isinstance(item, Iterable):
                yield from _each(item)
            case _:
                raise IllegalState(f"{item!r} is no TopicPartition")


def positions_of(
    given: Mapping[TopicPartition, OffsetAndMetadata | int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets to commit, with plain numbers made positions.

    Raises:
        IllegalState: an offset is negative or none at all, or a key is no partition.
    """
    positions = {}
    for name, value in given.items():
        (partition,) = partitions_of([name])
        where = f"{partition.topic}-{partition.partition}"
        position = OffsetAndMetadata(value) if isinstance(value, int) else value
        if not isinstance(position, OffsetAndMetadata) or not isinstance(position.offset, int):
            raise IllegalState(f"offset {value!r} of {where}: expected a whole number")
        if position.offset < 0:
            raise IllegalState(f"offset {position.offset} of {where} is negative")
        positions[partition] = position
    return positions

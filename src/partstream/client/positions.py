"""Rules about positions, without I/O: where reading begins, and what users may give as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from partstream.config.common import INT32_MAX, INT64_MAX
from partstream.config.numbers import is_whole
from partstream.engine.log import Bounds
from partstream.errors import IllegalState
from partstream.model import OffsetAndMetadata, TopicPartition

Value = TypeVar("Value")

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


def partition_of(given: object) -> TopicPartition:
    """The one partition that is given.

    Raises:
        IllegalState: it is none.
    """
    match given:
        case (str() as topic, int() as number) if isinstance(given, tuple) and is_whole(number):
            return given if isinstance(given, TopicPartition) else TopicPartition(topic, number)
    raise IllegalState(f"{given!r:.100} is no TopicPartition: expected a topic's name and a number")


def partitions_of(given: Iterable[Partitions]) -> list[TopicPartition]:
    """The partitions that a call names, one by one or as collections, in order.

    Raises:
        IllegalState: something is no partition.
    """
    return list(_each(given))


def _each(given: Iterable[object]) -> Iterator[TopicPartition]:
    for item in given:
        match item:
            case TopicPartition() | (str(), int()) | str() | bytes():
                yield partition_of(item)
            case _ if isinstance(item, Iterable):
                yield from _each(item)
            case _:
                yield partition_of(item)


def by_partition(given: Mapping[TopicPartition, Value], what: str) -> dict[TopicPartition, Value]:
    """What is given for each of some partitions; `what` it is goes into the message.

    Raises:
        IllegalState: it is no mapping, or a key is no partition.
    """
    if not isinstance(given, Mapping):
        raise IllegalState(f"{what}={given!r:.100}: expected a mapping with partitions for keys")
    return {partition_of(name): value for name, value in given.items()}


def positions_of(
    given: Mapping[TopicPartition, OffsetAndMetadata | int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets to commit, with plain numbers made positions.

    Raises:
        IllegalState: an offset cannot be one, or a key is no partition.
    """
    return {
        partition: position_of(partition, value)
        for partition, value in by_partition(given, "offsets").items()
    }


def position_of(partition: TopicPartition, given: OffsetAndMetadata | int) -> OffsetAndMetadata:
    """A place in a partition, given as an offset or as what comes from a commit.

    Raises:
        IllegalState: it is none, or one that no log can have: offsets are int64, and what is
            larger could be stored, but no client of Kafka could be told of it.
    """
    where = f"{partition.topic}-{partition.partition}"
    position = OffsetAndMetadata(given) if isinstance(given, int) else given
    if not isinstance(position, OffsetAndMetadata) or not is_whole(position.offset):
        raise IllegalState(f"offset {given!r:.100} of {where}: expected a whole number")
    offset, metadata, epoch = position
    if offset < 0:
        raise IllegalState(f"offset {offset} of {where} is negative")
    if offset > INT64_MAX:
        raise IllegalState(f"offset {offset} of {where} is larger than 2**63 - 1")
    if not isinstance(metadata, str):
        raise IllegalState(f"metadata {metadata!r:.100} of an offset of {where}: expected str")
    if not is_whole(epoch) or not -1 <= epoch <= INT32_MAX:
        raise IllegalState(
            f"leader epoch {epoch!r:.100} of an offset of {where}: expected -1 to 2**31 - 1"
        )
    return position


def check_timestamp(partition: TopicPartition, given: object) -> None:
    """Make sure that it is a time at which an offset can be looked for, ms since 1970.

    Raises:
        IllegalState: it is none.
    """
    if not is_whole(given) or not 0 <= given <= INT64_MAX:
        raise IllegalState(
            f"timestamp {given!r:.100} of {partition.topic}-{partition.partition}: expected "
            "milliseconds since 1970"
        )

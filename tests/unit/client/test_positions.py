"""Where reading begins, and what users may give as partitions and positions."""

from __future__ import annotations

from typing import Any

import pytest

from partstream.client.positions import (
    Position,
    Reset,
    partitions_of,
    positions_of,
    start_of,
)
from partstream.engine.log import Bounds
from partstream.errors import IllegalState
from partstream.model import OffsetAndMetadata, TopicPartition

BOUNDS = Bounds(start=10, end=90, leader_epoch=7, size=1)


@pytest.mark.parametrize(
    ("reset", "expected"),
    [("earliest", Position(10, -1)), ("latest", Position(90, 7)), ("none", None)],
)
def test_reading_begins_where_the_policy_says(reset: Reset, expected: Position | None) -> None:
    assert start_of(BOUNDS, reset) == expected


def test_partitions_come_one_by_one_or_in_collections() -> None:
    first, second = TopicPartition("a", 0), TopicPartition("b", 1)
    assert partitions_of([first]) == [first]
    assert partitions_of([first, second]) == [first, second]
    assert partitions_of([[first, second]]) == [first, second]
    assert partitions_of([frozenset([second]), first]) == [second, first]
    assert partitions_of([("a", 0)]) == [first]
    assert partitions_of([]) == []


@pytest.mark.parametrize("wrong", ["orders", b"orders", 7, ("a", "b")])
def test_what_is_no_partition_is_named(wrong: object) -> None:
    with pytest.raises(IllegalState, match=r"is no TopicPartition"):
        partitions_of([wrong])  # type: ignore[list-item]  # that is what is tested


def test_offsets_to_commit_may_be_plain_numbers() -> None:
    partition, other = TopicPartition("a", 0), TopicPartition("a", 1)
    position = OffsetAndMetadata(7, "why", 3)
    assert positions_of({partition: 5, other: position}) == {
        partition: OffsetAndMetadata(5),
        other: position,
    }
    with pytest.raises(IllegalState, match=r"offset -1 of a-0 is negative"):
        positions_of({partition: -1})


_NO_NUMBER: Any = "5"


@pytest.mark.parametrize("wrong", [_NO_NUMBER, None, 5.0, OffsetAndMetadata(_NO_NUMBER)])
def test_an_offset_that_is_no_number_is_named(wrong: Any) -> None:
    with pytest.raises(IllegalState, match=r"of a-0: expected a whole number") as raised:
        positions_of({TopicPartition("a", 0): wrong})
    assert repr(wrong) in str(raised.value)

"""The demo's proof: it holds for what is right, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from partstream.demo.flights import Flight, flight_of, read_flights
from partstream.demo.journal import Entry, read_journals
from partstream.demo.proof import prove

FLIGHTS = [
    Flight(0, "N1", 100, {}),
    Flight(1, "N2", 200, {}),
    Flight(2, "N1", 300, {}),
    Flight(3, None, 400, {}),
]
# N1 is in partition 0, the others in 1.
RIGHT = [
    Entry(10, "a", 0, 0, 0, "N1", 100),
    Entry(11, "b", 1, 0, 1, "N2", 200),
    Entry(12, "a", 0, 1, 2, "N1", 300),
    Entry(13, "b", 1, 1, 3, None, 400),
]
ENDS = {0: 2, 1: 2}


def claims(entries: list[Entry], committed: dict[int, int]) -> list[bool]:
    return [check.holds for check in prove(FLIGHTS, entries, committed, ENDS)]


def test_all_is_well() -> None:
    assert claims(RIGHT, ENDS) == [True] * 5


def test_twice_is_allowed() -> None:
    assert claims([*RIGHT, Entry(20, "c", 0, 0, 0, "N1", 100)], ENDS) == [True] * 5


def without_the_last(entries: list[Entry]) -> list[Entry]:
    return entries[:-1]


def in_the_wrong_order(entries: list[Entry]) -> list[Entry]:
    first, second, third, fourth = entries
    return [first._replace(at_ns=third.at_ns), second, third._replace(at_ns=10), fourth]


def with_wrong_miles(entries: list[Entry]) -> list[Entry]:
    return [entries[0]._replace(miles=101), *entries[1:]]


def sent_twice(entries: list[Entry]) -> list[Entry]:
    return [*entries, Entry(20, "a", 0, 2, 2, "N1", 300)]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (without_the_last, [False, True, True, True, False]),
        (in_the_wrong_order, [True, False, False, True, True]),
        (with_wrong_miles, [True, True, True, True, False]),
        (sent_twice, [False, True, False, True, False]),
    ],
)
def test_what_is_wrong_is_found(
    spoil: Callable[[list[Entry]], list[Entry]], expected: list[bool]
) -> None:
    assert claims(spoil(RIGHT), ENDS) == expected


def test_what_is_not_committed_is_found() -> None:
    assert claims(RIGHT, {0: 2, 1: 1}) == [True, True, True, False, True]
    assert claims(RIGHT, {0: 2}) == [True, True, True, False, True]


def test_the_file() -> None:
    flights = list(read_flights())
    assert len(flights) == 27_004
    assert flights[0].aircraft == "N14228"
    assert flights[0].miles == 1400
    assert sum(flight.aircraft is None for flight in flights) == 155
    assert all(flight_of(flight.value) == flight for flight in flights[:100])


def test_the_example_has_the_same_file() -> None:
    """It is there twice: beside its description, and in the package, which has no examples."""
    name, root = "flights-2013-01.csv.gz", Path(__file__).parents[3]
    packaged = root / "src" / "partstream" / "demo" / name
    assert (root / "examples" / "flights" / name).read_bytes() == packaged.read_bytes()


def test_journals_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    text = "".join(entry.line() for entry in RIGHT)
    Path(tmp_path, "a.journal").write_text(text + "99 a 0 5 1")
    assert list(read_journals(tmp_path)) == RIGHT

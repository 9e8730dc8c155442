"""The flights that left New York City in January 2013, as records.

The source of the data is named in examples/flights/README.md.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

_DATA = files("partstream.demo") / "flights-2013-01.csv.gz"
_NO_AIRCRAFT = frozenset({"", "NA"})
"""What stands for the aircraft in the rows of some cancelled flights."""


class Flight(NamedTuple):
    """One row of the file."""

    number: int
    """Its place in the file, from 0."""
    aircraft: str | None
    miles: int
    row: dict[str, str]

    @property
    def key(self) -> bytes | None:
        """What keeps the flights of one aircraft in order."""
        return None if self.aircraft is None else self.aircraft.encode()

    @property
    def value(self) -> bytes:
        """The row as JSON, with its place in the file."""
        return json.dumps({"number": self.number, **self.row}).encode()


def read_flights() -> Iterator[Flight]:
    """All flights, in the order in which they were scheduled."""
    with _DATA.open("rb") as raw, gzip.open(raw, "rt", encoding="ascii", newline="") as text:
        for number, row in enumerate(csv.DictReader(text)):
            yield _flight(number, row)


def flight_of(value: bytes) -> Flight:
    """The flight in a record's value."""
    row = json.loads(value)
    return _flight(row.pop("number"), row)


def _flight(number: int, row: dict[str, str]) -> Flight:
    aircraft = row["tailnum"]
    return Flight(number, None if aircraft in _NO_AIRCRAFT else aircraft, int(row["distance"]), row)

"""What a consumer writes down of each flight, before it commits: one line each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """A flight that a consumer has processed."""

    at_ns: int
    """When, by the clock that all processes of a machine share."""
    worker: str
    partition: int
    offset: int
    number: int
    aircraft: str | None
    miles: int

    def line(self) -> str:
        """The entry as a line of text."""
        return (
            f"{self.at_ns} {self.worker} {self.partition} {self.offset} {self.number} "
            f"{self.aircraft or '-'} {self.miles}\n"
        )


def read_journals(folder: Path) -> Iterator[Entry]:
    """All entries of all consumers. A line that a kill has cut off was never committed."""
    for path in sorted(folder.glob("*.journal")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield _entry(line)


def _entry(line: str) -> Entry:
    at_ns, worker, partition, offset, number, aircraft, miles = line.split()
    return Entry(
        int(at_ns),
        worker,
        int(partition),
        int(offset),
        int(number),
        None if aircraft == "-" else aircraft,
        int(miles),
    )

"""The index of a cleaned part, made while the part is written: no more rows than there may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Rows(NamedTuple):
    """What the swap puts into the index."""

    base: int
    """Bytes of the log up to its start, as they are counted from now on."""
    rows: list[tuple[str, str]]
    """Score and member of each."""


@dataclass(slots=True)
class _Row:
    """A segment of the cleaned part."""

    end: int
    size: int
    """Bytes of the cleaned part up to its end."""
    largest: int
    latest: int
    """The largest timestamp up to its end, ms."""

    def take(self, end: int, size: int, largest: int, latest: int) -> None:
        """Have what follows in this row, too."""
        self.end, self.size = end, size
        self.largest, self.latest = max(self.largest, largest), max(self.latest, latest)


class RowMaker:
    """Makes segments of entries as they come. What lies behind the boundary need not change."""

    def __init__(self, segment_bytes: int, most: int) -> None:
        """Without entries so far.

        Args:
            segment_bytes: how large a segment may be; they are larger if there were too many.
            most: how many segments there may be.
        """
        self._segment_bytes = segment_bytes
        self._most = most
        self._rows: list[_Row] = []
        self._begun = 0

    def add(self, end: int, size: int, latest: int) -> None:
        """An entry: where it ends, its bytes, and its largest timestamp, ms."""
        rows, upto, before = self._rows, size, -1
        if rows:
            last = rows[-1]
            upto, before = last.size + size, last.latest
            if upto - self._begun <= self._segment_bytes:
                last.take(end, upto, size, latest)
                return
            self._begun = last.size
        rows.append(_Row(end, upto, size, max(before, latest)))
        while len(rows) > self._most:
            self._segment_bytes *= 2
            self._join()

    def _join(self) -> None:
        """Put rows together that are small enough for it now."""
        joined, begun, below = list[_Row](), 0, 0
        for row in self._rows:
            if joined and row.size - begun <= self._segment_bytes:
                joined[-1].take(row.end, row.size, row.largest, row.latest)
            else:
                joined.append(row)
                begun = below
            below = row.size
        self._rows[:], self._begun = joined, begun

    def below(self, start: int) -> tuple[int, int]:
        """Where the row that an offset lies in begins, and the largest entry of that row."""
        begin = 0
        for row in self._rows:
            if row.end > start:
                return begin, row.largest
            begin = row.end
        return begin, 1

    def made(self, start: int, cut: int, end_size: int) -> Rows:
        """The rows.

        Args:
            start: the log's start; entries that end there or below count no more.
            cut: bytes of those of them that are in the row in which the start lies.
            end_size: bytes of the log up to the boundary, as they were counted before. They stay,
                and those below count backwards from there.
        """
        whole = self._rows[-1].size if self._rows else 0
        gone = max([row.size for row in self._rows if row.end <= start], default=0) + cut
        shift = end_size - whole
        base = shift + gone
        rows = [("-inf", _member(start, base, 0))]
        rows += [
            (str(row.latest), _member(row.end, row.size + shift, row.largest))
            for row in self._rows
            if row.end > start
        ]
        return Rows(base, rows)


def _member(end: int, size: int, largest: int) -> str:
    return f"{end:020d}:{size}:{largest}"

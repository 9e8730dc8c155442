"""What a cleaner remembers of the dirty part between its two readings: columns, not objects."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Run(NamedTuple):
    """Batches that follow one another and are read together."""

    first: int
    """The number of the first; they are counted from 0, in the log's order."""
    after: int
    """The number behind that of the last."""
    begin: int
    """Where the first begins."""
    end: int
    """Where the last ends."""
    skipped: int
    """Bytes between the run before and this one."""


class Dirty:
    """The batches of the dirty part, by number: where each ends, how large it is, if it stays."""

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self._ends = array("q")
        self._upto = array("q", [0])
        """Bytes of the batches below each, and of all at the end."""
        self._staying = bytearray()

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def end(self) -> int:
        """Where the last batch ends."""
        return self._ends[-1] if self._ends else self._begin

    @property
    def size(self) -> int:
        """Bytes of all batches."""
        return self._upto[-1]

    def add(self, end: int, size: int) -> None:
        """A batch that follows the last one."""
        self._ends.append(end)
        self._upto.append(self._upto[-1] + size)

    def bytes_behind(self, offset: int) -> int:
        """Bytes of the batches that end behind an offset."""
        return self._upto[-1] - self._upto[bisect_right(self._ends, offset)]

    def decide(self, stays: Callable[[int, int], bool], pace: int) -> Iterator[None]:
        """Ask of the number and the end of each batch if it stays; pauses after every `pace`."""
        self._staying = bytearray(len(self))
        for number, end in enumerate(self._ends):
            self._staying[number] = stays(number, end)
            if number % pace == pace - 1:
                yield

    def stays(self, number: int) -> bool:
        """What was decided."""
        return bool(self._staying[number])

    def runs(self, *, size: int, batches: int, gap: int) -> Iterator[Run]:
        """Everything that stays, and what lies in short gaps between.

        Args:
            size: bytes of a run, unless its only batch is larger.
            batches: how many it may have.
            gap: so many bytes are rather read than asked for anew behind them.
        """
        staying, upto, read = self._staying, self._upto, 0
        first = staying.find(1)
        while first >= 0:
            after = first + 1
            while (following := staying.find(1, after, first + batches)) >= 0:
                if upto[following] - upto[after] > gap or upto[following + 1] - upto[first] > size:
                    break
                after = following + 1
            begin = self._ends[first - 1] if first else self._begin
            yield Run(first, after, begin, self._ends[after - 1], upto[first] - upto[read])
            first, read = staying.find(1, after), after

    def steps(self, *, size: int, batches: int) -> Iterator[tuple[int, int]]:
        """All of it, about so many bytes and at most so many batches at a time: end and bytes."""
        at, upto = 0, self._upto
        while at < len(self):
            after = min(at + batches, max(at + 1, bisect_right(upto, upto[at] + size) - 1))
            after = min(after, len(self))
            yield self._ends[after - 1], upto[after] - upto[at]
            at = after

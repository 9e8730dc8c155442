"""What may be left of a history once it was cleaned: a plain model, without a server.

Kafka's rules, as far as a reader can see them. Segments are whole batches; a new one begins where
the next batch would make it larger than it may be. The segment being written is left alone, and so
is everything from the first segment on with a record younger than min.compaction.lag.ms. Below,
the last record of every key stays, and a tombstone until delete.retention.ms after it was first
cleaned. When that is, and up to which segment, is the server's choice until it is said to be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from partstream.model import Record
from partstream.records import header
from tests.differential.histories import SEGMENT_BYTES, Entry, Written

Found = tuple[header.BatchHeader, list[Record]]
"""A batch as it was read."""


class Look(NamedTuple):
    """What a reader sees of a partition."""

    start: int
    end: int
    batches: list[Found]
    since_ms: int
    """When the cleaning began that may have been, at the earliest."""
    until_ms: int

    @property
    def records(self) -> list[Record]:
        """All records from the log's start on."""
        return [one for _, held in self.batches for one in held if one.offset >= self.start]

    def offset_at(self, time_ms: int) -> int:
        """The first record that is no older; -1 if all are."""
        later = (one.offset for one in self.records if one.timestamp >= time_ms)
        return next(later, -1)

    @property
    def horizons(self) -> dict[int, int]:
        """Tombstones that wait for their end: offset -> ms."""
        return {
            one.offset: head.base_timestamp
            for head, held in self.batches
            if head.has_delete_horizon
            for one in held
            if one.value is None
        }


class Placed(NamedTuple):
    """A batch in the log."""

    base: int
    segment: int
    """The offset that its segment begins at."""
    written: Written

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.base + len(self.written.entries)


class Terms(NamedTuple):
    """How things are when it is cleaned."""

    lag_ms: int
    """min.compaction.lag.ms."""
    delete_retention_ms: int
    retention_ms: int | None
    """None where nothing goes by age."""
    done: bool | None
    """Whether all is clean that can be; False: nothing new is. None: it may be at it just now."""


class Model:
    """One history, and what was seen of it before."""

    def __init__(self) -> None:
        self.placed: list[Placed] = []
        self.entries: dict[int, Entry] = {}
        self.deleted = 0
        """Up to where somebody has asked for records to be deleted."""
        self._segment, self._held = 0, 0
        self._reach = 0
        self._there: set[int] = set()
        self._horizons: dict[int, int] = {}
        self._empty: set[int] = set()

    @property
    def end(self) -> int:
        """The offset behind the last record."""
        return self.placed[-1].end if self.placed else 0

    def append(self, written: Written) -> None:
        """Take in a batch that was appended."""
        size = len(written.payload)
        if self._held and self._held + size > SEGMENT_BYTES:
            self._segment, self._held = self.end, 0
        self._held += size
        one = Placed(self.end, self._segment, written)
        self.entries.update(enumerate(written.entries, one.base))
        self._there.update(range(one.base, one.end))
        self.placed.append(one)

    # What may be.

    def faults(self, look: Look, terms: Terms) -> list[str]:
        """What is not as it may be."""
        reach = self._reach_of(look, terms)
        return [
            *self._start(look, terms),
            *self._records(look),
            *self._batches(look, terms, reach),
            *self._left(look, terms, reach),
            *(self._waiting(look, terms, reach) if terms.done is not None else ()),
        ]

    def accept(self, look: Look, terms: Terms) -> None:
        """What was seen is how things are from now on."""
        self._reach = self._reach_of(look, terms)
        self._there = {one.offset for one in look.records}
        self._horizons = look.horizons
        self._empty = {head.base_offset for head, held in look.batches if not held}

    def _reach_of(self, look: Look, terms: Terms) -> int:
        """Up to where it is clean, or may be."""
        if terms.done is False:
            return self._reach
        reach = self.placed[-1].segment
        if terms.lag_ms > 0:
            ends = {one.segment: one.end for one in self.placed}
            for one in self.placed:
                dirty = one.segment >= self._reach and ends[one.segment] > look.start
                latest = max(entry.timestamp for entry in one.written.entries)
                if dirty and latest > look.since_ms - terms.lag_ms:
                    reach = min(reach, one.segment)
        return max(reach, self._reach)

    def _records(self, look: Look) -> Iterator[str]:
        """Each is one that was written, as it was, where it was."""
        offsets = [one.offset for one in look.records]
        if offsets != sorted(set(offsets)):
            yield f"offsets do not ascend: {offsets}"
        for one in look.records:
            entry = self.entries.get(one.offset)
            seen = Entry(one.timestamp, one.key, one.value, tuple(one.headers))
            if entry != seen:
                yield f"at {one.offset} is {seen}, not {entry}"
            elif one.offset not in self._there:
                yield f"at {one.offset} is again what was gone"

    def _batches(self, look: Look, terms: Terms, reach: int) -> Iterator[str]:
        """Each has what others know it by, and those that are empty have a reason.

        The last one that was cleaned may be: the engine keeps it for where it ends.
        """
        by_base = {one.base: one for one in self.placed}
        latest = {one.written.by.id: one.base for one in self.placed if one.written.by}
        rewritten, seen = terms.done and reach > self._reach, set[int]()
        for head, held in look.batches:
            one = by_base.get(head.base_offset)
            if one is None or one.end != head.base_offset + head.last_offset_delta + 1:
                yield f"no such batch was written: {head}"
                continue
            seen.add(one.base)
            was = header.parse(one.written.payload)
            same = ("producer_id", "producer_epoch", "base_sequence")
            for name in (*same, "codec") if held else same:
                if getattr(head, name) != getattr(was, name):
                    yield f"the batch at {one.base} has another {name}: {head}"
            if len(held) != head.record_count:
                yield f"the batch at {one.base} has {len(held)} records: {head}"
            if held and head.max_timestamp != max(each.timestamp for each in held):
                yield f"the batch at {one.base} has another largest timestamp: {head}"
            needed = one.base == latest.get(was.producer_id) or one.end == reach
            if not held and not needed and (rewritten or one.base not in self._empty):
                yield f"the batch at {one.base} is empty, for nobody: {head}"
        gone = {base for base in latest.values() if by_base[base].end > look.start} - seen
        if gone:
            yield f"the last batches of producers are gone: {sorted(gone)}"

    def _start(self, look: Look, terms: Terms) -> Iterator[str]:
        if look.end != self.end:
            yield f"the log ends at {look.end}, not at {self.end}"
        if look.start < self.deleted:
            yield f"the log starts at {look.start}, below {self.deleted}"
        for offset in range(self.deleted, look.start):
            young = terms.retention_ms is None or (
                self.entries[offset].timestamp > look.until_ms - terms.retention_ms
            )
            if young:
                yield f"the log starts at {look.start}: what is at {offset} was not to go"
                return

    def _left(self, look: Look, terms: Terms, reach: int) -> Iterator[str]:
        """What must be left if it is clean up to there, and what may be."""
        seen = {one.offset for one in look.records}
        there = {at for at in self._there if at >= look.start}
        last = {entry.key: at for at, entry in self.entries.items() if at < reach}
        stay = there
        over = surely = set[int]()
        if terms.done is not False:
            stay = {at for at in there if at >= reach or last[self.entries[at].key] == at}
            over = {at for at, time in self._horizons.items() if time <= look.until_ms}
        if terms.done and reach > self._reach:
            # They go when others do. If there is nothing else to do, they may.
            surely = {at for at, time in self._horizons.items() if time <= look.since_ms}
        if lost := stay - over - seen:
            yield f"gone are {_few(lost)}"
        if kept := seen - (there if terms.done is None else stay - surely):
            yield f"left are {_few(kept)}"

    def _waiting(self, look: Look, terms: Terms, reach: int) -> Iterator[str]:
        """Tombstones of the cleaned part have an end: a while after they were first cleaned."""
        soonest, latest = (
            time + terms.delete_retention_ms for time in (look.since_ms, look.until_ms)
        )
        for at, time in look.horizons.items():
            if at in self._horizons:
                if self._horizons[at] != time:
                    yield f"the tombstone at {at} is to go at another time"
            elif at >= reach or not soonest <= time <= latest:
                yield f"the tombstone at {at} is to go at {time}, not {soonest} to {latest}"
        for one in look.records:
            if one.offset < reach and one.value is None and one.offset not in look.horizons:
                yield f"the tombstone at {one.offset} is never to go"


def _few(offsets: set[int]) -> str:
    ordered = sorted(offsets)
    return ", ".join(map(str, ordered[:8])) + (", ..." if len(ordered) > 8 else "")


def rows(look: Look, within: Sequence[Placed]) -> list[list[object]]:
    """What is to be compared of two servers' batches.

    An empty batch that no producer needs is left out: whether there is one is the server's choice.
    """
    latest = {one.written.by.id: one.base for one in within if one.written.by}
    return [
        [
            head.base_offset,
            head.base_offset + head.last_offset_delta,
            head.attributes,
            head.producer_id,
            head.producer_epoch,
            head.base_sequence,
            [one.offset for one in held],
        ]
        for head, held in look.batches
        if held or head.base_offset == latest.get(head.producer_id)
    ]

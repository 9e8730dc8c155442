"""Whether a partition is to be cleaned, and how far: arithmetic on its index, no I/O.

The rules are Kafka's. The segment being written is left alone, and so is everything from the first
segment on that holds a record younger than min.compaction.lag.ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from partstream.config.topic import TopicConfig

MOST_SEGMENTS = 1_000
"""Dirty segments that are cleaned in one go, and rows that are made for the result: so the swap
replaces a bounded number of them, in two milliseconds or so."""


class Segment(NamedTuple):
    """A row of a partition's index; the first one stands below the log's start."""

    end: int
    size: int
    """Bytes of the log from its creation up to the segment's end."""
    largest: int
    latest: float
    """The largest timestamp up to the segment's end, ms."""
    member: bytes
    """The row as it stands in Redis."""


class Look(NamedTuple):
    """A partition's state, as the script `clean/look` tells it."""

    now: int
    start: int
    end: int
    boundary: int
    cleanings: int
    epoch: int
    horizon: int | None
    """When the first tombstone of the cleaned part is to go, ms."""
    cleaner: str
    """Who cleans, or died of it."""
    cleaner_until: int

    @property
    def is_being_cleaned(self) -> bool:
        """Whether somebody is at it, as far as the lease tells."""
        return bool(self.cleaner) and self.cleaner_until > self.now


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cleaning would do."""

    clean: tuple[Segment, ...]
    """Segments that were cleaned before. They are read again: newer records replace theirs."""
    dirty: tuple[Segment, ...]
    """Segments to clean for the first time; each key's last record is looked for here."""
    start: int
    """The log's start."""
    begin: int
    """Where the dirty part begins."""
    reach: int
    """Up to where it could be cleaned. `dirty` may end below: more takes several rounds."""
    clean_bytes: int
    dirty_bytes: int

    @property
    def end(self) -> int:
        """Up to where the log is clean afterwards."""
        return self.dirty[-1].end if self.dirty else self.begin

    @property
    def ratio(self) -> float:
        """Kafka's dirty ratio: the part that was never cleaned, of all that can be."""
        whole = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / whole if whole else 0.0


def plan(look: Look, segments: Sequence[Segment], config: TopicConfig) -> Plan:
    """What can be cleaned now. The first segment is the row below the log's start."""
    begin = max(look.boundary, look.start)
    below = segments[0]
    clean = [segment for segment in segments[1:] if segment.end <= begin]
    dirty = list(_cleanable(segments[1 + len(clean) :], look.now, config.min_compaction_lag_ms))
    edge = clean[-1] if clean else below
    return Plan(
        clean=tuple(clean),
        dirty=tuple(dirty[:MOST_SEGMENTS]),
        start=look.start,
        begin=begin,
        reach=dirty[-1].end if dirty else begin,
        clean_bytes=edge.size - below.size,
        dirty_bytes=(dirty[-1].size - edge.size) if dirty else 0,
    )


def _cleanable(segments: Iterable[Segment], now: int, lag_ms: int) -> Iterable[Segment]:
    for segment in segments:
        if lag_ms > 0 and segment.latest > now - lag_ms:
            return
        yield segment


def is_due(plan: Plan, look: Look, config: TopicConfig, first_dirty: int | None) -> bool:
    """Whether it is time.

    Args:
        plan: what can be cleaned.
        look: the state of the partition.
        config: its topic's.
        first_dirty: the first timestamp of what was never cleaned, ms, if max.compaction.lag.ms is
            set and it is known.
    """
    if look.horizon is not None and look.horizon <= look.now and plan.clean:
        return True
    if not plan.dirty_bytes:
        return False
    if first_dirty is not None and look.now - first_dirty > config.max_compaction_lag_ms:
        return True
    return plan.ratio > config.min_cleanable_dirty_ratio


class Kept(NamedTuple):
    """An entry of the cleaned part."""

    end: int
    size: int
    latest: int
    """Its largest timestamp, ms."""


class Rows(NamedTuple):
    """The index of a cleaned part."""

    base: int
    """Bytes of the log up to its start, as they are counted from now on."""
    rows: list[tuple[str, str]]
    """Score and member of each."""


def index_rows(kept: Sequence[Kept], start: int, end_size: int, segment_bytes: int) -> Rows:
    """Segments for what was kept. What lies behind the boundary need not change.

    Args:
        kept: entries, in order; those below the start count no more.
        start: the log's start.
        end_size: bytes of the log up to the boundary, as they were counted before. They stay, and
            those below count backwards from there.
        segment_bytes: how large a segment may be; they are larger if there were too many.
    """
    held = [entry for entry in kept if entry.end > start]
    whole = sum(entry.size for entry in held)
    size = base = end_size - whole
    # Two segments that follow one another are larger together than one may be.
    segment_bytes = max(segment_bytes, 2 * whole // MOST_SEGMENTS)
    rows = [("-inf", _member(start, base, 0))]
    latest, largest, begun = -1, 0, size
    for place, entry in enumerate(held):
        size += entry.size
        latest, largest = max(latest, entry.latest), max(largest, entry.size)
        following = held[place + 1] if place + 1 < len(held) else None
        if following is None or size - begun + following.size > segment_bytes:
            rows.append((str(latest), _member(entry.end, size, largest)))
            largest, begun = 0, size
    return Rows(base, rows)


def _member(end: int, size: int, largest: int) -> str:
    return f"{end:020d}:{size}:{largest}"

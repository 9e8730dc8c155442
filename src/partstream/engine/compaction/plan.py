"""Whether a partition is to be cleaned, and how far: arithmetic on its index, no I/O.

The rules are Kafka's. The segment being written is left alone, and so is everything from the first
segment on that holds a record younger than min.compaction.lag.ms.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    reach: int
    """Where the last segment ends whose records are all old enough to be cleaned."""
    reach_size: int
    """Bytes of the log from its creation up to there."""

    @property
    def is_being_cleaned(self) -> bool:
        """Whether somebody is at it, as far as the lease tells."""
        return bool(self.cleaner) and self.cleaner_until > self.now


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cleaning would do."""

    below: Segment
    """The row below the log's start."""
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
    def edge(self) -> Segment:
        """The row at which the dirty part begins."""
        return self.clean[-1] if self.clean else self.below

    @property
    def ratio(self) -> float:
        """Kafka's dirty ratio: the part that was never cleaned, of all that can be."""
        whole = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / whole if whole else 0.0


def rows_to_read() -> int:
    """So many rows of the index hold all of a cleaned part, and all that is cleaned in one go."""
    return 2 * MOST_SEGMENTS + 3


def plan(look: Look, segments: Sequence[Segment]) -> Plan:
    """What can be cleaned now. The first segment is the row below the log's start."""
    begin = max(look.boundary, look.start)
    below = segments[0]
    clean = [segment for segment in segments[1:] if segment.end <= begin]
    dirty = [segment for segment in segments[1 + len(clean) :] if segment.end <= look.reach]
    edge = clean[-1] if clean else below
    return Plan(
        below=below,
        clean=tuple(clean),
        dirty=tuple(dirty[:MOST_SEGMENTS]),
        start=look.start,
        begin=begin,
        reach=look.reach if dirty else begin,
        clean_bytes=edge.size - below.size,
        dirty_bytes=(look.reach_size - edge.size) if dirty else 0,
    )


def is_due(plan: Plan, look: Look, config: TopicConfig, earliest: int | None) -> bool:
    """Whether it is time.

    Args:
        plan: what can be cleaned.
        look: the state of the partition.
        config: its topic's.
        earliest: the least of the first timestamps of the segments that were never cleaned, ms, if
            max.compaction.lag.ms is set and one is known.
    """
    if look.horizon is not None and look.horizon <= look.now and plan.clean:
        return True
    if not plan.dirty_bytes:
        return False
    if earliest is not None and look.now - earliest > config.max_compaction_lag_ms:
        return True
    return plan.ratio > config.min_cleanable_dirty_ratio

"""Histories to plant anomalies in, and what the judge makes of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.history import (
    Acked,
    Assigned,
    Began,
    Calm,
    Closed,
    CommitBegun,
    CommitEnded,
    Committed,
    Converged,
    Event,
    Gone,
    Leaked,
    Linked,
    LogEnd,
    Memory,
    Moved,
    Owning,
    Read,
    Sent,
    Stored,
)
from tests.chaos.judge import Promise, judge

VALUES = [f"p/{number}/x" for number in range(6)]


def clean() -> list[Event]:
    """A producer sends six records to one partition; a member and a reader read them."""
    events: list[Event] = [
        Began(0.0, "p", "producer", True),
        Began(0.1, "m", "member"),
        Began(0.2, "r", "reader"),
        Assigned(0.3, "m", 0, 0),
        Owning(0.4, "m", "id-1", 1, [0]),
    ]
    for number, value in enumerate(VALUES):
        at = 1.0 + number
        events += [Sent(at, "p", "k", value), Acked(at + 0.1, "p", value, 0, number)]
    events += [
        Read(7.1, "m", 0, 0, VALUES[:4]),
        CommitBegun(7.2, "m", 1, 0, 4),
        CommitEnded(7.3, "m", 1, "ok"),
        Gone(7.4, "m", 0),
        Assigned(7.5, "m", 0, 4),
        Read(7.6, "m", 0, 4, VALUES[4:]),
        CommitBegun(7.7, "m", 2, 0, 6),
        CommitEnded(7.8, "m", 2, "ok"),
        Moved(8.0, "r", 0, 2),
        Read(8.1, "r", 0, 2, VALUES[2:]),
        Moved(8.2, "r", 0, 0),
        Read(8.3, "r", 0, 0, VALUES[:3]),
        Read(8.4, "r", 0, 3, VALUES[3:]),
        Calm(4.5),
        Converged(9.0, 4.5),
        *(Linked(9.05, "server 1", "", client, 3) for client in "pmr"),
        Linked(9.05, "server 4", "server 3", "p", 2),
        *(Closed(9.1, client) for client in "pmr"),
        Leaked(9.2, "w", 0, 0),
        *(Memory(number, "w", 50_000 + 10 * number) for number in range(9)),
        LogEnd(0, 0, 6, 1),
        *(Stored(0, number, 1, "k", value) for number, value in enumerate(VALUES)),
        Committed(0, 6),
    ]
    return events


def kinds(events: list[Event], promise: Promise | None = None) -> set[str]:
    return {anomaly.kind for anomaly in judge(events, promise)}


def without(events: list[Event], drop: Callable[[Event], bool]) -> list[Event]:
    return [event for event in events if not drop(event)]


def one_more(value: str, partition: int = 0, offset: int = 6) -> list[Event]:
    """Another record is in the log, and everybody has read it."""
    return [
        LogEnd(partition, 0, offset + 1, 1),
        Stored(partition, offset, 1, "k", value),
        Read(8.8, "r", partition, offset, [value]),
        Read(8.8, "m", partition, offset, [value]),
        CommitBegun(8.85, "m", 9, partition, offset + 1),
        CommitEnded(8.9, "m", 9, "ok"),
        Committed(partition, offset + 1),
    ]


def lost(
    events: list[Event], first: int, late: tuple[str, ...] = ("p/6/x", "p/7/x")
) -> list[Event]:
    """The log has lost everything from an offset on, and holds other records there."""
    kept = without(
        events,
        lambda event: isinstance(event, Stored) and event.offset >= first,
    )
    kept = without(kept, lambda event: isinstance(event, LogEnd | Committed | Converged | Read))
    kept = without(kept, lambda event: isinstance(event, CommitBegun | CommitEnded | Assigned))
    values = [*VALUES[:first], *late]
    return [
        *kept,
        *(Sent(8.5 + n, "p", "k", value) for n, value in enumerate(late)),
        *(Acked(8.6 + n, "p", value, 0, first + n) for n, value in enumerate(late)),
        Converged(9.0, 4.5),
        LogEnd(0, 0, len(values), 2 if late else 1),
        Moved(9.1, "r", 0, 0),
        Read(9.2, "r", 0, 0, values),
        Read(9.2, "m", 0, 0, values),
        CommitBegun(9.3, "m", 9, 0, len(values)),
        CommitEnded(9.4, "m", 9, "ok"),
        Committed(0, len(values)),
        *(Stored(0, first + n, 7, "k", value) for n, value in enumerate(late)),
    ]

"""What must hold of what consumers were handed out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import (
    Acked,
    Assigned,
    Began,
    Closed,
    Crashed,
    Event,
    Gone,
    Moved,
    Read,
    Rewound,
    Told,
)
from tests.chaos.judge.anomaly import Anomaly
from tests.chaos.judge.view import View, short


def contiguous(seen: View) -> Iterator[Anomaly]:
    """A consumer is handed out one offset after the other, unless it is told to go elsewhere."""
    for (client, partition), events in _streams(seen).items():
        expected = -1
        for event in events:
            match event:
                case Assigned():
                    expected = event.position
                case Moved() | Told() | Rewound():
                    expected = event.offset
                case Gone():
                    expected = -1
                case Read():
                    if expected not in (-1, event.offset):
                        kind = "gap" if event.offset > expected else "read again"
                        yield Anomaly(
                            kind,
                            f"{client} was handed out {partition}@{event.offset}, and was to go "
                            f"on with {expected}",
                        )
                    expected = event.offset + len(event.values)
                case _:
                    pass


def divergent(seen: View) -> Iterator[Anomaly]:
    """Whoever has read what is gone is told before it reads on in the history that lasts.

    What is sent again may come to stand at the same offset in both: a record tells of the history
    that lasts only after it was acknowledged there.
    """
    acked = {(ack.partition, ack.offset, ack.value): ack.at for ack in seen.of(Acked)}
    for (client, partition), events in _streams(seen).items():
        gone: tuple[int, str] | None = None
        """The first offset read of what did not last, and its value."""
        for event in events:
            match event:
                case Assigned() | Gone() | Moved():
                    gone = None
                case Told() | Rewound():
                    if gone is not None and event.offset <= gone[0]:
                        gone = None
                case Read():
                    for offset, value in enumerate(event.values, event.offset):
                        if seen.stored(partition, offset) == value:
                            since = acked.get((partition, offset, value), event.at)
                            if gone is not None and since < event.at:
                                yield _silent(client, partition, gone, (offset, value))
                                gone = None
                        elif gone is None or offset < gone[0]:
                            gone = (offset, value)
                case _:
                    pass


def rewound(seen: View) -> Iterator[Anomaly]:
    """A Kafka consumer goes back only to where the histories part.

    There is another record now than it had read, or a later leader epoch than the log's first: what
    is sent again may come to stand at the same offset.
    """
    for (client, partition), events in _streams(seen).items():
        read: dict[int, str] = {}
        for event in events:
            if isinstance(event, Read):
                read.update(enumerate(event.values, event.offset))
            elif isinstance(event, Rewound):
                now = seen.log[partition].get(event.offset)
                if now is None or read.get(event.offset, now.value) != now.value:
                    continue
                if now.epoch == seen.rows[partition][0].epoch:
                    yield Anomaly(
                        "read again",
                        f"{client} went back to {partition}@{event.offset}, and what is there was "
                        "not lost",
                    )


def to_the_end(seen: View) -> Iterator[Anomaly]:
    """A reader that ends in order has come to the end of the log, and was handed out all of it."""
    closed = {event.client for event in seen.of(Closed)}
    closed -= {event.client for event in seen.of(Crashed)}
    readers = {event.client for event in seen.of(Began) if event.role == "reader"}
    streams = _streams(seen)
    for client in sorted(readers & closed):
        if seen.killed_at(client) is not None:
            continue
        for partition, end in seen.ends.items():
            yield from _whole(seen, client, partition, end.end, streams[client, partition])


def _whole(
    seen: View, client: str, partition: int, end: int, events: list[Event]
) -> Iterator[Anomaly]:
    reached, is_told = 0, False
    read: set[tuple[int, str]] = set()
    for event in events:
        match event:
            case Read():
                reached = event.offset + len(event.values)
                read.update(enumerate(event.values, event.offset))
            case Moved() | Told():
                reached = event.offset
                is_told = is_told or isinstance(event, Told) or event.offset < 0
            case _:
                pass
    if 0 <= reached < end:
        yield Anomaly("stopped short", f"{client} came to {partition}@{reached} of {end}")
    missing = [row for row in seen.rows[partition] if (row.offset, row.value) not in read]
    # Whoever was told that records are gone may not have been told which.
    if missing and not is_told:
        yield Anomaly(
            "stopped short",
            f"{client} was not handed out {len(missing)} records of partition {partition}; the "
            f"first is {short(missing[0].value)} at {missing[0].offset}",
        )


def explained(seen: View) -> Iterator[Anomaly]:
    """A record that was read and is gone was lost with a leader epoch, not within one."""
    for event in seen.of(Read):
        end = seen.ends.get(event.partition)
        if end is None or end.epochs > 1:
            continue
        for offset, value in enumerate(event.values, event.offset):
            now = seen.stored(event.partition, offset)
            if now != value:
                yield Anomaly(
                    "divergent",
                    f"{event.client} read {short(value)} at {event.partition}@{offset}, where "
                    f"there is {short(now)}, in the same leader epoch",
                )


def _silent(client: str, partition: int, gone: tuple[int, str], then: tuple[int, str]) -> Anomaly:
    return Anomaly(
        "divergent",
        f"{client} read {short(gone[1])} at {partition}@{gone[0]}, which is gone, and then "
        f"{short(then[1])} at {then[0]} without being told",
    )


def _streams(seen: View) -> dict[tuple[str, int], list[Event]]:
    """What each consumer did in each partition, in order."""
    streams: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in seen.events:
        if isinstance(event, Read | Told | Rewound | Moved | Assigned | Gone):
            streams[event.client, event.partition].append(event)
    return streams

"""What must hold of what consumers were handed out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import Acked, Assigned, Event, Gone, Moved, Read, Told
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
                case Moved() | Told():
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
                case Told():
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
        if isinstance(event, Read | Told | Moved | Assigned | Gone):
            streams[event.client, event.partition].append(event)
    return streams

"""What happened in a run: events, and the files that they are kept in, one JSON list a line.

Times are seconds of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.chaos.names import GROUP

now = time.monotonic


class Began(NamedTuple):
    """A client was made."""

    at: float
    client: str
    role: str
    """`producer`, `member` of a group, or `reader` without one."""
    idempotent: bool = False
    group: str = GROUP
    """Of a member."""


class Closed(NamedTuple):
    """A client was closed in order."""

    at: float
    client: str


class Killed(NamedTuple):
    """A client, or all of a worker, ended by a fault of the plan: what was begun stays open."""

    at: float
    who: str


class Sent(NamedTuple):
    """A record was handed to a producer."""

    at: float
    client: str
    key: str
    value: str


class Acked(NamedTuple):
    """A record was acknowledged."""

    at: float
    client: str
    value: str
    partition: int
    offset: int
    """-1 if the client was not told."""


class Failed(NamedTuple):
    """A record was given up."""

    at: float
    client: str
    value: str
    error: str
    certain: bool
    """Whether it is certain that it is not in the log."""


class LossSeen(NamedTuple):
    """A producer was told that acknowledged records are gone."""

    at: float
    client: str
    partition: int
    first: int
    next: int


class Read(NamedTuple):
    """Records were handed out, one offset after the other."""

    at: float
    client: str
    partition: int
    offset: int
    values: list[str]


class Told(NamedTuple):
    """A consumer was told that what it had read from an offset on is gone."""

    at: float
    client: str
    partition: int
    offset: int


class Rewound(NamedTuple):
    """A Kafka consumer went back by itself: its user is told by the offsets alone."""

    at: float
    client: str
    partition: int
    offset: int


class Moved(NamedTuple):
    """A consumer was told to go on elsewhere, by its user or by auto_offset_reset."""

    at: float
    client: str
    partition: int
    offset: int
    """-1 if it is not known."""


class Assigned(NamedTuple):
    """A member got a partition."""

    at: float
    client: str
    partition: int
    position: int
    """-1 if there was no committed offset."""


class Gone(NamedTuple):
    """A member gave a partition up, or lost it."""

    at: float
    client: str
    partition: int


class Owning(NamedTuple):
    """What a member of a group owned under an epoch of its own, or in a generation."""

    at: float
    client: str
    member: str
    epoch: int
    partitions: list[int]


class CommitBegun(NamedTuple):
    """A commit was sent."""

    at: float
    client: str
    number: int
    partition: int
    offset: int


class CommitEnded(NamedTuple):
    """A commit was answered."""

    at: float
    client: str
    number: int
    outcome: str
    """`ok`, `failed` (it was refused) or `unknown`."""
    error: str = ""


class Trouble(NamedTuple):
    """A client raised what a fault explains."""

    at: float
    client: str
    where: str
    error: str


class Crashed(NamedTuple):
    """A client raised what nothing explains."""

    at: float
    client: str
    error: str


class Fault(NamedTuple):
    """A fault began."""

    at: float
    name: str
    what: str


class FaultOver(NamedTuple):
    """The fault was healed, as far as the one who made it can tell."""

    at: float
    name: str


class Calm(NamedTuple):
    """The last fault is over."""

    at: float


class Converged(NamedTuple):
    """The group shares out all partitions, and has committed everything there is."""

    at: float
    after: float
    """Seconds since the calm."""
    group: str = GROUP


class Stuck(NamedTuple):
    """Somebody did not finish within its time."""

    at: float
    who: str
    what: str


class Leaked(NamedTuple):
    """What was left after all clients of a process, or of a server, were closed."""

    at: float
    where: str
    tasks: int
    connections: int
    what: str = ""


class Linked(NamedTuple):
    """The connections that a client had to a server when all was calm."""

    at: float
    server: str
    follows: str
    """The primary that the server is a replica of, if it is one."""
    client: str
    connections: int


class Memory(NamedTuple):
    """The resident memory of a worker."""

    at: float
    worker: str
    kilobytes: int


class Stored(NamedTuple):
    """A record that the log holds at the end."""

    partition: int
    offset: int
    epoch: int
    key: str
    value: str
    producer: str = ""
    """The id and the epoch of the producer, as the batch has them."""


class LogEnd(NamedTuple):
    """What a partition says of itself at the end."""

    partition: int
    start: int
    end: int
    epochs: int
    """How many leader epochs its history has."""


class Committed(NamedTuple):
    """What a group has committed at the end."""

    partition: int
    offset: int
    group: str = GROUP


Event: TypeAlias = (
    Began
    | Closed
    | Killed
    | Sent
    | Acked
    | Failed
    | LossSeen
    | Read
    | Told
    | Rewound
    | Moved
    | Assigned
    | Gone
    | Owning
    | CommitBegun
    | CommitEnded
    | Trouble
    | Crashed
    | Fault
    | FaultOver
    | Calm
    | Converged
    | Stuck
    | Leaked
    | Linked
    | Memory
    | Stored
    | LogEnd
    | Committed
)

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Event.__args__}


class Journal:
    """A file that events are appended to: what was written survives the writer's death."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, *events: Event) -> None:
        """Append some events, all or none of them."""
        lines = (json.dumps([type(event).__name__, *event]) for event in events)
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def load(folder: Path) -> list[Event]:
    """All events of a folder's journals: each journal in its order, all together by their times."""
    events = [event for path in sorted(folder.glob("*.jsonl")) for event in _events(path)]
    return sorted(events, key=lambda event: getattr(event, "at", float("inf")))


def _events(path: Path) -> Iterator[Event]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            name, *fields = json.loads(line)
        except ValueError:
            continue  # the writer was killed within it
        yield _KINDS[name](*fields)

"""A history, sorted by what the rules ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tests.chaos.history import Began, Calm, Committed, Converged, Event, Killed, LogEnd, Stored

E = TypeVar("E")


@dataclass(slots=True)
class View:
    """The events of a run."""

    events: list[Event]
    log: dict[int, dict[int, Stored]] = field(default_factory=lambda: defaultdict(dict))
    """Partition -> offset -> the record at the end."""
    rows: dict[int, list[Stored]] = field(default_factory=lambda: defaultdict(list))
    """The same as it was read."""
    ends: dict[int, LogEnd] = field(default_factory=dict)
    calm: float | None = None
    group: str = ""
    """Whose view it is, if it is one group's."""
    committed: dict[int, int] = field(default_factory=dict)
    """Partition -> what is committed at the end; in a group's view."""
    _values: dict[int, set[str]] = field(default_factory=dict)
    killed: dict[str, float] = field(default_factory=dict)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def groups(self) -> list[str]:
        """The groups that there are: those that have had members, or have offsets."""
        names = {event.group for event in self.of(Began) if event.role == "member"}
        return sorted(names | {event.group for event in self.of(Committed)})

    def of_group(self, name: str) -> View:
        """The same without what concerns other groups alone."""
        others = {
            event.client
            for event in self.of(Began)
            if event.role == "member" and event.group != name
        }
        events = [event for event in self.events if _concerns(event, name, others)]
        committed = {
            event.partition: event.offset for event in events if isinstance(event, Committed)
        }
        return replace(self, events=events, group=name, committed=committed)

    def killed_at(self, client: str) -> float | None:
        """When a client was ended by a fault, itself or with its worker."""
        return self.killed.get(client, self.killed.get(worker_of(client)))

    def values(self, partition: int) -> set[str]:
        """All that a partition holds at the end."""
        if partition not in self._values:
            self._values[partition] = {row.value for row in self.rows[partition]}
        return self._values[partition]

    def stored(self, partition: int, offset: int) -> str | None:
        """The value that the log holds there at the end."""
        found = self.log[partition].get(offset)
        return None if found is None else found.value


def _concerns(event: Event, group: str, others: set[str]) -> bool:
    if isinstance(event, Committed | Converged):
        return event.group == group
    return getattr(event, "client", None) not in others


def short(value: str | None) -> str:
    """A value without what only makes it long."""
    return "nothing" if value is None else value.rpartition("/")[0] or value


def worker_of(client: str) -> str:
    """The worker in which a client lives."""
    return client.partition("-")[0]


def view(events: Iterable[Event]) -> View:
    """Sort a history."""
    seen = View(list(events))
    for event in seen.events:
        match event:
            case Stored():
                seen.rows[event.partition].append(event)
                seen.log[event.partition][event.offset] = event
            case LogEnd():
                seen.ends[event.partition] = event
            case Calm():
                seen.calm = event.at
            case Killed():
                seen.killed[event.who] = event.at
            case _:
                pass
    return seen

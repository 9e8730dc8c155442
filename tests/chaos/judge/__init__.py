"""From the history of a run to what must not have happened. No I/O, no clock, no chance.

Each rule is a function from the history to its violations; `judge` asks all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.chaos.history import Event
from tests.chaos.judge import group, life, log, reads
from tests.chaos.judge.anomaly import Anomaly, Promise
from tests.chaos.judge.view import View, view

__all__ = ["Anomaly", "Promise", "judge"]


def judge(events: Iterable[Event], promise: Promise | None = None) -> list[Anomaly]:
    """Every anomaly of a history, in the order of the rules."""
    return list(_findings(view(events), promise or Promise()))


def _findings(seen: View, promise: Promise) -> Iterator[Anomaly]:
    yield from log.dense(seen)
    yield from log.kept(seen, promise)
    yield from log.sent_once(seen)
    yield from log.ordered(seen)
    yield from log.false_alarms(seen)
    yield from reads.contiguous(seen)
    yield from reads.divergent(seen)
    yield from reads.explained(seen)
    yield from reads.rewound(seen)
    yield from reads.to_the_end(seen)
    for name in seen.groups():
        of_group = seen.of_group(name)
        yield from group.one_owner(of_group)
        yield from group.committed_was_read(of_group)
        yield from group.commits_behind_reads(of_group)
        yield from group.commits_last(of_group, promise)
        yield from group.caught_up(of_group)
        yield from group.settled(of_group, promise)
    yield from life.nobody_crashed(seen)
    yield from life.nobody_is_stuck(seen)
    yield from life.producers_go_on(seen, promise)
    yield from life.nothing_leaked(seen)
    yield from life.connections_are_few(seen)
    yield from life.memory_is_bounded(seen)

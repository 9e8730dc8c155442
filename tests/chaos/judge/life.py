"""What must hold of the clients themselves: they go on, they end, and they leave nothing behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import (
    Acked,
    Began,
    Closed,
    CommitBegun,
    CommitEnded,
    Crashed,
    Failed,
    Leaked,
    Linked,
    Memory,
    Sent,
    Stuck,
)
from tests.chaos.judge.anomaly import Anomaly, Promise
from tests.chaos.judge.view import View, short

_GROWTH_KB = 48 * 1024
"""A worker may grow by so much after its first third."""
_LINKS = 3
"""Connections of a client to a primary: for commands, for its replicas, and for bells."""


def nobody_crashed(seen: View) -> Iterator[Anomaly]:
    """No client raises what the faults do not explain."""
    for event in seen.of(Crashed):
        yield Anomaly("crashed", f"{event.client}: {event.error}")


def nobody_is_stuck(seen: View) -> Iterator[Anomaly]:
    """All clients close, and what they had begun has come to an end."""
    for event in seen.of(Stuck):
        yield Anomaly("stuck", f"{event.who}: {event.what}")
    closed = {event.client for event in seen.of(Closed)}
    for began in seen.of(Began):
        if began.client not in closed and seen.killed_at(began.client) is None:
            yield Anomaly("stuck", f"{began.client} was never closed")
    fates = {event.value for event in seen.events if isinstance(event, Acked | Failed)}
    open_sends: dict[str, list[str]] = defaultdict(list)
    for sent in seen.of(Sent):
        if sent.value not in fates and seen.killed_at(sent.client) is None:
            open_sends[sent.client].append(sent.value)
    for client, values in open_sends.items():
        yield Anomaly(
            "stuck", f"{client} never heard of {len(values)} records: {short(values[0])} first"
        )
    ended = {(event.client, event.number) for event in seen.of(CommitEnded)}
    for commit in seen.of(CommitBegun):
        if (commit.client, commit.number) not in ended and seen.killed_at(commit.client) is None:
            yield Anomaly("stuck", f"commit {commit.number} of {commit.client} never ended")


def producers_go_on(seen: View, promise: Promise) -> Iterator[Anomaly]:
    """What is sent after the last fault is acknowledged, and what waited before it in time."""
    if seen.calm is None:
        return
    sent_at = {event.value: event.at for event in seen.of(Sent)}
    first: dict[str, float] = {}
    for ack in seen.of(Acked):
        if ack.at >= seen.calm:
            first.setdefault(ack.client, ack.at)
    of_calm = {ack.client for ack in seen.of(Acked) if sent_at.get(ack.value, 0.0) >= seen.calm}
    living = {sent.client for sent in seen.of(Sent) if sent.at >= seen.calm}
    for client in sorted(living):
        if seen.killed_at(client) is not None:
            continue
        if client not in of_calm:
            yield Anomaly("stuck", f"{client} had nothing acknowledged after the last fault")
        elif first[client] - seen.calm > promise.settle_s:
            yield Anomaly(
                "stuck",
                f"{client} had its first record acknowledged {first[client] - seen.calm:.1f} s "
                "after the last fault",
            )


def nothing_leaked(seen: View) -> Iterator[Anomaly]:
    """Closed clients leave no tasks and no connections."""
    for event in seen.of(Leaked):
        if event.tasks or event.connections:
            yield Anomaly(
                "leaked",
                f"{event.where}: {event.tasks} tasks, {event.connections} connections {event.what}",
            )


def connections_are_few(seen: View) -> Iterator[Anomaly]:
    """When all is calm, a client has its few connections to primaries, and none to anybody else.

    Whoever has had nothing to say may not have heard yet that a primary was replaced: then it has
    no connection to the one that took over.
    """
    ended = {event.client: event.at for event in seen.of(Closed)}
    links = seen.of(Linked)
    pairs = {(event.client, event.server) for event in links}
    for event in links:
        most = 0 if (event.client, event.follows) in pairs else _LINKS
        gone_at = ended.get(event.client, seen.killed_at(event.client))
        if gone_at is not None and gone_at < event.at:
            most = 0
        if event.connections > most:
            role = f", a replica of {event.follows}" if event.follows else ""
            yield Anomaly(
                "leaked",
                f"{event.client} has {event.connections} connections to {event.server}{role}",
            )


def memory_is_bounded(seen: View) -> Iterator[Anomaly]:
    """A worker does not grow for ever."""
    samples: dict[str, list[int]] = defaultdict(list)
    for event in seen.of(Memory):
        samples[event.worker].append(event.kilobytes)
    for worker, sizes in samples.items():
        early = max(sizes[: max(1, len(sizes) // 3)])
        if sizes[-1] > early + _GROWTH_KB and sizes[-1] > early * 1.5:
            yield Anomaly("memory", f"{worker} grew from {early} to {sizes[-1]} KiB")

"""What must hold of a group: owners, commits, and that it comes to rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.history import (
    Assigned,
    Began,
    CommitBegun,
    CommitEnded,
    Converged,
    Owning,
    Read,
    Rewound,
    Told,
)
from tests.chaos.judge.anomaly import Anomaly, Promise
from tests.chaos.judge.view import View, short


def one_owner(seen: View) -> Iterator[Anomaly]:
    """In one epoch of the group a partition has one owner; no epoch is issued twice."""
    owners: dict[tuple[int, int], Owning] = {}
    for event in seen.of(Owning):
        for partition in event.partitions:
            other = owners.setdefault((event.epoch, partition), event)
            if other.member != event.member:
                yield Anomaly(
                    "two owners",
                    f"partition {partition} belongs to {other.client} and to {event.client} in "
                    f"epoch {event.epoch}",
                )


def committed_was_read(seen: View) -> Iterator[Anomaly]:
    """Everything below a committed offset was handed out to a member of the group."""
    members = _members(seen)
    read: dict[int, set[tuple[int, str]]] = defaultdict(set)
    for event in seen.of(Read):
        if event.client in members:
            read[event.partition].update(enumerate(event.values, event.offset))
    for partition, committed in seen.committed.items():
        missing = [
            row
            for row in seen.rows[partition]
            if row.offset < committed and (row.offset, row.value) not in read[partition]
        ]
        if missing:
            yield Anomaly(
                "committed unread",
                f"{committed} is committed in partition {partition}, and nobody was given "
                f"{len(missing)} records below it; the first is {short(missing[0].value)} at "
                f"{missing[0].offset}",
            )
        end = seen.ends.get(partition)
        if end is not None and committed > end.end:
            yield Anomaly(
                "committed unread",
                f"{committed} is committed in partition {partition}, which ends at {end.end}",
            )


def caught_up(seen: View) -> Iterator[Anomaly]:
    """In the end the group has committed all that the log holds."""
    for partition, end in seen.ends.items():
        committed = seen.committed.get(partition, 0)
        if committed < end.end and seen.rows[partition]:
            yield Anomaly(
                "stopped short",
                f"group {seen.group} has committed {committed} in partition {partition}, which "
                f"ends at {end.end}",
            )


def commits_behind_reads(seen: View) -> Iterator[Anomaly]:
    """A member commits nothing that it was not handed out, or did not begin with."""
    reached: dict[tuple[str, int], int] = {}
    for event in seen.events:
        match event:
            case Read():
                at = event.offset + len(event.values)
            case Assigned():
                at = event.position
            case Told():
                at = event.offset
            case CommitBegun():
                most = reached.get((event.client, event.partition), 0)
                if event.offset > most:
                    yield Anomaly(
                        "committed unread",
                        f"{event.client} commits {event.offset} in partition {event.partition}, "
                        f"and has come to {most}",
                    )
                continue
            case _:
                continue
        key = (event.client, event.partition)
        reached[key] = max(reached.get(key, 0), at)


def commits_last(seen: View, promise: Promise) -> Iterator[Anomaly]:
    """An accepted commit never goes back, but with the log, of which a member is told then: not to
    the next commit, nor to the next owner, nor in the end.
    """
    if promise.may_lose_commits:
        return
    book, members = _Book(), _members(seen)
    for event in seen.events:
        match event:
            case CommitBegun():
                book.begin(event)
            case CommitEnded() if event.outcome == "ok":
                yield from book.accept(event)
            case Assigned():
                yield from book.compare(
                    event.partition,
                    event.position,
                    f"{event.client} was to begin at {event.position}",
                )
            case Told() | Rewound() if event.client in members:
                book.truncate(event.partition, event.offset)
            case _:
                pass
    for partition in book.partitions:
        offset = seen.committed.get(partition, -1)
        what = "nothing" if offset < 0 else str(offset)
        yield from book.compare(partition, offset, f"in the end {what} is committed")


class _Book:
    """The farthest commit of each partition that was accepted, and by whom."""

    def __init__(self) -> None:
        self._farthest: dict[int, tuple[int, str]] = {}
        self._begun: dict[tuple[str, int], list[CommitBegun]] = defaultdict(list)
        self._floors: dict[CommitBegun, tuple[int, str]] = {}
        """What had been accepted before a commit was begun: it must not be less."""

    @property
    def partitions(self) -> list[int]:
        """Those in which something was accepted."""
        return list(self._farthest)

    def begin(self, commit: CommitBegun) -> None:
        self._begun[commit.client, commit.number].append(commit)
        if commit.partition in self._farthest:
            self._floors[commit] = self._farthest[commit.partition]

    def accept(self, end: CommitEnded) -> Iterator[Anomaly]:
        for commit in self._begun[end.client, end.number]:
            floor = self._floors.get(commit)
            if floor is not None and commit.offset < floor[0]:
                yield _went_back(
                    commit.partition, floor, f"{commit.client} committed {commit.offset}"
                )
            if commit.offset >= self._farthest.get(commit.partition, (0, ""))[0]:
                self._farthest[commit.partition] = (commit.offset, commit.client)

    def compare(self, partition: int, offset: int, what: str) -> Iterator[Anomaly]:
        floor = self._farthest.get(partition)
        if floor is not None and offset < floor[0]:
            yield _went_back(partition, floor, what)

    def truncate(self, partition: int, offset: int) -> None:
        """The log went back, to what was acknowledged at the least: commits may follow it.

        So may the next one after a commit that is on its way, and is accepted all the same.
        """
        floor = self._farthest.get(partition)
        if floor is not None and offset < floor[0]:
            self._farthest[partition] = (offset, floor[1])
        for key, commits in self._begun.items():
            self._begun[key] = [
                commit
                for commit in commits
                if commit.partition != partition or commit.offset <= offset
            ]
        self._floors = {
            commit: at for commit, at in self._floors.items() if commit.partition != partition
        }


def _members(seen: View) -> set[str]:
    return {event.client for event in seen.of(Began) if event.role == "member"}


def _went_back(partition: int, floor: tuple[int, str], then: str) -> Anomaly:
    return Anomaly(
        "commit went back",
        f"partition {partition}: {floor[1]} had committed {floor[0]}, and then {then}",
    )


def settled(seen: View, promise: Promise) -> Iterator[Anomaly]:
    """The group comes to rest in time after the last fault."""
    if seen.calm is None or not any(event.role == "member" for event in seen.of(Began)):
        return
    converged = seen.of(Converged)
    if not converged:
        yield Anomaly(
            "not converged", f"group {seen.group} did not come to rest after the last fault"
        )
    elif converged[0].after > promise.settle_s:
        yield Anomaly(
            "not converged",
            f"group {seen.group} took {converged[0].after:.1f} s after the last fault",
        )

"""The judge finds each anomaly of a group that is planted."""

from __future__ import annotations

import pytest

from tests.chaos.histories import VALUES, clean, kinds, without
from tests.chaos.history import (
    Assigned,
    Began,
    Closed,
    CommitBegun,
    CommitEnded,
    Committed,
    Converged,
    Event,
    Gone,
    Owning,
    Read,
    Told,
)
from tests.chaos.judge import Promise


def test_two_owners_in_one_epoch() -> None:
    events = [*clean(), Began(1.0, "n", "member"), Owning(2.0, "n", "id-2", 1, [0])]
    assert kinds([*events, Closed(9.0, "n")]) == {"two owners"}


def test_another_owner_in_the_next_epoch() -> None:
    events = [*clean(), Began(1.0, "n", "member"), Owning(2.0, "n", "id-2", 2, [0])]
    assert kinds([*events, Closed(9.0, "n")]) == set()


def test_a_successor_that_is_the_same_static_member() -> None:
    """It takes over what the one before it had, in the same epoch."""
    events = [*clean(), Began(1.0, "n", "member"), Owning(2.0, "n", "id-1", 1, [0])]
    assert kinds([*events, Closed(9.0, "n")]) == set()


def test_a_commit_beyond_what_was_read() -> None:
    events = [*clean(), CommitBegun(8.8, "m", 3, 0, 7), CommitEnded(8.9, "m", 3, "failed")]
    assert kinds(events) == {"committed unread"}


def test_a_committed_record_that_no_member_was_given() -> None:
    events = without(clean(), lambda event: 7.0 < getattr(event, "at", 0) < 7.4)
    assert kinds(events) == {"committed unread"}


def test_a_commit_beyond_the_end() -> None:
    events = without(clean(), lambda event: isinstance(event, Committed))
    assert kinds([*events, Committed(0, 7)]) == {"committed unread"}


def test_a_commit_that_is_gone_in_the_end() -> None:
    events = without(clean(), lambda event: isinstance(event, Committed))
    for late in ([Committed(0, 5)], []):
        expected = {"commit went back", "stopped short"}
        assert kinds([*events, *late]) == expected
        assert kinds([*events, *late], Promise(may_lose=True)) == expected
        assert kinds([*events, *late], Promise(may_lose_commits=True)) == {"stopped short"}


def test_a_group_that_does_not_read_all() -> None:
    events = without(
        clean(), lambda event: event in (Committed(0, 6), CommitEnded(7.8, "m", 2, "ok"))
    )
    events += [CommitEnded(7.8, "m", 2, "failed"), Committed(0, 4)]
    assert kinds(events) == {"stopped short"}


def test_a_commit_that_is_gone_for_the_next_owner() -> None:
    events = [*clean(), Gone(8.4, "m", 0), Assigned(8.5, "m", 0, 4)]
    assert kinds(events) == {"commit went back"}


def test_an_accepted_commit_of_a_former_owner() -> None:
    events = [*clean(), CommitBegun(8.8, "m", 3, 0, 5), CommitEnded(8.9, "m", 3, "ok")]
    assert kinds(events) == {"commit went back"}


def test_a_refused_commit_of_a_former_owner() -> None:
    events = [*clean(), CommitBegun(8.8, "m", 3, 0, 5), CommitEnded(8.9, "m", 3, "failed")]
    assert kinds(events) == set()


@pytest.mark.parametrize(("told", "expected"), [("m", set()), ("r", {"commit went back"})])
def test_a_commit_that_follows_a_log_that_went_back(told: str, expected: set[str]) -> None:
    """A member has to be told, not just anybody."""
    events = [
        *clean(),
        Told(8.7, told, 0, 5),
        CommitBegun(8.8, "m", 3, 0, 5),
        CommitEnded(8.9, "m", 3, "ok"),
        Read(8.9, told, 0, 5, VALUES[5:]),
        CommitBegun(9.0, "m", 4, 0, 6),
        CommitEnded(9.0, "m", 4, "ok"),
    ]
    assert kinds(events) == expected


def test_a_commit_that_is_on_its_way_while_the_log_goes_back() -> None:
    events = [
        *clean(),
        CommitBegun(8.6, "m", 3, 0, 6),
        Told(8.7, "m", 0, 4),
        CommitEnded(8.75, "m", 3, "ok"),
        Read(8.8, "m", 0, 4, VALUES[4:]),
        CommitBegun(8.8, "m", 4, 0, 5),
        CommitEnded(8.9, "m", 4, "ok"),
        CommitBegun(8.9, "m", 5, 0, 6),
        CommitEnded(8.9, "m", 5, "ok"),
    ]
    assert kinds(events) == set()


def test_a_group_that_does_not_come_to_rest() -> None:
    events = without(clean(), lambda event: isinstance(event, Converged))
    assert kinds(events) == {"not converged"}
    assert kinds([*events, Converged(90.0, 85.5)]) == {"not converged"}


def other_group(*more: Event) -> list[Event]:
    """Another group reads the same, on its own."""
    return [
        *clean(),
        Began(1.0, "n", "member", group="other"),
        Assigned(1.1, "n", 0, -1),
        Owning(1.2, "n", "id-2", 1, [0]),
        Read(8.0, "n", 0, 0, VALUES),
        CommitBegun(8.1, "n", 1, 0, 6),
        CommitEnded(8.2, "n", 1, "ok"),
        Closed(9.1, "n"),
        Converged(9.0, 4.5, "other"),
        Committed(0, 6, "other"),
        *more,
    ]


def test_groups_are_judged_each_by_itself() -> None:
    assert kinds(other_group()) == set()
    events = other_group(Owning(2.0, "o", "id-3", 1, [0]), Began(1.5, "o", "member", group="other"))
    assert kinds([*events, Closed(9.1, "o")]) == {"two owners"}
    events = without(other_group(), lambda event: event == Committed(0, 6, "other"))
    assert kinds([*events, Committed(0, 5, "other")]) == {"commit went back", "stopped short"}
    events = without(other_group(), lambda event: isinstance(event, Read) and event.client == "n")
    assert kinds(events) == {"committed unread"}
    events = without(other_group(), lambda event: event == Converged(9.0, 4.5, "other"))
    assert kinds(events) == {"not converged"}

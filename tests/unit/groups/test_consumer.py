from __future__ import annotations

import pytest

from partstream.errors import InvalidRegularExpression
from partstream.groups.consumer import (
    Catalog,
    group_state,
    plan,
    preferred_assignor,
    reconcile,
    relevant_fingerprint,
)
from partstream.groups.rows import (
    NOTHING,
    REVOKING,
    STABLE,
    WAITING,
    MemberRow,
    Partitions,
    Subscription,
)
from partstream.model import GroupState


def parts(*numbers: int) -> Partitions:
    return frozenset(("t", number) for number in numbers)


def row(
    epoch: int, assigned: Partitions = NOTHING, revoking: Partitions = NOTHING, state: str = STABLE
) -> MemberRow:
    return MemberRow(epoch, epoch - 1, 10, 1, state, assigned, revoking)


def test_a_member_at_its_target_has_nothing_to_do() -> None:
    assert reconcile(row(5, parts(1)), parts(1), 5, (), parts(1)) is None


def test_a_member_takes_what_is_free_and_moves_on() -> None:
    step = reconcile(row(4, parts(1)), parts(1, 2, 3), 5, parts(3), parts(1))
    assert step is not None
    assert (step.row.epoch, step.row.previous_epoch, step.row.state) == (5, 4, WAITING)
    assert step.row.assigned == parts(1, 2)
    assert (step.acquire, step.want, step.release) == (parts(2), parts(3), parts())


def test_a_member_that_must_revoke_takes_nothing_and_keeps_its_epoch() -> None:
    step = reconcile(row(4, parts(1, 2)), parts(2, 3), 5, (), parts(1, 2))
    assert step is not None
    assert (step.row.epoch, step.row.state) == (4, REVOKING)
    assert (step.row.assigned, step.row.revoking) == (parts(2), parts(1))
    assert (step.acquire, step.release) == (parts(), parts())


@pytest.mark.parametrize("says", [None, parts(1, 2), parts(1)])
def test_a_revocation_is_not_done_until_the_member_says_so(says: Partitions | None) -> None:
    revoking = row(4, parts(2), parts(1), REVOKING)
    assert reconcile(revoking, parts(2, 3), 5, (), says) is None


def test_what_a_member_let_go_of_is_released_with_its_next_step() -> None:
    revoking = row(4, parts(2), parts(1), REVOKING)
    step = reconcile(revoking, parts(2, 3), 5, (), parts(2))
    assert step is not None
    assert (step.row.epoch, step.row.state) == (5, STABLE)
    assert step.row.assigned == parts(2, 3)
    assert (step.acquire, step.release) == (parts(3), parts(1))


def test_a_newer_target_may_revoke_more_at_once() -> None:
    revoking = row(4, parts(2), parts(1), REVOKING)
    step = reconcile(revoking, parts(), 6, (), parts(2))
    assert step is not None
    assert (step.row.epoch, step.row.revoking, step.release) == (4, parts(2), parts(1))


def test_what_a_newer_target_gives_back_is_not_released() -> None:
    revoking = row(4, parts(2), parts(1), REVOKING)
    step = reconcile(revoking, parts(1, 2), 6, (), parts(2))
    assert step is not None
    assert step.row.assigned == parts(1, 2)
    assert (step.acquire, step.release) == (parts(1), parts())


def test_a_member_that_has_just_joined_does_not_fall_back_to_an_older_target() -> None:
    step = reconcile(row(9), parts(1), 7, (), None)
    assert step is not None
    assert (step.row.epoch, step.acquire) == (9, parts(1))
    assert reconcile(row(9, parts(1)), parts(1), 7, (), None) is None


def test_a_waiting_member_takes_what_came_free_and_keeps_its_epoch() -> None:
    waiting = row(5, parts(1), state=WAITING)
    assert reconcile(waiting, parts(1, 2), 5, parts(2), None) is None
    step = reconcile(waiting, parts(1, 2), 5, (), None)
    assert step is not None
    assert (step.row.epoch, step.row.previous_epoch, step.row.state) == (5, 4, STABLE)
    assert step.acquire == parts(2)


CATALOG = Catalog({"flights": ("F", 4), "ships": ("S", 2)})


def test_a_plan_holds_only_who_is_affected() -> None:
    subscriptions = {m: Subscription(("flights", "not-yet")) for m in ("a", "b")}
    made = plan(subscriptions, CATALOG, {"a": "F:0,1"})
    assert made.changed == {"b": "F:2,3"}
    assert made.assignor == "uniform"


def test_a_plan_takes_regexes_whole() -> None:
    made = plan(
        {"a": Subscription(("ships",), "f.*s"), "b": Subscription((), "flight")}, CATALOG, {}
    )
    assert made.changed == {"a": "F:0,1,2,3;S:0,1"}


def test_a_plan_forgets_a_topic_that_was_made_again() -> None:
    made = plan({"a": Subscription(("ships",))}, CATALOG, {"a": "Old:0,1"})
    assert made.changed == {"a": "S:0,1"}


def test_topics_that_nobody_subscribes_to_do_not_matter() -> None:
    subscriptions = {"a": Subscription(("flights",)), "b": Subscription((), "new-.*")}
    before = relevant_fingerprint(subscriptions, CATALOG)
    other = Catalog({**CATALOG.topics, "ships": ("S", 3)})
    assert other.fingerprint != CATALOG.fingerprint
    assert relevant_fingerprint(subscriptions, other) == before
    for topics in ({"flights": ("F", 5)}, {"flights": ("G", 4)}, {}, {"new-1": ("N", 1)}):
        changed = Catalog({**({} if not topics else CATALOG.topics), **topics})
        assert relevant_fingerprint(subscriptions, changed) != before


def test_a_plan_refuses_a_pattern_that_is_none() -> None:
    with pytest.raises(InvalidRegularExpression, match=r"'\('"):
        plan({"a": Subscription((), "(")}, CATALOG, {})


def test_most_members_choose_the_assignor() -> None:
    def wishes(*names: str | None) -> dict[str, Subscription]:
        return {str(i): Subscription(assignor=name) for i, name in enumerate(names)}

    assert preferred_assignor(wishes(None, None)) == "uniform"
    assert preferred_assignor(wishes("range", None, None)) == "range"
    assert preferred_assignor(wishes("range", "uniform", "uniform")) == "uniform"
    assert preferred_assignor(wishes("uniform", "range")) == "range"


@pytest.mark.parametrize(
    ("epoch", "rows", "state"),
    [
        (6, [], GroupState.EMPTY),
        (6, [row(5)], GroupState.ASSIGNING),
        (5, [row(5), row(4)], GroupState.RECONCILING),
        (5, [row(5), row(5, state=WAITING)], GroupState.RECONCILING),
        (5, [row(5), row(5)], GroupState.STABLE),
    ],
)
def test_the_state_of_a_group(epoch: int, rows: list[MemberRow], state: GroupState) -> None:
    assert group_state(epoch, 5, rows) == state

"""The rules of classic groups, one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partstream.errors import (
    FencedInstanceId,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
)
from partstream.groups.classic import Group, Member, Phase, decode_protocols, encode_protocols
from partstream.groups.classic_checks import (
    check_commit,
    check_heartbeat,
    join_answer,
    sync_answer,
)
from partstream.groups.classic_events import (
    NONE,
    Effects,
    Event,
    Join,
    Leave,
    Limits,
    Outcome,
    Sync,
)
from partstream.groups.classic_machine import step
from partstream.groups.classic_protocol import assigned_partitions, subscribed_topics
from partstream.model import TopicPartition
from tests.engine.classic_members import assignment, subscription

RANGE = (("range", b"r"),)
BOTH = (("roundrobin", b"rr"), ("range", b"r"))
SESSION_MS, REBALANCE_MS = 10_000, 60_000


class Play:
    """A group, step by step, at a time that the test sets."""

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**{"initial_rebalance_delay_ms": 0, **limits})
        self.group = Group()
        self.now = 1_000_000
        self.effects = Effects()

    def do(self, *events: Event, after_ms: int = 0, restarted: bool = False) -> list[Outcome]:
        """A step with these events, so much later."""
        self.now += after_ms
        before = self.group.copy()
        self.group, outcomes, self.effects = step(
            self.group, events, self.now, self.limits, restarted=restarted
        )
        assert before.copy() == before
        return outcomes

    def join(self, name: str, **changes: Any) -> Outcome:
        """A join: of a member, or a new one that gets this id."""
        known = name in self.group.members or f"p:{name}" in self.group.deadlines
        request = Join(
            name if known else "",
            name,
            "consumer",
            RANGE,
            SESSION_MS,
            REBALANCE_MS,
            id_required=False,
        )
        (outcome,) = self.do(replace(request, **changes))
        return outcome

    def sync(self, name: str, **changes: Any) -> Outcome:
        """A sync; a leader's gives each member its id."""
        assignments = {member: member.encode() for member in self.group.members}
        leads = self.group.leader == name
        request = Sync(name, self.group.generation, assignments=assignments if leads else {})
        (outcome,) = self.do(replace(request, **changes))
        return outcome

    def is_in(self, phase: Phase) -> bool:
        """Whether that is the group's phase."""
        return self.group.phase == phase

    def settle(self, *names: str) -> None:
        """All of them join and sync."""
        for name in names:
            self.join(name)
        for name in names:
            assert join_answer(self.group, name, None) == NONE
            self.sync(name)
        assert self.is_in(Phase.STABLE)


def test_the_first_member_leads_and_the_second_brings_a_rebalance() -> None:
    play = Play()
    play.join("a")
    assert (play.group.phase, play.group.generation) == (Phase.COMPLETING_REBALANCE, 1)
    assert play.group.leader == "a"
    play.sync("a")
    assert play.is_in(Phase.STABLE)
    assert play.effects.assignments == {"a": b"a"}

    play.join("b")
    assert play.is_in(Phase.PREPARING_REBALANCE)
    assert join_answer(play.group, "b", None) is None
    assert check_heartbeat(play.group, "a", None, 1) == RebalanceInProgress.code
    assert check_commit(play.group, "a", None, 1) == NONE
    play.join("a")
    assert (play.group.phase, play.group.generation) == (Phase.COMPLETING_REBALANCE, 2)
    assert [join_answer(play.group, name, None) for name in "ab"] == [NONE, NONE]
    assert check_commit(play.group, "a", None, 2) == RebalanceInProgress.code
    play.sync("b")
    assert sync_answer(play.group, "b", None, 2) is None
    play.sync("a")
    assert sync_answer(play.group, "b", None, 2) == NONE


def test_a_new_member_is_given_an_id_and_is_waited_for() -> None:
    play = Play()
    outcome = play.join("a", id_required=True)
    assert (outcome.error, outcome.member_id) == (MemberIdRequired.code, "a")
    assert play.group.pending == ["a"]
    assert play.join("a", id_required=True).error == NONE
    assert play.group.pending == []
    play.sync("a")
    # One that does not come back holds the others up, for a session at most.
    play.join("b", id_required=True)
    play.join("a")
    assert play.is_in(Phase.PREPARING_REBALANCE)
    play.do(after_ms=SESSION_MS)
    assert (play.group.phase, list(play.group.members)) == (Phase.COMPLETING_REBALANCE, ["a"])


def test_the_first_rebalance_waits_for_more_but_not_for_ever() -> None:
    play = Play(initial_rebalance_delay_ms=3_000)
    play.join("a", rebalance_ms=7_000)
    play.do(after_ms=2_000)
    play.join("b", rebalance_ms=7_000)
    play.do(after_ms=1_000)  # extended, since b has come
    assert play.is_in(Phase.PREPARING_REBALANCE)
    play.do(after_ms=2_999)
    assert play.is_in(Phase.PREPARING_REBALANCE)
    play.do(after_ms=1)
    assert (play.group.generation, sorted(play.group.members)) == (1, ["a", "b"])


def test_who_does_not_join_in_time_is_out() -> None:
    play = Play()
    play.settle("a")
    play.join("b")
    play.do(after_ms=SESSION_MS - 1)
    play.do()
    assert play.is_in(Phase.PREPARING_REBALANCE)
    # "a" heartbeats, but joins not.
    for _ in range(REBALANCE_MS // SESSION_MS):
        play.group.deadlines["s:a"] = play.now + 2 * SESSION_MS
        play.do(after_ms=SESSION_MS)
    assert (play.group.phase, list(play.group.members)) == (Phase.COMPLETING_REBALANCE, ["b"])
    assert play.group.leader == "b"
    assert check_heartbeat(play.group, "a", None, 1) == UnknownMemberId.code


def test_who_joins_but_does_not_sync_is_out() -> None:
    play = Play()
    play.settle("a")
    play.join("b")
    play.join("a")
    play.sync("a")
    for _ in range(REBALANCE_MS // SESSION_MS):
        play.group.deadlines.update({"s:a": play.now + 20_000, "s:b": play.now + 20_000})
        play.do(after_ms=SESSION_MS)
    assert list(play.group.members) == ["a"]
    assert play.is_in(Phase.PREPARING_REBALANCE)


def test_silence_ends_a_session_except_of_those_that_wait() -> None:
    play = Play()
    play.settle("a")
    play.do(after_ms=SESSION_MS - 1)
    assert "a" in play.group.members
    play.do(after_ms=1)
    assert (play.group.phase, play.group.generation) == (Phase.EMPTY, 2)
    assert play.effects.expired == ["s:a"]

    play = Play()
    play.settle("a")
    play.join("b")
    play.join("a", session_ms=60_000)
    play.sync("b")  # waits for its leader, who is silent
    play.do(after_ms=2 * SESSION_MS)
    assert sorted(play.group.members) == ["a", "b"]
    play.do(after_ms=60_000)
    assert list(play.group.members) == ["b"]
    assert sync_answer(play.group, "b", None, 2) == RebalanceInProgress.code


def test_a_follower_that_did_not_hear_is_told_again_and_a_leader_rebalances() -> None:
    play = Play()
    play.settle("a")
    play.join("b")
    play.join("a")
    assert play.join("b").error == NONE
    assert play.is_in(Phase.COMPLETING_REBALANCE)
    play.sync("b")
    play.sync("a")
    play.join("b")
    assert (play.group.phase, play.group.generation) == (Phase.STABLE, 2)
    play.join("b", protocols=BOTH)
    assert play.is_in(Phase.PREPARING_REBALANCE)
    play.join("a")
    play.sync("b")
    play.sync("a")
    play.join("a")
    assert play.is_in(Phase.PREPARING_REBALANCE)


def test_the_protocol_is_one_that_all_support_and_most_want() -> None:
    play = Play(initial_rebalance_delay_ms=100)
    play.join("a", protocols=(("x", b""), ("range", b""), ("rr", b"")))
    play.join("b", protocols=(("rr", b""), ("range", b"")))
    play.join("c", protocols=(("rr", b""), ("range", b""), ("y", b"")))
    assert play.join("d", protocols=(("x", b""),)).error == InconsistentGroupProtocol.code
    assert play.join("d", protocol_type="connect").error == InconsistentGroupProtocol.code
    play.do(after_ms=100)
    play.do(after_ms=100)
    assert play.group.protocol == "rr"
    assert Play().join("a", protocols=()).error == InconsistentGroupProtocol.code
    assert Play().join("a", protocol_type="").error == InconsistentGroupProtocol.code


def test_a_static_member_takes_its_place_without_a_rebalance() -> None:
    play = Play()
    play.settle("a")
    play.join("s1", instance_id="s")
    play.join("a")
    play.sync("s1", instance_id="s")
    play.sync("a")
    outcome = play.join("s2", instance_id="s")
    assert (outcome.error, outcome.member_id, outcome.leader) == (NONE, "s2", "a")
    assert outcome.immediate
    assert not outcome.skip_assignment
    assert (play.group.phase, play.group.generation) == (Phase.STABLE, 2)
    assert play.effects.renamed == {"s2": "s1"}
    for check in (check_heartbeat, check_commit):
        assert check(play.group, "s1", "s", 2) == FencedInstanceId.code
        assert check(play.group, "s1", None, 2) == UnknownMemberId.code
        assert check(play.group, "s2", "s", 2) == NONE
    assert play.join("s1", member_id="s1", instance_id="s").error == FencedInstanceId.code
    assert play.sync("s1", instance_id="s").error == FencedInstanceId.code
    assert sync_answer(play.group, "s1", "s", 2) == FencedInstanceId.code


def test_a_static_leader_that_is_back_need_not_assign() -> None:
    play = Play()
    play.join("s1", instance_id="s", protocols=BOTH)
    play.sync("s1", instance_id="s")
    outcome = play.join("s2", instance_id="s", protocols=BOTH, can_skip=True)
    assert (outcome.leader, outcome.skip_assignment) == ("s2", True)
    outcome = play.join("s3", instance_id="s", protocols=BOTH, can_skip=False)
    assert (outcome.leader, outcome.skip_assignment) == ("s2", False)
    # Unless what it supports changes the protocol, or the leader may know the old id already.
    play.join("s4", instance_id="s", protocols=RANGE)
    assert (play.group.phase, play.group.generation) == (Phase.COMPLETING_REBALANCE, 2)
    play.join("s5", instance_id="s", protocols=RANGE)
    assert (play.group.generation, play.group.leader) == (3, "s5")


def test_a_static_member_may_be_away_for_a_session() -> None:
    play = Play()
    play.join("s1", instance_id="s")
    play.sync("s1", instance_id="s")
    play.join("b")
    play.do(after_ms=REBALANCE_MS)
    assert list(play.group.members) == ["b"]  # its session was shorter than the rebalance
    play = Play()
    play.join("s1", instance_id="s", session_ms=10 * REBALANCE_MS)
    play.sync("s1", instance_id="s")
    play.join("b")
    play.do(after_ms=REBALANCE_MS)
    assert sorted(play.group.members) == ["b", "s1"]
    assert (play.group.phase, play.group.leader) == (Phase.COMPLETING_REBALANCE, "b")


def test_members_leave_by_id_or_by_instance() -> None:
    play = Play()
    play.settle("a")
    play.join("s", instance_id="i")
    play.join("p", id_required=True)
    (outcome,) = play.do(
        Leave((("a", None), ("", "i"), ("p", None), ("x", None), ("", "x"), ("", None)))
    )
    unknown = UnknownMemberId.code
    assert outcome.codes == (NONE, NONE, NONE, unknown, unknown, unknown)
    assert (play.group.phase, play.group.members, play.group.pending) == (Phase.EMPTY, {}, [])


def test_a_group_may_be_full() -> None:
    play = Play(max_size=2, initial_rebalance_delay_ms=10)
    play.join("a")
    play.join("b")
    assert play.join("c").error == GroupMaxSizeReached.code
    play.do(after_ms=20)
    assert play.join("c").error == GroupMaxSizeReached.code
    assert play.join("b").error == NONE
    play.do(Leave((("b", None),)))
    assert play.join("c").error == NONE


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"generation": 9}, IllegalGeneration),
        ({"member_id": "x"}, UnknownMemberId),
        ({"instance_id": "x"}, UnknownMemberId),
        ({"protocol_type": "connect"}, InconsistentGroupProtocol),
        ({"protocol": "x"}, InconsistentGroupProtocol),
    ],
)
def test_a_sync_must_fit(changes: dict[str, Any], error: type[Exception]) -> None:
    play = Play()
    play.join("a")
    assert play.sync("a", **changes).error == error.code  # type: ignore[attr-defined]  # Kafka's
    assert play.sync("a", protocol_type="consumer", protocol="range").error == NONE


def test_everybody_gets_a_whole_session_after_a_restart_and_after_the_clock_was_set_back() -> None:
    play = Play()
    play.settle("a")
    play.do(after_ms=10 * SESSION_MS, restarted=True)
    assert play.is_in(Phase.STABLE)
    assert play.group.deadlines["s:a"] == play.now + SESSION_MS
    play.do(after_ms=-100 * SESSION_MS)
    assert play.group.deadlines["s:a"] == play.now + SESSION_MS


def test_an_id_that_nobody_came_back_with_holds_nobody_up_after_a_restart() -> None:
    """Its session is not known: it must not be taken for the longest that there is."""
    play = Play()
    play.settle("a")
    assert play.join("gone", id_required=True).error == MemberIdRequired.code
    due = play.group.deadlines["p:gone"]
    play.do(after_ms=SESSION_MS // 2, restarted=True)
    assert play.group.deadlines["p:gone"] == due
    play.join("a", protocols=BOTH)
    assert play.is_in(Phase.PREPARING_REBALANCE)  # it may still come
    play.do(after_ms=SESSION_MS // 2)
    assert play.is_in(Phase.COMPLETING_REBALANCE)
    assert play.join("gone", member_id="gone").error == UnknownMemberId.code


def test_an_assignment_goes_with_a_static_member_also_within_one_step() -> None:
    play = Play()
    play.join("s1", instance_id="s")
    again = Join("", "s2", "consumer", RANGE, SESSION_MS, REBALANCE_MS, "s")
    play.do(Sync("s1", 1, "s", assignments={"s1": b"mine"}), again, replace(again, new_id="s3"))
    assert play.effects.assignments == {"s3": b"mine"}
    play.do(replace(again, new_id="s4"), replace(again, new_id="s5"))
    assert play.effects.renamed == {"s5": "s3"}


def test_the_text_forms_give_back_what_they_were_made_of() -> None:
    member = Member(
        "m", 'i\n"|', "c\nlient", "/h", 5, 6, ("a", "b"), "digest", joining=True, synced=True
    )
    assert Member.decode("m", member.encode()) == member
    play = Play(initial_rebalance_delay_ms=5)
    play.join("a")
    group = play.group
    found = Group.decode(group.phase, str(group.generation), group.encode())
    assert found == replace(group, members={}, deadlines={})
    assert Group.decode("", "", "") == Group()
    protocols = (("range", b"\x00 1 2\xff"), ("é", b""))
    assert decode_protocols(encode_protocols(protocols)) == dict(protocols)


def test_the_consumers_protocol_is_read_and_others_are_not() -> None:
    assert subscribed_topics(subscription("t", "ü")) == frozenset({"t", "ü"})
    assert assigned_partitions(assignment("t", 2, 0)) == (
        TopicPartition("t", 0),
        TopicPartition("t", 2),
    )
    for lie in (
        b"",
        b"\0",
        b"\0\0\x7f\xff\xff\xff",
        b"\0\0\xff\xff\xff\xff",
        b"\0\0\0\0\0\1\0\2\xff",
    ):
        assert subscribed_topics(lie) is None
        assert assigned_partitions(lie) is None

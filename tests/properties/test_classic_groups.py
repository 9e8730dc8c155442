"""The rules of classic groups, for any order of joins, syncs, silences, lost answers and time.

What the scripts really do is tested on servers, by `tests/engine/test_classic*.py`. Here hypothesis
looks for an order of events that breaks a rule, and shrinks it to one that can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from partstream.errors import MemberIdRequired
from partstream.groups.classic import Group, Member, Phase
from partstream.groups.classic_checks import (
    check_commit,
    check_heartbeat,
    join_answer,
    sync_answer,
)
from partstream.groups.classic_events import NONE, Event, Join, Leave, Limits, Outcome, Sync
from partstream.groups.classic_machine import step

CLIENTS = 5
SESSION_MS, REBALANCE_MS = 6_000, 9_000
PROTOCOLS = ("range", "roundrobin", "sticky")


@dataclass
class Client:
    """One client as it sees itself."""

    number: int
    static: bool
    member_id: str = ""
    generation: int = -1
    leads: bool = False
    synced: bool = False
    assignment: bytes | None = None
    protocols: tuple[str, ...] = ("range",)

    @property
    def instance_id(self) -> str | None:
        return f"i{self.number}" if self.static else None

    def forget(self) -> None:
        self.member_id, self.generation, self.synced = "", -1, False
        self.assignment = None


class ClassicGroup(RuleBasedStateMachine):
    """A group, its clients, and what must never be."""

    @initialize(delay=st.sampled_from([0, 2_000]), most=st.sampled_from([3, 100]))
    def begin(self, delay: int, most: int) -> None:
        self.limits = Limits(initial_rebalance_delay_ms=delay, max_size=most)
        self.group = Group()
        self.now = 1_000_000
        self.ids = 0
        self.clients = [Client(number, static=number < 2) for number in range(CLIENTS)]
        self.leaders: dict[int, set[str]] = {}
        self.installed: dict[int, dict[str, bytes]] = {}
        self.known: set[str] = set()
        self.fenced: set[str] = set()

    def do(self, *events: Event, restarted: bool = False) -> list[Outcome]:
        before = self.group
        group, outcomes, effects = step(before, events, self.now, self.limits, restarted=restarted)
        # As it is in Redis: through text and back.
        self.group = Group.decode(group.phase, str(group.generation), group.encode())
        if group == Group():
            self.group = Group()
        self.group.members = {
            name: Member.decode(name, member.encode()) for name, member in group.members.items()
        }
        self.group.deadlines = dict(group.deadlines)
        if effects.assignments is not None and group.phase == Phase.STABLE:
            assert group.generation not in self.installed, "two assignments in a generation"
            self.installed[group.generation] = dict(effects.assignments)
        assert self.group.generation >= before.generation
        return outcomes

    def client(self, number: int) -> Client:
        return self.clients[number]

    @rule(
        number=st.integers(0, CLIENTS - 1),
        protocols=st.permutations(PROTOCOLS).flatmap(
            lambda names: st.integers(1, 3).map(lambda size: tuple(names[:size]))
        ),
        old=st.booleans(),
        lost=st.booleans(),
    )
    def join(self, number: int, protocols: tuple[str, ...], old: bool, lost: bool) -> None:
        client = self.client(number)
        self.ids += 1
        before = client.member_id
        if client.static and lost:
            client.forget()  # restarted
        client.protocols = protocols
        (outcome,) = self.do(
            Join(
                client.member_id,
                f"m{self.ids}",
                "consumer",
                tuple((name, b"") for name in protocols),
                SESSION_MS,
                REBALANCE_MS,
                client.instance_id,
                id_required=not old,
                can_skip=not old,
            )
        )
        client.synced, client.assignment = False, None
        if outcome.error == MemberIdRequired.code:
            client.member_id = outcome.member_id
        elif outcome.error != NONE:
            client.forget()
        else:
            if before in self.known and before != outcome.member_id:
                self.fenced.add(before)
            client.member_id = outcome.member_id
            self.known.add(outcome.member_id)
            client.generation = -1
            if outcome.immediate:
                # It keeps the place that it had: told of the generation, and to assign by nobody.
                client.generation, client.leads = self.group.generation, False

    @rule(number=st.integers(0, CLIENTS - 1))
    def hear_of_the_join(self, number: int) -> None:
        client = self.client(number)
        if not client.member_id or client.generation >= 0:
            return
        code = join_answer(self.group, client.member_id, client.instance_id)
        if code is None or f"p:{client.member_id}" in self.group.deadlines:
            return
        if code != NONE:
            client.forget()
            return
        client.generation = self.group.generation
        client.leads = (
            self.group.leader == client.member_id and self.group.phase == Phase.COMPLETING_REBALANCE
        )
        if client.leads:
            self.leaders.setdefault(client.generation, set()).add(client.member_id)

    @rule(number=st.integers(0, CLIENTS - 1))
    def sync(self, number: int) -> None:
        client = self.client(number)
        if client.generation < 0:
            return
        given = {name: f"{client.generation} {name}".encode() for name in self.group.members}
        (outcome,) = self.do(
            Sync(
                client.member_id,
                client.generation,
                client.instance_id,
                assignments=given if client.leads else {},
            )
        )
        client.synced = outcome.error == NONE
        if outcome.error != NONE:
            client.generation = -1

    @rule(number=st.integers(0, CLIENTS - 1))
    def hear_of_the_assignment(self, number: int) -> None:
        client = self.client(number)
        if not client.synced:
            return
        code = sync_answer(self.group, client.member_id, client.instance_id, client.generation)
        if code == NONE:
            found = self.installed[client.generation]
            client.assignment = found.get(client.member_id, b"")
        elif code is not None:
            client.synced, client.generation = False, -1

    @rule(number=st.integers(0, CLIENTS - 1))
    def heartbeat(self, number: int) -> None:
        client = self.client(number)
        name = f"s:{client.member_id}"
        code = check_heartbeat(self.group, client.member_id, client.instance_id, client.generation)
        if code == NONE and name in self.group.deadlines:
            self.group.deadlines[name] = self.now + SESSION_MS

    @rule(number=st.integers(0, CLIENTS - 1))
    def leave(self, number: int) -> None:
        client = self.client(number)
        if client.member_id:
            self.do(Leave(((client.member_id, client.instance_id),)))
            client.forget()

    @rule(number=st.integers(2, CLIENTS - 1))
    def die(self, number: int) -> None:
        self.client(number).forget()

    @rule(ms=st.sampled_from([1, 1_000, 2_000, 3_000, 6_000, 9_000, 400_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self.do()

    @rule()
    def redis_restarts(self) -> None:
        self.now += 100_000
        self.do(restarted=True)

    @invariant()
    def a_generation_has_one_leader(self) -> None:
        assert all(len(leaders) == 1 for leaders in self.leaders.values())

    @invariant()
    def the_group_is_of_one_piece(self) -> None:
        group = self.group
        assert (group.phase == Phase.EMPTY) <= (not group.members)
        if group.phase in (Phase.STABLE, Phase.COMPLETING_REBALANCE):
            assert group.leader in group.members
            assert group.protocol in group.common()
            assert not any(member.joining or member.fresh for member in group.members.values())
        if group.phase == Phase.STABLE:
            assert group.generation in self.installed
        if group.phase == Phase.PREPARING_REBALANCE:
            assert "j:" in group.deadlines
        for name in group.deadlines:
            if name.startswith("s:"):
                assert name[2:] in group.members
        instances = [m.instance_id for m in group.members.values() if m.instance_id]
        assert len(instances) == len(set(instances))

    @invariant()
    def the_fenced_stay_fenced(self) -> None:
        for member_id in self.fenced:
            generation = self.group.generation
            assert check_heartbeat(self.group, member_id, None, generation) != NONE
            assert check_commit(self.group, member_id, None, generation) != NONE

    @invariant()
    def everybody_got_what_the_leader_gave_just_it(self) -> None:
        for client in self.clients:
            if client.assignment:
                expected = self.installed[client.generation].get(client.member_id)
                assert client.assignment == expected

    def teardown(self) -> None:
        """When nobody does anything any more, the group comes to rest: empty, without deadlines."""
        if not hasattr(self, "group"):
            return
        for _ in range(60):
            if not self.group.deadlines:
                break
            self.now = max(self.now, min(self.group.deadlines.values()))
            self.do()
        assert self.group.deadlines == {}
        assert (self.group.phase, self.group.members) == (Phase.EMPTY, {})


ClassicGroup.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestClassicGroup = ClassicGroup.TestCase

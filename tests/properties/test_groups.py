"""The rules of a group, with the scripts' guards in memory: any order of events, quickly.

What the scripts really do is tested on servers, by `tests/engine/test_groups*.py`. Here hypothesis
looks for an order of joins, deaths, assignments, lost answers and late heartbeats that breaks a
rule, and shrinks it to one that can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from partstream.groups.consumer import Catalog, Plan, Step, group_state, plan, reconcile
from partstream.groups.rows import (
    NOTHING,
    STABLE,
    MemberRow,
    Partitions,
    Subscription,
    TopicIdPartition,
    decode_partitions,
)
from partstream.model import GroupState


class Fenced(Exception):
    """The member is not in the group, or not at that epoch."""


class State:
    """A group's rows, and what the scripts do to them."""

    def __init__(self) -> None:
        self.epoch = self.target_epoch = 1
        self.seq = 0
        self.rows: dict[str, MemberRow] = {}
        self.targets: dict[str, str] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.owner: dict[TopicIdPartition, str] = {}

    def write(self, member: str, row: MemberRow) -> None:
        self.seq += 1
        self.rows[member] = replace(row, seq=self.seq)

    def join(self, member: str, subscription: Subscription) -> None:
        self.remove(member)
        self.epoch += 1
        self.write(member, MemberRow(self.epoch, 0, 0, 0, STABLE))
        self.subscriptions[member] = subscription

    def remove(self, member: str) -> None:
        row = self.rows.pop(member, None)
        if row is not None:
            for partition in row.assigned | row.revoking:
                del self.owner[partition]
            self.targets.pop(member, None)
            del self.subscriptions[member]
            self.epoch += 1

    def apply(self, member: str, read: MemberRow, target_epoch: int, step: Step) -> None:
        taken = any(self.owner.get(p, member) != member for p in step.acquire)
        if self.rows.get(member) != read or self.target_epoch != target_epoch or taken:
            return
        for partition in step.acquire:
            self.owner[partition] = member
        for partition in step.release:
            del self.owner[partition]
        self.write(member, step.row)

    def settle(self, epoch: int, target_epoch: int, made: Plan) -> None:
        if self.target_epoch != target_epoch:
            return
        self.target_epoch = epoch
        for member, target in made.changed.items():
            if member in self.rows:
                self.targets[member] = target

    def heartbeat(self, sent: Sent) -> MemberRow:
        row = self.rows.get(sent.member)
        if row is None or sent.epoch not in (row.epoch, row.previous_epoch):
            raise Fenced
        while row.epoch == sent.epoch:
            target = decode_partitions(self.targets.get(sent.member, ""))
            busy = {p for p in target if self.owner.get(p, sent.member) != sent.member}
            owned = sent.owned if row.seq == sent.seen else None
            step = reconcile(row, target, self.target_epoch, busy, owned)
            if step is None:
                break
            self.apply(sent.member, row, self.target_epoch, step)
            row = self.rows[sent.member]
        return row


@dataclass(frozen=True, slots=True)
class Sent:
    """A heartbeat on its way."""

    member: str
    epoch: int
    owned: Partitions
    seen: int


@dataclass
class Client:
    """A member as it sees itself."""

    name: str
    epoch: int
    seen: int
    owned: Partitions = NOTHING
    fenced: bool = False
    sent: list[Sent] = field(default_factory=list)


FOLLOWS = st.integers(0, 4)


class Group(RuleBasedStateMachine):
    """Everything that may happen to a group."""

    clients = Bundle("clients")
    heartbeats = Bundle("heartbeats")
    plans = Bundle("plans")

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.live: dict[str, Client] = {}
        self.sizes = {"t": 3, "u": 2}
        self.names = 0

    def catalog(self) -> Catalog:
        return Catalog({name: (name.upper(), size) for name, size in self.sizes.items()})

    @rule(
        target=clients,
        topics=st.sampled_from([("t",), ("t", "u"), ("u",), ("t", "gone")]),
        assignor=st.sampled_from([None, "range"]),
        then=FOLLOWS,
    )
    def join(self, topics: tuple[str, ...], assignor: str | None, then: int) -> Client:
        self.names += 1
        name = f"m{self.names}"
        self.state.join(name, Subscription(topics, assignor=assignor))
        row = self.state.rows[name]
        self.live[name] = client = Client(name, row.epoch, row.seq)
        self.follow(then)
        return client

    @rule(target=heartbeats, client=clients, lost=st.booleans())
    def beat(self, client: Client, lost: bool) -> Sent:
        sent = Sent(client.name, client.epoch, client.owned, client.seen)
        try:
            row = self.state.heartbeat(sent)
        except Fenced:
            # Only who was given up is fenced, never a member that merely missed answers.
            assert self.live.get(client.name) is not client
            client.fenced, client.owned = True, NOTHING
            return sent
        assert not client.fenced, "a fenced member is back"
        if not lost:
            client.epoch, client.seen, client.owned = row.epoch, row.seq, row.assigned
        return sent

    @rule(sent=heartbeats)
    def beat_again(self, sent: Sent) -> None:
        """A heartbeat arrives a second time, however late; nobody hears the answer."""
        try:
            self.state.heartbeat(sent)
        except Fenced:
            return

    @rule(client=clients, then=FOLLOWS)
    def end(self, client: Client, then: int) -> None:
        """It leaves; or its session ends, and it has stopped by itself before that."""
        if self.live.get(client.name) is client:
            client.owned = NOTHING
            del self.live[client.name]
            self.state.remove(client.name)
            self.follow(then)

    @rule(target=clients, client=consumes(clients))
    def join_again(self, client: Client) -> Client:
        """With the id that it had; what it had is lost."""
        self.live.pop(client.name, None)
        client.fenced, client.owned = True, NOTHING
        self.state.join(client.name, Subscription(("t", "u")))
        row = self.state.rows[client.name]
        self.live[client.name] = anew = Client(client.name, row.epoch, row.seq)
        return anew

    @rule(target=plans)
    def compute(self) -> tuple[int, int, Plan]:
        state = self.state
        made = plan(state.subscriptions, self.catalog(), state.targets)
        return state.epoch, state.target_epoch, made

    @rule(made=plans)
    def settle(self, made: tuple[int, int, Plan]) -> None:
        """Perhaps computed long ago."""
        self.state.settle(*made)

    def assign(self) -> None:
        self.settle(self.compute_now())

    @rule()
    def all_beat(self) -> None:
        for client in self.live.values():
            self.heard_beat(client)

    @rule(topic=st.sampled_from("tu"), then=FOLLOWS)
    def grow(self, topic: str, then: int) -> None:
        if self.sizes[topic] < 5:
            self.sizes[topic] += 1
            self.state.epoch += 1
            self.follow(then)

    def follow(self, beats: int) -> None:
        """What mostly follows: an assignment, and some heartbeats of everybody."""
        if beats:
            self.assign()
        for _ in range(beats - 1):
            self.all_beat()

    @invariant()
    def nobody_shares(self) -> None:
        rows = self.state.rows
        held = [p for row in rows.values() for p in row.assigned | row.revoking]
        assert len(held) == len(set(held))
        assert self.state.owner == {
            p: member for member, row in rows.items() for p in row.assigned | row.revoking
        }
        used = [p for client in self.live.values() for p in client.owned]
        assert len(used) == len(set(used))
        for client in self.live.values():
            row = rows[client.name]
            assert client.owned <= row.assigned | row.revoking

    def teardown(self) -> None:
        """With peace, the group settles: soon, completely, and evenly."""
        for _ in range(6):
            if self.state.epoch != self.state.target_epoch:
                self.assign()
            self.all_beat()
        rows = self.state.rows
        state = group_state(self.state.epoch, self.state.target_epoch, rows.values())
        assert state == (GroupState.STABLE if rows else GroupState.EMPTY)
        wanted = {
            (name.upper(), n)
            for name, size in self.sizes.items()
            if any(name in s.topics for s in self.state.subscriptions.values())
            for n in range(size)
        }
        assert {p for client in self.live.values() for p in client.owned} == wanted
        for client in self.live.values():
            assert client.owned == decode_partitions(self.state.targets.get(client.name, ""))

    def compute_now(self) -> tuple[int, int, Plan]:
        made = plan(self.state.subscriptions, self.catalog(), self.state.targets)
        return self.state.epoch, self.state.target_epoch, made

    def heard_beat(self, client: Client) -> None:
        row = self.state.heartbeat(Sent(client.name, client.epoch, client.owned, client.seen))
        client.epoch, client.seen, client.owned = row.epoch, row.seq, row.assigned


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

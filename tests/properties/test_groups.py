"""The rules of a group, with the scripts' guards in memory: any order of events, quickly.

Here hypothesis looks for an order of joins, deaths, returns, assignments, lost answers, late
heartbeats and changes of topics that breaks a rule, and shrinks it to one that can be read.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from partstream.errors import (
    FencedInstanceId,
    FencedMemberEpoch,
    UnknownMemberId,
    UnreleasedInstanceId,
)
from partstream.groups.consumer import group_state, preferred_assignor, subscribed_names
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import LEFT_STATIC, NOTHING, decode_partitions
from partstream.model import GroupState
from tests.properties.group_clients import (
    HOUR_MS,
    WANTS,
    Client,
    Coordinator,
    HeldUp,
    Join,
    Wants,
)
from tests.properties.group_model import Beat, Made, Review, State

REFUSALS = (UnknownMemberId, FencedMemberEpoch, FencedInstanceId)
MOST_PARTITIONS = 5
INSTANCES = st.sampled_from([None, "i", "j"])
HELD_UP, OVERTAKEN, PEACE = -1, -2, 4
FOLLOWS = st.sampled_from([HELD_UP, OVERTAKEN, 0, 0, 1, 2, 2, 3, PEACE])
"""What follows a change: nothing; or an assignment, and so many rounds of heartbeats less one; or a
round whose steps are held up, for good or until everybody has asked again."""
WHICH = st.integers(0, 99)
TOPICS = st.sampled_from(["t", "u", "tt", "v", "gone"])


class Group(RuleBasedStateMachine):
    """Everything that may happen to a group."""

    def __init__(self) -> None:
        super().__init__()
        self.state = self.make_state()
        self.coordinator = Coordinator(self.state)
        self.topics = self.coordinator.topics
        self.live: dict[str, Client] = {}
        """Those that are in the group, and have not been missed."""
        self.everybody: list[Client] = []
        self.late: list[Beat | Join | HeldUp | Review] = []
        """All that was sent, oldest first: it may arrive once more."""
        self.slow = False
        self.under_way: list[Made | Review] = []
        """Work of assignors that is done, and not written down yet."""
        self.names = self.topics_made = 0

    def make_state(self) -> State:
        return State()

    # Members come.

    @rule(wants=WANTS, instance=INSTANCES, lost=st.booleans(), then=FOLLOWS)
    def join(self, wants: Wants, instance: str | None, lost: bool, then: int) -> None:
        request = HeartbeatRequest(
            "g",
            self.new_name(),
            0,
            instance,
            rebalance_timeout_ms=HOUR_MS,
            **wants.fields(),
        )
        self.enter(Client(request), lost, then)

    @rule(which=WHICH, lost=st.booleans(), then=FOLLOWS)
    @precondition(lambda self: self.everybody)
    def join_again(self, which: int, lost: bool, then: int) -> None:
        """With the id that it had; what it had is lost, unless it was away and is back."""
        client = self.everybody[-1 - which % len(self.everybody)]
        newest = max(c.incarnation for c in self.everybody if c.name == client.name)
        before = self.live.pop(client.name, None)
        if before is not None:
            before.owned = NOTHING
        self.enter(Client(client.request, newest + 1), lost, then)

    @rule(which=WHICH, moment=st.sampled_from(["any", "computing", "letting go"]), then=FOLLOWS)
    @precondition(lambda self: self.live)
    def restart(self, which: int, moment: str, then: int) -> None:
        """A program ends and begins again; one with a static member is away for that long.

        In the moments that are named all was at rest, then another one joined, and an assignment is
        being made for both, or the member was told what to let go of.
        """
        client = self.one_of_the_living(which)
        made = None
        if moment != "any":
            self.peace()
            other = replace(client.request, member_id=self.new_name(), instance_id=None)
            self.enter(Client(other), lost=False, then=0)
        if moment == "computing":
            made = self.coordinator.made()
        elif moment == "letting go":
            self.renew()
            self.coordinator.heartbeat(self.coordinator.said_by(client))
        self.end(client, for_good=False)
        request = replace(client.request, member_id=self.new_name())
        self.enter(Client(request), lost=False, then=0)
        if made is not None:
            self.state.settle(made)
        self.follow(then)

    def new_name(self) -> str:
        self.names += 1
        return f"m{self.names}"

    def one_of_the_living(self, which: int) -> Client:
        return list(self.live.values())[which % len(self.live)]

    def enter(self, client: Client, lost: bool, then: int) -> None:
        self.everybody.append(client)
        request, state = client.request, self.state
        self.late.append(Join(request, client.incarnation))
        holder = state.instances.get(request.instance_id or "")
        before = state.rows.get(holder or request.member_id)
        try:
            told, view = state.join(request, client.incarnation)
        except UnreleasedInstanceId:
            assert before is not None
            assert holder != client.name
            assert before.epoch != LEFT_STATIC
            return
        assert not told
        if before is not None and before.epoch == LEFT_STATIC:
            assert (view.row.epoch, view.row.assigned) == (before.previous_epoch, before.assigned)
        else:
            assert (view.row.epoch, view.row.assigned) == (state.epoch, NOTHING)
        if lost:
            assert state.join(request, client.incarnation) == (True, view)
        client.take(view.row)
        client.take(self.coordinator.advance(view, self.coordinator.said_by(client)))
        self.live[client.name] = client
        self.follow(then)

    # Members live, and go.

    @rule(which=WHICH, fate=st.sampled_from(["heard", "heard", "lost", "held up"]))
    @precondition(lambda self: self.live)
    def beat(self, which: int, fate: str) -> None:
        """Only who was given up is fenced, never a member that merely missed answers."""
        client = self.one_of_the_living(which)
        self.late.append(self.coordinator.said_by(client))
        if fate == "held up":
            self.late += self.coordinator.hold_up(client)
            return
        row = self.coordinator.heartbeat(self.coordinator.said_by(client))
        if fate == "heard":
            client.take(row)

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.late)
    def something_arrives_late(self, which: int) -> None:
        """Or a second time, however late; nobody hears the answer."""
        late = self.late[-1 - which % len(self.late)]
        with suppress(*REFUSALS, UnreleasedInstanceId):
            match late:
                case Beat():
                    self.coordinator.heartbeat(late)
                case HeldUp():
                    self.state.apply(*late)
                case Review():
                    self.state.review(late)
                case Join():
                    # Whom it brings in, of whom nobody knows, is there until its session ends.
                    told, _ = self.state.join(*late)
                    assert told or late.request.member_id not in self.live

    @rule(which=WHICH, wants=WANTS, then=FOLLOWS)
    @precondition(lambda self: self.live)
    def subscribe(self, which: int, wants: Wants, then: int) -> None:
        client = self.one_of_the_living(which)
        old = client.request.subscription()
        client.request = replace(client.request, **wants.fields())
        self.state.beat(self.coordinator.said_by(client))
        self.state.subscribe(client.name, client.epoch, old, client.request.subscription())
        self.follow(then)

    @rule(which=WHICH, for_good=st.booleans(), then=FOLLOWS)
    @precondition(lambda self: self.live)
    def leave(self, which: int, for_good: bool, then: int) -> None:
        self.end(self.one_of_the_living(which), for_good)
        self.follow(then)

    def end(self, client: Client, for_good: bool) -> None:
        client.owned, client.ended = NOTHING, True
        del self.live[client.name]
        instance = client.request.instance_id
        self.state.leave(client.name, instance, for_good=for_good or instance is None)

    @rule(which=WHICH, then=FOLLOWS)
    @precondition(lambda self: self.state.rows)
    def session_ends(self, which: int, then: int) -> None:
        """Of whoever is in; a member has stopped by itself before that."""
        self.miss(list(self.state.rows)[which % len(self.state.rows)])
        self.follow(then)

    def miss(self, name: str) -> None:
        client = self.live.pop(name, None)
        if client is not None:
            client.owned = NOTHING
        self.state.expire(name)

    @rule()
    def all_beat(self) -> None:
        for client in self.live.values():
            client.take(self.coordinator.heartbeat(self.coordinator.said_by(client)))

    # Assignments are made, and topics change.

    @rule(slow=st.booleans())
    def assignor_is(self, slow: bool) -> None:
        """A slow one writes down what it has made when the next is due: the group has changed."""
        self.slow = slow

    @rule()
    @precondition(lambda self: self.under_way)
    def assignor_is_done(self) -> None:
        """Perhaps after much has happened, and after a later one."""
        self.install(self.under_way.pop())

    def install(self, work: Made | Review) -> None:
        if isinstance(work, Made):
            self.state.settle(work)
        else:
            self.late.append(work)
            self.state.review(work)

    @rule(topic=TOPICS, then=FOLLOWS)
    def topic_appears_or_grows(self, topic: str, then: int) -> None:
        self.topics_made += 1
        topic_id, size = self.topics.get(topic, (f"{topic.upper()}{self.topics_made}", 0))
        self.topics[topic] = (topic_id, min(size + 1, MOST_PARTITIONS))
        self.follow(then)

    @rule(topic=TOPICS, then=FOLLOWS)
    def topic_is_deleted(self, topic: str, then: int) -> None:
        self.topics.pop(topic, None)
        self.follow(then)

    def follow(self, beats: int) -> None:
        """What mostly follows: an assignment, and some heartbeats of everybody."""
        if beats:
            self.renew()
        if beats in (HELD_UP, OVERTAKEN):
            held_up = [
                step for client in self.live.values() for step in self.coordinator.hold_up(client)
            ]
            self.late += held_up
            if beats == OVERTAKEN:
                self.all_beat()
                for late in held_up:
                    self.state.apply(*late)
        for _ in range(beats - 1):
            self.all_beat()
        if beats == PEACE:
            self.peace()

    def renew(self) -> None:
        """What heartbeats see to: topics that changed are noticed, and an assignment is made."""
        if self.slow and self.under_way:
            self.install(self.under_way.pop())
        while (work := self.coordinator.next_work()) is not None:
            if self.slow:
                self.under_way.append(work)
                return
            self.install(work)

    # What must hold.

    @invariant()
    def nobody_shares(self) -> None:
        rows = self.state.rows
        held = [p for row in rows.values() for p in row.assigned | row.revoking]
        assert len(held) == len(set(held))
        assert self.state.owner == {
            p: member for member, row in rows.items() for p in row.assigned | row.revoking
        }
        used = [p for client in self.everybody for p in client.owned]
        assert len(used) == len(set(used))
        for client in self.live.values():
            row = rows[client.name]
            assert client.owned <= row.assigned | row.revoking

    @invariant()
    def an_instance_is_one_member(self) -> None:
        holders = list(self.state.instances.values())
        assert len(holders) == len(set(holders))
        static = {name for name, s in self.state.subscriptions.items() if s.instance_id is not None}
        assert set(holders) == static

    @rule()
    def peace(self) -> None:
        """With peace the group settles, soon: also around those of whom nobody hears."""
        for _ in range(10):
            self.renew()
            self.all_beat()
        for client in self.live.values():
            target = decode_partitions(self.state.targets.get(client.name, ""))
            busy = {p for p in target if self.state.owner.get(p) not in (None, client.name)}
            assert not self.live.keys() & {self.state.owner[p] for p in busy}
            assert client.owned == target - busy

    def teardown(self) -> None:
        """It is at rest once everybody is there, or was missed."""
        self.peace()
        for name in self.state.rows.keys() - self.live.keys():
            self.miss(name)
        self.peace()
        self.all_is_well()
        self.the_fenced_stay_fenced()

    def all_is_well(self) -> None:
        """The group is at rest, everything is owned, and by those who are to own it."""
        rows = self.state.rows
        state = group_state(self.state.epoch, self.state.target_epoch, rows.values())
        assert state == (GroupState.STABLE if rows else GroupState.EMPTY)
        assert rows.keys() == self.live.keys()
        wanted = {self.topics[name]: name for names in self.wanted().values() for name in names}
        assert {p for client in self.live.values() for p in client.owned} == {
            (topic_id, number) for topic_id, size in wanted for number in range(size)
        }
        for client in self.live.values():
            assert client.owned == decode_partitions(self.state.targets.get(client.name, ""))
        self.nobody_starves()

    def wanted(self) -> dict[str, set[str]]:
        """member -> the topics that it subscribes to, and that there are."""
        return {
            name: {
                topic
                for topic in subscribed_names(s, self.coordinator.catalog())
                if topic in self.topics
            }
            for name, s in self.state.subscriptions.items()
        }

    def nobody_starves(self) -> None:
        """No member has two more than another that could take one of them."""
        wanted = self.wanted()
        by_topic = preferred_assignor(self.state.subscriptions) == "range"
        for topic, (topic_id, _) in self.topics.items():
            counts = {
                name: sum(p[0] == topic_id or not by_topic for p in self.live[name].owned)
                for name, topics in wanted.items()
                if topic in topics
            }
            givers = [
                count
                for name, count in counts.items()
                if any(p[0] == topic_id for p in self.live[name].owned)
            ]
            assert max(givers, default=0) - min(counts.values(), default=0) <= 1

    @rule()
    def the_fenced_stay_fenced(self) -> None:
        """Whatever has happened since: also if another member has their id, or their instance."""
        for client in self.everybody:
            if client.epoch and not client.ended and self.live.get(client.name) is not client:
                with pytest.raises(REFUSALS):
                    self.coordinator.heartbeat(self.coordinator.said_by(client))


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

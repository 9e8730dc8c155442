"""A group that goes from one protocol to the other and back: any order of events, quickly.

Members of both protocols come, go and die; the classic ones take part in generations while the
group is a classic one, and are members like all others while it is not. No partition is ever read
by two members, who was fenced stays fenced, and with peace the group settles.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from partstream.errors import (
    FencedMemberEpoch,
    IllegalGeneration,
    RebalanceInProgress,
    UnknownMemberId,
)
from partstream.groups.classic import Group, Phase, Protocols
from partstream.groups.classic_checks import check_heartbeat, join_answer, sync_answer
from partstream.groups.classic_events import NONE, Effects, Event, Join, Leave, Limits, Sync
from partstream.groups.classic_machine import step
from partstream.groups.classic_protocol import assigned_partitions, read_wish, write_assignment
from partstream.groups.consumer import Catalog, plan, reconcile
from partstream.groups.migration import downgrade, upgrade
from partstream.groups.mixed import by_id, by_name, has_to_join
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import (
    NOTHING,
    MemberRow,
    Partitions,
    decode_partitions,
    encode_partitions,
)
from tests.engine.classic_members import subscription
from tests.properties.group_clients import Client, Coordinator
from tests.properties.group_model import Made, State

SIZE = 5
CATALOG = Catalog({"t": ("T", SIZE)})
LIMITS = Limits(initial_rebalance_delay_ms=0)
PROTOCOL = "range"


@dataclass
class Old:
    """A member that speaks the classic protocol, as it sees itself."""

    name: str
    state: str = "out"
    """`out`: it is to join; `joining`, `joined`, `syncing`: on its way; `rest`: it reads."""
    generation: int = -1
    owned: Partitions = NOTHING


class World(State):
    """A group of either type, and what the scripts do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.classic: Group | None = Group()
        """None while it is a consumer group."""
        self.protocols: dict[str, Protocols] = {}
        """Of the members that speak the classic protocol, whatever the type of the group."""
        self.assignments: dict[str, bytes] = {}

    def step(self, *events: Event) -> Group:
        assert self.classic is not None
        self.classic, _, effects = step(self.classic, events, 0, LIMITS)
        self._keep_told(effects)
        return self.classic

    def _keep_told(self, effects: Effects) -> None:
        self.protocols.update(effects.protocols)
        self.assignments.update(effects.assignments or {})
        members = self.classic.members if self.classic is not None else {}
        for told in (self.protocols, self.assignments):
            for gone in told.keys() - members.keys():
                del told[gone]

    def become_consumer(self) -> None:
        group = self.classic
        if group is None:
            return
        self.epoch = self.target_epoch = max(self.epoch, group.generation)
        if group.members:
            metadata = {name: dict(protocols) for name, protocols in self.protocols.items()}
            made = upgrade("g", group, metadata, self.assignments, CATALOG)
            for member in made.members:
                self._write(member.member_id, member.row)
                self.subscriptions[member.member_id] = member.subscription
                self.targets[member.member_id] = encode_partitions(member.row.assigned)
                for partition in member.row.assigned:
                    assert partition not in self.owner
                    self.owner[partition] = member.member_id
        self.classic = None
        self.assignments.clear()

    def become_classic(self) -> bool:
        """If only classic members are left."""
        if self.classic is not None or not self.rows or self.rows.keys() - self.protocols.keys():
            return False
        sessions = dict.fromkeys(self.rows, 1_000)
        made = downgrade(self.rows, self.subscriptions, self.protocols, sessions, CATALOG)
        assert made is not None
        self.classic, self.assignments = made.group, made.assignments
        self.classic.deadlines.clear()
        for told in (self.rows, self.subscriptions, self.targets, self.owner):
            told.clear()
        return True

    def remove(self, member: str) -> None:
        if member in self.rows:
            self.expire(member)
        self.protocols.pop(member, None)

    def is_consumer(self) -> bool:
        """With members: an empty group takes the type of whoever comes."""
        return self.classic is None and bool(self.rows)

    def assign(self) -> None:
        if self.epoch != self.target_epoch:
            made = plan(self.subscriptions, CATALOG, self.targets)
            self.settle(Made(self.epoch, self.target_epoch, made, CATALOG.fingerprint))

    def enter(self, member: str, metadata: bytes) -> MemberRow:
        """JoinGroup of a consumer group."""
        wish = read_wish(metadata)
        assert wish is not None
        if member in self.rows:
            self._write(member, self.rows[member])
        else:
            self.join(_joining(member, wish.topics), 1)
        self.protocols[member] = ((PROTOCOL, metadata),)
        self.assign()
        for _ in range(6):
            row = self.rows[member]
            made = reconcile(
                row,
                self.target(member),
                self.target_epoch,
                self.busy(member),
                by_id(wish.owned, CATALOG),
            )
            if made is None:
                break
            self.apply(member, row, self.target_epoch, made)
        return self.rows[member]

    def target(self, member: str) -> Partitions:
        return decode_partitions(self.targets.get(member, ""))

    def busy(self, member: str) -> set[tuple[str, int]]:
        return {p for p in self.target(member) if self.owner.get(p, member) != member}


def _joining(member: str, topics: tuple[str, ...]) -> HeartbeatRequest:
    return HeartbeatRequest("g", member, 0, subscribed_topics=topics, owned=())


NUMBERS = st.integers(0, 9)


class Migration(RuleBasedStateMachine):
    """Everything that may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.coordinator = Coordinator(self.world)
        self.coordinator.topics = {"t": ("T", SIZE)}
        self.old: dict[str, Old] = {}
        self.new: dict[str, Client] = {}
        self.fenced: list[Client] = []
        self.names = 0
        self.cooperative = False

    @initialize(cooperative=st.booleans(), moves=st.lists(st.integers(-3, 3), max_size=8))
    def begin(self, cooperative: bool, moves: list[int]) -> None:
        """Mostly in the middle of a rebalance: below 0 another one comes, else that one acts."""
        self.cooperative = cooperative
        if moves:
            self.old_comes(turns=3)
        for move in moves:
            if move < 0:
                self.old_comes(turns=1)
            else:
                self.old_acts(which=move)

    # Members of the classic protocol.

    @rule(turns=st.integers(1, 4))
    def all_olds_act(self, turns: int) -> None:
        for _ in range(turns):
            for member in list(self.old.values()):
                self.turn(member)

    @rule(turns=st.integers(0, 3))
    def old_comes(self, turns: int) -> None:
        self.names += 1
        member = Old(f"old{self.names}")
        self.old[member.name] = member
        for _ in range(turns):
            self.turn(member)

    @rule(which=NUMBERS)
    def old_acts(self, which: int) -> None:
        if self.old:
            self.turn(list(self.old.values())[which % len(self.old)])

    @rule(which=NUMBERS, told=st.booleans())
    def old_goes(self, which: int, told: bool) -> None:
        """It leaves, or its session ends after it has stopped by itself."""
        if not self.old:
            return
        member = self.old.pop(list(self.old)[which % len(self.old)])
        if self.world.classic is not None:
            if member.name in self.world.classic.members:
                self.world.step(Leave(((member.name, None),)))
        else:
            self.world.remove(member.name)
        if told:
            self.world.become_classic()

    def turn(self, member: Old) -> None:
        """The next thing that it does, as clients do it."""
        if member.state == "rest":
            self.beats(member)
        elif member.state == "out":
            self.joins(member)
        elif self.world.is_consumer():
            # Its request was waiting in a classic group.
            self.joins(member) if member.state == "joining" else self.syncs(member)
        else:
            self.waits(member)

    def beats(self, member: Old) -> None:
        world = self.world
        if world.is_consumer():
            row = world.rows.get(member.name)
            if row is None:
                code = UnknownMemberId.code
            elif row.epoch != member.generation:
                code = IllegalGeneration.code
            elif world.become_classic():
                code = RebalanceInProgress.code
            else:
                target, busy = world.target(member.name), world.busy(member.name)
                news = has_to_join(row, world.epoch, target, world.target_epoch, busy)
                code = RebalanceInProgress.code if news else NONE
        else:
            group = world.classic or Group()
            code = check_heartbeat(group, member.name, None, member.generation)
        if code in (UnknownMemberId.code, IllegalGeneration.code):
            assert code != UnknownMemberId.code, "nobody is fenced who lives"
            member.owned = NOTHING
        if code != NONE:
            self.joins(member)

    def joins(self, member: Old) -> None:
        if not self.cooperative:
            member.owned = NOTHING
        numbers = sorted(number for _, number in member.owned)
        metadata = subscription("t", version=1, owned=numbers)
        if self.world.is_consumer():
            row = self.world.enter(member.name, metadata)
            member.state, member.generation = "joined", row.epoch
            return
        if self.world.classic is None:
            self.world.classic = Group()
        known = member.name in self.world.classic.members
        self.world.step(
            Join(
                member.name if known else "",
                member.name,
                "consumer",
                ((PROTOCOL, metadata),),
                10_000,
                10_000,
                id_required=False,
            )
        )
        member.state = "joining"
        self.waits(member)

    def waits(self, member: Old) -> None:
        group = self.world.classic
        assert group is not None
        if member.state == "joining":
            code = join_answer(group, member.name, None)
            if code is not None:
                member.state = "joined" if code == NONE else "out"
                member.generation = group.generation
        elif member.state == "joined":
            self.syncs(member)
        else:
            self.synced(member, sync_answer(group, member.name, None, member.generation))

    def syncs(self, member: Old) -> None:
        world = self.world
        if world.is_consumer():
            row = world.rows[member.name]
            if row.epoch != member.generation or (world.epoch > row.epoch and not row.revoking):
                member.state = "out"
            else:
                self.takes(member, row.assigned)
            return
        group = world.classic
        assert group is not None
        leads = group.leader == member.name and group.phase == Phase.COMPLETING_REBALANCE
        given = self.assigned_by_leader(group) if leads else {}
        group = world.step(Sync(member.name, member.generation, assignments=given))
        member.state = "syncing"
        self.synced(member, sync_answer(group, member.name, None, member.generation))

    def assigned_by_leader(self, group: Group) -> dict[str, bytes]:
        """In turns; a cooperative one withholds what another member has not let go of."""
        names = list(group.members)
        owned = {}
        for name in names:
            wish = read_wish(dict(self.world.protocols[name])[PROTOCOL])
            assert wish is not None
            owned.update(dict.fromkeys(by_id(wish.owned, CATALOG), name))
        shares: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
        for number in range(SIZE):
            name = names[number % len(names)]
            if owned.get(("T", number), name) == name:
                shares[name].append(("T", number))
        return {name: write_assignment(1, by_name(of, CATALOG)) for name, of in shares.items()}

    def synced(self, member: Old, code: int | None) -> None:
        if code is None:
            return
        if code != NONE:
            member.state = "out"
            return
        told = assigned_partitions(self.world.assignments.get(member.name, b"")) or ()
        self.takes(member, by_id(told, CATALOG))

    def takes(self, member: Old, assigned: Partitions) -> None:
        lost = member.owned - assigned
        member.owned = assigned
        member.state = "out" if lost else "rest"

    # Members of the consumer protocol.

    @rule(beats=st.integers(0, 2))
    def new_comes(self, beats: int) -> None:
        self.names += 1
        name = f"new{self.names}"
        world = self.world
        world.become_consumer()
        request = _joining(name, ("t",))
        world.join(request, 1)
        self.new[name] = client = Client(request)
        client.take(world.rows[name])
        for _ in range(beats):
            world.assign()
            self.beat(client, lost=False)

    @rule(which=NUMBERS, lost=st.booleans())
    def new_acts(self, which: int, lost: bool) -> None:
        if self.new:
            self.world.assign()
            self.beat(list(self.new.values())[which % len(self.new)], lost=lost)

    def beat(self, client: Client, *, lost: bool) -> None:
        row = self.coordinator.heartbeat(self.coordinator.said_by(client))
        if not lost:
            client.take(row)

    @rule(which=NUMBERS, told=st.booleans())
    def new_goes(self, which: int, told: bool) -> None:
        if not self.new:
            return
        client = self.new.pop(list(self.new)[which % len(self.new)])
        client.owned = NOTHING
        self.fenced.append(client)
        self.world.remove(client.name)
        if told:
            self.world.become_classic()

    @rule(which=NUMBERS)
    def fenced_stay_fenced(self, which: int) -> None:
        if not self.fenced:
            return
        client = self.fenced[which % len(self.fenced)]
        try:
            self.coordinator.heartbeat(self.coordinator.said_by(client))
        except (FencedMemberEpoch, UnknownMemberId):
            return
        raise AssertionError("a fenced member is back")

    @rule()
    def assignment(self) -> None:
        self.world.assign()

    # What must hold.

    @invariant()
    def nobody_shares(self) -> None:
        rows = self.world.rows
        held = [p for row in rows.values() for p in row.assigned | row.revoking]
        assert len(held) == len(set(held))
        assert self.world.owner == {
            p: member for member, row in rows.items() for p in row.assigned | row.revoking
        }
        members: list[Old | Client] = [*self.old.values(), *self.new.values()]
        used = [p for member in members for p in member.owned]
        assert len(used) == len(set(used)), members
        if self.world.is_consumer():
            for member in members:
                if member.owned:
                    row = rows[member.name]
                    assert member.owned <= row.assigned | row.revoking

    def teardown(self) -> None:
        """With peace, the group settles: completely, and evenly."""
        for _ in range(12):
            for member in list(self.old.values()):
                self.turn(member)
                self.nobody_shares()
            for client in self.new.values():
                self.world.assign()
                self.beat(client, lost=False)
                self.nobody_shares()
        members: list[Old | Client] = [*self.old.values(), *self.new.values()]
        if not members:
            return
        assert all(member.state == "rest" for member in self.old.values())
        shares = [len(member.owned) for member in members]
        assert sum(shares) == SIZE
        assert max(shares) - min(shares) <= 1
        assert self.world.is_consumer() == bool(self.new)


TestMigration = Migration.TestCase
TestMigration.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

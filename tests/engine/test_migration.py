"""A group with members changes its protocol, and members of both share one (KIP-848)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from partstream.engine.groups import ConsumerGroups
from partstream.engine.groups.mixed_calls import MixedCalls
from partstream.errors import (
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    RebalanceInProgress,
    UnknownMemberId,
    UnreleasedInstanceId,
)
from partstream.groups.classic_events import Leave
from partstream.groups.classic_protocol import assigned_partitions
from partstream.groups.migration import Policy, downgrade
from partstream.groups.requests import HeartbeatRequest
from partstream.model import GroupListing, GroupState, OffsetAndMetadata
from tests.engine.classic_members import ClassicMember, assignment, subscription
from tests.engine.group_members import Member, Rig, rig
from tests.waiting import until

pytestmark = pytest.mark.every_server


class Consuming(ClassicMember):
    """A member of the classic protocol that does what its assignor's protocol asks for."""

    def __init__(self, groups: ConsumerGroups, *, cooperative: bool = False, **config: Any) -> None:
        super().__init__(groups, **config)
        self.cooperative = cooperative
        self.owned: tuple[int, ...] = ()
        self.at_rest = False

    async def turn(self) -> None:
        """A heartbeat, and all that it leads to."""
        code = await self.beat() if self.generation > 0 else RebalanceInProgress.code
        if code in (UnknownMemberId.code, IllegalGeneration.code):
            self.owned = ()
            self.id = "" if code == UnknownMemberId.code else self.id
        self.at_rest = code == 0
        if code != 0:
            await self.enter()

    async def enter(self) -> None:
        """Join and sync; an eager member lets go of everything before."""
        if not self.cooperative:
            self.owned = ()
        metadata = subscription("t", version=1, owned=self.owned)
        self.protocols = (("range", metadata),)
        joined = await self.join()
        if joined.error != 0:
            return
        ids = [member_id for member_id, _, _ in joined.members]
        spread = {
            member_id: assignment("t", *range(at, SIZE, len(ids)))
            for at, member_id in enumerate(ids)
        }
        synced = await self.sync(spread)
        if synced.error == 0:
            self.owned = tuple(n for _, n in assigned_partitions(synced.assignment) or ())


SIZE = 4


async def share(
    engine: Rig, classics: Sequence[Consuming], moderns: Sequence[Member], *sizes: int
) -> None:
    """Wait until the members own so many partitions each; in a consumer group, never does a
    partition have two owners."""
    everybody: list[Consuming | Member] = [*classics, *moderns]

    async def lives(member: Consuming | Member) -> None:
        while True:
            await (member.turn() if isinstance(member, Consuming) else member.beat())
            await asyncio.sleep(0.01)  # until its next heartbeat

    def shared() -> bool:
        held = [n for one in classics for n in one.owned]
        held += [n for one in moderns for _, n in one.owned]
        assert not moderns or len(held) == len(set(held)), held
        found = sorted(len(one.owned) for one in everybody)
        return found == sorted(sizes) and all(one.at_rest for one in classics)

    tasks = [asyncio.create_task(lives(member)) for member in everybody]
    try:
        await until(shared, every=0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("cooperative", [False, True])
async def test_members_are_switched_one_by_one_and_back(
    redis_url: str, namespace: str, cooperative: bool
) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as beside:
        topic = await engine.topics.create("t", SIZE)
        offsets = {(topic.id, 0): OffsetAndMetadata(7)}
        one = Consuming(engine.groups, cooperative=cooperative)
        two = Consuming(beside.groups, cooperative=cooperative)
        await share(engine, [one], [], 4)
        await share(engine, [one, two], [], 2, 2)
        await engine.groups.commit("g", offsets, member_id=one.id, member_epoch=one.generation)
        three = Member(beside.groups, "g")
        await share(engine, [one, two], [three], 2, 1, 1)
        described = await beside.groups.describe("g")
        assert described.type == "consumer"
        assert described.state == GroupState.STABLE
        assert sorted(one.type for one in described.members) == ["classic", "classic", "consumer"]
        assert await engine.groups.list() == [GroupListing("g", "consumer", GroupState.STABLE)]
        await one.leave()
        four = Member(engine.groups, "g")
        await share(engine, [two], [three, four], 2, 1, 1)
        await two.leave()
        await share(engine, [], [three, four], 2, 2)
        # And back.
        five = Consuming(beside.groups, cooperative=cooperative)
        await share(engine, [five], [three, four], 2, 1, 1)
        await three.leave()
        await share(engine, [five], [four], 2, 2)
        six = Consuming(engine.groups, cooperative=cooperative)
        await share(engine, [five, six], [four], 2, 1, 1)
        await four.leave()
        assert (await engine.groups.describe("g")).type == "classic"
        await share(engine, [five, six], [], 2, 2)
        assert {one.type for one in (await engine.groups.describe("g")).members} == {"classic"}
        assert await engine.groups.list() == [
            GroupListing("g", "classic", GroupState.STABLE, "consumer")
        ]
        assert await engine.groups.fetch_offsets("g") == offsets


async def test_members_that_wait_for_others_become_members_of_the_consumer_group(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as beside:
        await engine.topics.create("t", SIZE)
        one = Consuming(engine.groups, session_ms=60_000)
        await share(engine, [one], [], 4)
        two = ClassicMember(beside.groups)
        async with asyncio.TaskGroup() as tasks:
            joining = tasks.create_task(two.join())

            async def waits() -> bool:
                return len((await engine.groups.describe("g")).members) == 2

            await until(waits)
            three = Member(engine.groups, "g")
            await three.beat()
        joined = joining.result()
        assert (joined.error, joined.member_id) == (0, two.id)
        assert joined.members == ()
        synced = await two.sync()
        assert synced.error == 0
        assert assigned_partitions(synced.assignment) == ()


async def test_members_that_wait_for_their_assignment_join_again(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as beside:
        await engine.topics.create("t", SIZE)
        one, two = Consuming(engine.groups), ClassicMember(beside.groups)
        await one.enter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(two.join())

            async def told() -> bool:
                return await one.beat() == RebalanceInProgress.code

            await until(told)
            await one.join()
        follower = two if one.leads else one
        async with asyncio.TaskGroup() as tasks:
            syncing = tasks.create_task(follower.sync())
            await follower.beat()
            await Member(engine.groups, "g").beat()
        assert syncing.result().error == RebalanceInProgress.code


async def test_a_partition_is_kept_until_a_cooperative_member_has_let_go_of_it(
    redis_url: str, namespace: str
) -> None:
    """Also one that its assignor has withheld from it, and from everybody, just before."""
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", SIZE)
        one = ClassicMember(engine.groups)
        await one.join(protocols=(("range", subscription("t", version=1, owned=(0, 1, 2, 3))),))
        await one.sync({one.id: assignment("t", 0, 1)})
        two = Member(engine.groups, "g")
        await two.beat()
        assert two.owned == frozenset()
        assert await one.beat() == RebalanceInProgress.code
        keeps = (("range", subscription("t", version=1, owned=(0, 1, 2))),)
        joined = await one.join(protocols=keeps)
        assert joined.error == 0
        assert len(assigned_partitions((await one.sync()).assignment) or ()) == 2
        for _ in range(3):
            await two.beat()
            assert (topic.id, 2) not in two.owned
        await one.join(protocols=(("range", subscription("t", version=1, owned=(0, 1))),))
        await one.sync()
        await until(lambda: _owns(two, 2))


async def _owns(member: Member, count: int) -> bool:
    await member.beat()
    return len(member.owned) == count


async def test_only_the_generation_that_a_member_knows_commits(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", SIZE)
        one = Consuming(engine.groups)
        await share(engine, [one], [], 4)
        before = one.generation
        two = Member(engine.groups, "g")

        async def commit(generation: int, number: int, offset: int) -> None:
            await engine.groups.commit(
                "g",
                {(topic.id, number): OffsetAndMetadata(offset)},
                member_id=one.id,
                member_epoch=generation,
            )

        await two.beat()
        await commit(before, 0, 5)
        await share(engine, [one], [two], 2, 2)
        assert one.generation > before
        for wrong in (before, one.generation + 1, -1):
            with pytest.raises((IllegalGeneration, UnknownMemberId)):
                await commit(wrong, 0, 9)
        await commit(one.generation, one.owned[0], 6)
        (theirs,) = ({n for _, n in two.owned} - {0} or {0},)
        with pytest.raises(RebalanceInProgress):
            await commit(one.generation, min(theirs), 9)
        found = await engine.groups.fetch_offsets("g")
        assert {at.offset for at in found.values()} <= {5, 6}


async def test_a_static_member_keeps_its_place_over_the_switch_and_back(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        one = Consuming(engine.groups, instance_id="one")
        two = Consuming(engine.groups, instance_id="two")
        await share(engine, [one], [], 4)
        await share(engine, [one, two], [], 2, 2)
        had, generation = set(one.owned), two.generation
        anew = Member(engine.groups, "g", instance_id="one")
        await anew.beat()
        assert {n for _, n in anew.owned} == had
        assert await two.beat() == 0, "nobody else is disturbed"
        assert two.generation == generation
        assert await one.beat() == 82
        with pytest.raises(UnreleasedInstanceId):
            await Member(engine.groups, "g", instance_id="one").beat()
        back = Consuming(engine.groups, instance_id="one")
        await back.enter()
        assert set(back.owned) == had
        with pytest.raises(Exception, match="one"):
            await anew.beat()
        # Nobody of the other kind is left.
        assert await two.beat() == RebalanceInProgress.code
        assert (await engine.groups.describe("g")).type == "classic"
        await share(engine, [back, two], [], 2, 2)


async def test_a_member_that_does_not_do_what_it_is_to_is_missed(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        late = Consuming(engine.groups, rebalance_ms=300, session_ms=20_000)
        await share(engine, [late], [], 4)
        two = Member(engine.groups, "g")
        await two.beat()
        assert await late.beat() == RebalanceInProgress.code
        # It lives, but does not join.
        await until(lambda: _owns(two, 4))
        assert await late.beat() == UnknownMemberId.code
        # It joins, but does not sync.
        late.id = ""
        await late.join()
        await until(lambda: _gone(engine, late))
        # It is silent.
        quiet = Consuming(engine.groups, session_ms=300)
        await share(engine, [quiet], [two], 2, 2)
        await until(lambda: _owns(two, 4))
        assert await quiet.beat() == UnknownMemberId.code


async def _gone(engine: Rig, member: ClassicMember) -> bool:
    return member.id not in {one.member_id for one in (await engine.groups.describe("g")).members}


async def test_a_member_of_the_consumer_protocol_that_dies_leaves_a_classic_group(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        one = Consuming(engine.groups)
        two = Member(engine.groups, "g", session_ms=600)
        await share(engine, [one], [two], 2, 2)

        async def classic() -> bool:
            await one.turn()
            return (await engine.groups.describe("g")).type == "classic"

        await until(classic)
        await share(engine, [one], [], 4)
        # It lives after all, and joins again.
        with pytest.raises(UnknownMemberId):
            await two.beat()
        two.lose_everything()
        await share(engine, [one], [two], 2, 2)


async def test_a_policy_says_which_ways_groups_go(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)

        def groups(policy: Policy) -> ConsumerGroups:
            return ConsumerGroups(engine.store, engine.topics, migration=policy)

        async def ends(policy: Policy) -> str:
            """Of a classic group that a member of the other protocol has joined and left."""
            doing = groups(policy)
            try:
                one = Consuming(engine.groups, group_id=f"g-{policy}")
                await share(engine, [one], [], 4)
                two = Member(doing, one.group_id)
                if not policy.upgrades:
                    with pytest.raises(InconsistentGroupProtocol, match="upgrade is disabled"):
                        await two.beat()
                    two = Member(engine.groups, one.group_id)
                await two.beat()
                two.groups = doing
                await two.leave()
                one.groups = doing
                await one.beat()
                return (await doing.describe(one.group_id)).type
            finally:
                await doing.close()

        assert [await ends(policy) for policy in Policy] == [
            "consumer",
            "classic",
            "consumer",
            "classic",
        ]


async def test_a_consumer_group_of_classic_members_alone_goes_on(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        doing = ConsumerGroups(engine.store, engine.topics, migration=Policy.UPGRADE)
        try:
            two = Member(doing, "g")
            await two.beat()
            one, three = Consuming(doing), Consuming(doing)
            await share(engine, [one, three], [two], 1, 1, 2)
            await two.leave()
            await share(engine, [one, three], [], 2, 2)
            assert (await doing.describe("g")).type == "consumer"
        finally:
            await doing.close()


async def test_a_group_that_is_full_stays_what_it_is(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        one, two = Consuming(engine.groups), Consuming(engine.groups)
        await share(engine, [one], [], 4)
        await share(engine, [one, two], [], 2, 2)
        engine.groups.max_size = 1
        with pytest.raises(InconsistentGroupProtocol, match="exceeds"):
            await Member(engine.groups, "g").beat()
        engine.groups.max_size = 2
        with pytest.raises(GroupMaxSizeReached):
            await Member(engine.groups, "g").beat()
        assert (await engine.groups.describe("g")).type == "classic"
        assert await one.beat() == 0
        engine.groups.max_size = 3
        await Member(engine.groups, "g").beat()
        assert (await ClassicMember(engine.groups).join()).error == GroupMaxSizeReached.code


async def test_a_group_is_converted_once_whoever_does_it(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as beside:
        await engine.topics.create("t", SIZE)
        one = Consuming(engine.groups)
        await share(engine, [one], [], 4)
        two, three = Member(engine.groups, "g"), Member(beside.groups, "g")
        await asyncio.gather(two.beat(), three.beat())
        await share(engine, [one], [two, three], 2, 1, 1)
        await asyncio.gather(two.leave(), three.leave())
        await asyncio.gather(one.beat(), one.beat())
        assert (await engine.groups.describe("g")).type == "classic"
        await share(engine, [one], [], 4)


async def test_what_has_changed_since_it_was_read_is_not_converted(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        one, other = Consuming(engine.groups), Consuming(engine.groups)
        await share(engine, [one], [], 4)
        read = await engine.groups.classic.upgrade("g", Policy.BIDIRECTIONAL, 0)
        await share(engine, [one, other], [], 2, 2)
        request = HeartbeatRequest("g", "m", 0, None, None, 1_000, subscribed_topics=("t",))
        with pytest.raises(InconsistentGroupProtocol):
            await engine.groups.calls.join(request, 1, 1_000, 0, read)
        assert (await engine.groups.describe("g")).type == "classic"
        assert await one.beat() == 0

        # And back.
        await other.leave()
        two = Member(engine.groups, "g")
        await share(engine, [one], [two], 2, 2)
        calls = MixedCalls(engine.groups.calls)
        before = await engine.groups.calls.describe("g")
        made = downgrade(
            before.rows,
            before.subscriptions,
            dict.fromkeys(before.rows, one.protocols),
            dict.fromkeys(before.rows, 1_000),
            await engine.groups.assigner.read_catalog(),
        )
        assert made is not None
        await engine.groups.heartbeat("g", two.id, two.epoch, subscribed_topics=["t", "u"])
        assert not await calls.downgrade("g", before, made)
        await two.leave()
        assert not await calls.downgrade("g", before, made)
        assert await one.beat() == RebalanceInProgress.code


async def test_members_without_an_id_leave_by_their_instance(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", SIZE)
        one = Member(engine.groups, "g", instance_id="one")
        two = Consuming(engine.groups)
        await share(engine, [two], [one], 2, 2)
        left = Leave((("", "one"), ("", "nobody"), (two.id, None), (two.id, None)))
        assert await engine.groups.classic.leave("g", left) == (0, 25, 0, 25)
        assert (await engine.groups.describe("g")).members == ()

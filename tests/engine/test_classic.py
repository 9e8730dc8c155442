"""Classic groups on real servers: the scripts, and processes that share a group."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from partstream.engine.groups.classic_calls import ClassicCalls, Loaded
from partstream.errors import (
    FencedInstanceId,
    GroupIdNotFound,
    GroupSubscribedToTopic,
    IllegalGeneration,
    InconsistentGroupProtocol,
    InvalidSessionTimeout,
    NonEmptyGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from partstream.groups.classic import Phase
from partstream.groups.classic_events import Leave, Limits
from partstream.groups.classic_machine import step
from partstream.model import GroupState, OffsetAndMetadata, TopicPartition
from tests.engine.classic_members import ClassicMember, assignment, subscription
from tests.engine.group_members import Member, Rig, rig
from tests.waiting import until

pytestmark = pytest.mark.every_server


async def rebalance(*members: ClassicMember) -> None:
    """All join again, and sync."""
    answers = await asyncio.gather(*(member.join() for member in members))
    assert [answer.error for answer in answers] == [0] * len(members), answers
    assert len({answer.generation for answer in answers}) == 1
    assert sum(member.leads for member in members) == 1
    synced = await asyncio.gather(*(member.sync() for member in members))
    assert [one.assignment for one in synced] == [member.id.encode() for member in members]


async def end_soon(engine: Rig, member: ClassicMember) -> None:
    """Let a member's session end in a moment, as if it had been silent."""
    key = engine.store.keys.group(member.group_id).deadlines
    soon = await engine.topics.now_ms() + 100
    await engine.store.execute("ZADD", key, "XX", soon, f"s:{member.id}", key=key)


async def test_members_of_two_processes_share_a_group(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as here, rig(redis_url, namespace) as there:
        one, two = ClassicMember(here.groups), ClassicMember(there.groups)
        assert (await one.settle()).assignment == one.id.encode()
        joining = asyncio.create_task(two.join())
        await until(one.beat)
        assert await one.beat() == RebalanceInProgress.code
        assert not joining.done()
        assert (await one.join()).error == 0
        assert (await joining).error == 0
        assert (one.generation, two.generation) == (2, 2)
        assert one.leads
        assert {member_id for member_id, _, _ in one.joined.members} == {one.id, two.id}
        assert two.joined.members == ()
        syncing = asyncio.create_task(two.sync())
        await one.sync()
        assert (await syncing).assignment == two.id.encode()
        # Any process serves any member.
        one.groups, two.groups = two.groups, one.groups
        assert (await one.beat(), await two.beat()) == (0, 0)
        assert await two.leave() == 0
        assert await one.beat() == RebalanceInProgress.code
        await rebalance(one)
        seen = await there.groups.describe("g")
        assert (seen.type, seen.state, seen.epoch) == ("classic", GroupState.STABLE, one.generation)
        assert [member.member_id for member in seen.members] == [one.id]


async def test_a_storm_of_joins_in_two_processes_settles(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as here, rig(redis_url, namespace) as there:
        members = [
            ClassicMember([here.groups, there.groups][number % 2], "storm") for number in range(30)
        ]

        def settled() -> bool:
            sizes = [len(member.joined.members) for member in members if member.leads]
            return sizes == [len(members)] and len({member.generation for member in members}) == 1

        await asyncio.gather(*(member.live(settled) for member in members))
        group = await here.groups.classic.look("storm")
        assert sorted(group.members) == sorted(member.id for member in members)
        assert [member.assignment for member in members] == [m.id.encode() for m in members]


async def test_silence_ends_a_session_also_when_nobody_was_there_to_see_it(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        gone, alive = ClassicMember(engine.groups), ClassicMember(engine.groups)
        await gone.settle()
        joining = asyncio.create_task(alive.join())
        await until(gone.beat)
        await asyncio.gather(joining, gone.join())
        await asyncio.gather(alive.sync(), gone.sync())
        assert alive.generation == 2
        await end_soon(engine, gone)
        # One heartbeat, and this process watches the group by itself.
        assert await alive.beat() == 0
        await until(alive.beat)
        await rebalance(alive)
        assert await gone.beat() == UnknownMemberId.code
    # Nobody serves the group any more. Whoever looks next finds out.
    async with rig(redis_url, namespace) as engine:
        member = ClassicMember(engine.groups, "other")
        await member.settle()
        await end_soon(engine, member)
        await engine.groups.classic.close()

        async def empty() -> bool:
            listed = {group.group_id: group.state for group in await engine.groups.list()}
            return listed["other"] == GroupState.EMPTY

        await until(empty)
        await engine.groups.delete("other")
        with pytest.raises(GroupIdNotFound):
            await engine.groups.describe("other")


async def test_a_parked_member_is_woken_by_a_process_that_is_not_its_own(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as here, rig(redis_url, namespace) as there:
        one = ClassicMember(here.groups, rebalance_ms=30_000)
        two = ClassicMember(there.groups)
        await one.settle()
        await here.groups.classic.close()  # its process dies, and it falls silent
        await end_soon(here, one)
        # Nobody but the process of the other one watches its session now.
        joined = await asyncio.wait_for(two.join(), 20)
        assert two.leads
        assert [member_id for member_id, _, _ in joined.members] == [two.id]


async def test_commits_are_those_of_members_of_this_generation(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 1)
        offsets = {(topic.id, 0): OffsetAndMetadata(7, "m")}
        await engine.groups.commit("g", {(topic.id, 0): OffsetAndMetadata(3)})
        one, static = ClassicMember(engine.groups), ClassicMember(engine.groups, instance_id="s")
        await one.settle()

        async def commit(member: ClassicMember, **changes: object) -> None:
            given = {"member_id": member.id, "member_epoch": member.generation, **changes}
            await engine.groups.commit("g", offsets, **given)  # type: ignore[arg-type]  # as named

        assert await engine.groups.fetch_offsets("g") == {(topic.id, 0): OffsetAndMetadata(3)}
        await commit(one)
        assert await engine.groups.fetch_offsets("g") == offsets
        with pytest.raises(IllegalGeneration):
            await commit(one, member_epoch=9)
        with pytest.raises(UnknownMemberId):
            await commit(one, member_id="x")
        for outsider in ({"member_id": ""}, {"member_id": one.id, "member_epoch": -1}):
            with pytest.raises((UnknownMemberId, IllegalGeneration)):
                await commit(one, **{"member_epoch": -1, **outsider})
        with pytest.raises(NonEmptyGroup):
            await engine.groups.reset("g", offsets)

        joining = asyncio.create_task(static.join())
        await until(one.beat)
        await commit(one)  # before it joins again
        await asyncio.gather(one.join(), joining)
        with pytest.raises(RebalanceInProgress):
            await commit(one)
        await asyncio.gather(one.sync(), static.sync())
        await commit(static, instance_id="s")
        with pytest.raises(UnknownMemberId):
            await commit(static, instance_id="other")
        back = ClassicMember(engine.groups, instance_id="s")
        await back.join()
        assert back.generation == static.generation
        with pytest.raises(FencedInstanceId):
            await commit(static, instance_id="s")
        await commit(back, instance_id="s")

        await engine.groups.classic.leave("g", Leave(((one.id, None), ("", "s"))))
        await engine.groups.reset("g", {(topic.id, 0): OffsetAndMetadata(1)})
        with pytest.raises(UnknownMemberId):
            await commit(one)


async def test_a_static_member_comes_back_to_what_it_had(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        first = ClassicMember(engine.groups, instance_id="s")
        had = (await first.settle()).assignment
        parked = ClassicMember(engine.groups, instance_id="s")
        joined = await parked.join()
        assert (joined.generation, joined.skip_assignment) == (first.generation, True)
        assert (await parked.sync({})).assignment == had
        assert await first.beat() == FencedInstanceId.code
        # The same while somebody waits under the old id.
        other = ClassicMember(engine.groups, rebalance_ms=30_000)
        joining = asyncio.create_task(other.join())
        await until(parked.beat)
        waiting = asyncio.create_task(parked.join())
        await waiting
        await joining
        syncing = asyncio.create_task(other.sync())
        last = ClassicMember(engine.groups, instance_id="s")
        again = asyncio.create_task(last.join())
        assert (await syncing).error == RebalanceInProgress.code
        assert (await other.join()).error == 0
        assert (await again).error == 0
        assert await parked.beat() == FencedInstanceId.code


async def test_groups_of_other_protocols_are_groups(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 2)
        worker = ClassicMember(
            engine.groups, "c", protocol_type="connect", protocols=[("compatible", b"\0\xff")]
        )
        await worker.settle()
        assert worker.joined.members == ((worker.id, None, b"\0\xff"),)
        consumer = ClassicMember(engine.groups, "g")
        await consumer.join()
        await consumer.sync({consumer.id: assignment("t", 1, 0)})
        assert {
            group.group_id: (group.type, group.state, group.protocol_type)
            for group in await engine.groups.list()
        } == {
            "c": ("classic", GroupState.STABLE, "connect"),
            "g": ("classic", GroupState.STABLE, "consumer"),
        }
        assert (await engine.groups.describe("c")).members[0].subscribed_topics == ()
        (member,) = (await engine.groups.describe("g")).members
        assert member.subscribed_topics == ("t",)
        assert member.assignment == (TopicPartition("t", 0), TopicPartition("t", 1))
        with pytest.raises(NonEmptyGroup):
            await engine.groups.delete_offsets("c", [(topic.id, 0)])
        with pytest.raises(GroupSubscribedToTopic):
            await engine.groups.delete_offsets("g", [(topic.id, 0)])
        await engine.groups.delete_offsets("g", [("elsewhere", 0)])
        with pytest.raises(NonEmptyGroup):
            await engine.groups.delete("g")


async def test_an_empty_group_takes_the_type_of_whoever_comes(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 1)
        offsets = {(topic.id, 0): OffsetAndMetadata(7)}
        classic = ClassicMember(engine.groups)
        await classic.settle()
        await engine.groups.commit(
            "g", offsets, member_id=classic.id, member_epoch=classic.generation
        )
        await classic.leave()
        modern = Member(engine.groups, "g")
        await modern.beat()
        assert modern.epoch > classic.generation
        assert (await engine.groups.describe("g")).type == "consumer"
        assert await classic.beat() == UnknownMemberId.code
        assert (await classic.sync()).error == UnknownMemberId.code
        assert await classic.leave() == UnknownMemberId.code
        await modern.leave()
        await ClassicMember(engine.groups).settle()
        assert (await engine.groups.describe("g")).type == "classic"
        assert await engine.groups.fetch_offsets("g") == offsets


async def test_a_session_timeout_has_limits(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        for session_ms in (0, 1_800_001):
            member = ClassicMember(engine.groups, session_ms=session_ms)
            assert (await member.join()).error == InvalidSessionTimeout.code
        assert await engine.groups.list() == []


async def test_who_gives_up_waiting_is_forgotten_but_stays_a_member(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        one = ClassicMember(engine.groups)
        two = ClassicMember(engine.groups, protocols=[("range", subscription("t", "u"))])
        await one.settle()
        joining = asyncio.create_task(two.join())
        await until(one.beat)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await one.join()
        assert len(one.joined.members) == 2
        assert (await two.join()).generation == one.generation
        group = await engine.groups.classic.look("g")
        assert group.phase == Phase.COMPLETING_REBALANCE


async def test_nobody_is_missed_because_another_server_took_over(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        member = ClassicMember(engine.groups)
        await member.settle()
        keys = engine.store.keys.group("g")
        await engine.store.execute("ZADD", keys.deadlines, 1, f"s:{member.id}", key=keys.deadlines)
        await engine.store.execute("HSET", keys.group, "token", "of-the-old", key=keys.group)
        group = await engine.groups.classic.look("g")
        assert list(group.members) == [member.id]
        assert await member.beat() == 0
        # It is known now: who is late from here on is missed.
        await engine.store.execute("ZADD", keys.deadlines, 1, f"s:{member.id}", key=keys.deadlines)
        assert (await engine.groups.classic.look("g")).phase == Phase.EMPTY


async def test_offsets_expire_though_nobody_saw_the_members_go(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 1)
        member = ClassicMember(engine.groups)
        await member.settle()
        offsets = {(topic.id, 0): OffsetAndMetadata(7)}
        await engine.groups.commit(
            "g", offsets, member_id=member.id, member_epoch=member.generation
        )
        assert await engine.groups.expire_offsets(0) == 0
        await end_soon(engine, member)
        await engine.groups.classic.close()

        async def expired() -> bool:
            return await engine.groups.expire_offsets(0) == 1

        await until(expired)
        assert await engine.groups.list() == []


async def test_a_heartbeat_of_the_other_protocol_does_a_classic_group_no_harm(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        modern = Member(engine.groups, "g")
        await modern.beat()
        await modern.leave()  # leaves an assignment to be made
        classic = ClassicMember(engine.groups)
        await classic.settle()
        for epoch in (1, -1, classic.generation):
            with pytest.raises(UnknownMemberId):
                await engine.groups.heartbeat("g", classic.id, epoch, owned=())
        with pytest.raises(UnknownMemberId):
            await engine.groups.calls.look("g", classic.id)
        assert await engine.groups.calls.claim("g", "somebody") is None
        assert await classic.beat() == 0
        assert (await engine.groups.describe("g")).state == GroupState.STABLE


async def test_a_step_is_taken_only_from_what_the_group_is(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        calls = ClassicCalls(engine.groups.calls)
        member = ClassicMember(engine.groups)

        async def take(before: Loaded, *, after_ms: int = 0) -> bytes | None:
            events = [] if after_ms else [member.request(id_required=False)]
            group, _, effects = step(before.group, events, before.now + after_ms, Limits())
            return await calls.step("g", before, group, effects, ring=True)

        absent = await calls.load("g")
        assert await take(absent) is not None
        assert await take(absent) is None  # it is there by now
        first = await calls.load("g")
        assert list(first.group.members) == list((await calls.load("g")).group.members)
        assert await take(first) is not None
        assert await take(first) is None
        # A session that was taken for ended, and was extended meanwhile, has not ended.
        later = await calls.load("g")
        assert later.group.phase == Phase.PREPARING_REBALANCE
        assert await take(later, after_ms=400_000) is None
        assert (await calls.load("g")).version == later.version


async def test_a_group_is_free_also_if_nobody_has_noticed_yet_that_its_members_are_gone(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        classic, modern = ClassicMember(engine.groups), Member(engine.groups, "g")
        await classic.settle()
        await end_soon(engine, classic)
        await engine.groups.classic.close()

        async def joins() -> bool:
            with suppress(InconsistentGroupProtocol):
                await modern.beat()
            return modern.epoch > 0

        await until(joins)
        assert (await engine.groups.describe("g")).type == "consumer"

"""The coordinator on a real server: members that come, go, fall silent and disagree."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from partstream.engine.groups.answers import Claim, View
from partstream.engine.groups.assigner import Assigner
from partstream.errors import (
    FencedMemberEpoch,
    GroupIdNotFound,
    GroupMaxSizeReached,
    InvalidRegularExpression,
    NonEmptyGroup,
    UnknownMemberId,
    UnsupportedAssignor,
)
from partstream.groups.consumer import Plan, Step
from partstream.model import GroupListing, GroupState, OffsetAndMetadata, TopicPartition
from tests.engine.group_members import Member, rig, settle
from tests.waiting import until

pytestmark = pytest.mark.every_server


async def test_a_single_member_owns_everything_with_its_first_heartbeat(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 4)
        member = Member(engine.groups, "g")
        answer = await member.beat()
        assert answer.assignment == frozenset((topic.id, n) for n in range(4))
        again = await member.beat()
        assert (again.assignment, again.member_epoch) == (None, answer.member_epoch)
        assert again.heartbeat_interval_ms == 5_000


async def test_another_epoch_alone_is_no_news_of_partitions(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        await engine.topics.create("u", 1)
        member, other = Member(engine.groups, "g"), Member(engine.groups, "g", ["u"])
        await settle(member)
        epoch, version = member.epoch, member.version
        await other.beat()
        moved = await member.beat()
        assert moved.member_epoch > epoch
        assert moved.assignment is None
        # Its answer was lost: then it is told all of it.
        again = {**member.arguments(), "member_epoch": epoch, "seen": version}
        assert (await engine.groups.heartbeat(**again)).assignment == member.owned
        # A client that is not sure what was heard of it says everything, and hears everything.
        full = await engine.groups.heartbeat(
            **member.arguments(), subscribed_topics=["t"], rebalance_timeout_ms=60_000
        )
        assert full.assignment == member.owned


async def test_a_partition_moves_only_after_its_owner_let_go(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        old, new = Member(engine.groups, "g"), Member(engine.groups, "g")
        await old.beat()
        all_of_it = old.owned
        assert (await new.beat()).assignment == frozenset()

        told = await engine.groups.heartbeat(**{**old.arguments(), "owned": all_of_it})
        assert told.assignment is not None
        assert len(told.assignment) == 2
        assert told.member_epoch == old.epoch  # not before it has let go
        # It has heard, but still owns everything; and it does not say.
        for owned in (all_of_it, None):
            await engine.groups.heartbeat(
                "g", old.id, told.member_epoch, owned=owned, seen=told.version
            )
            assert (await new.beat()).assignment in (None, frozenset())
        old.take(told)
        await old.beat()
        await new.beat()
        assert new.owned == all_of_it - old.owned
        await settle(old, new)


async def test_a_late_heartbeat_cannot_acknowledge_what_it_had_not_heard_of(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        old, new = Member(engine.groups, "g"), Member(engine.groups, "g")
        await old.beat()
        late = {**old.arguments(), "owned": frozenset()}  # sent before it owned anything
        await new.beat()
        await engine.groups.heartbeat(**{**old.arguments()})  # tells it to let go; reply lost
        await engine.groups.heartbeat(**late)
        await new.beat()
        assert new.owned == frozenset()
        await settle(old, new)
        assert len(new.owned) == len(old.owned) == 1


async def test_a_step_is_taken_only_from_where_it_was_computed(
    redis_url: str, namespace: str
) -> None:
    """Two heartbeats of one member at once: the second to write finds that the first has."""
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 2)
        calls = engine.groups.calls
        one, two = Member(engine.groups, "g"), Member(engine.groups, "g")
        await settle(one, two)
        mine, yours = min(one.owned), min(two.owned)
        assert {mine[0], yours[0]} == {topic.id}

        def step(view: View, **changes: Any) -> Step:
            row = replace(view.row, assigned=frozenset({mine, yours}))
            return replace(Step(row), **changes)

        view = await calls.look("g", one.id)
        # Somebody else owns it.
        after = await calls.apply("g", one.id, view, step(view, acquire=frozenset({yours})))
        assert after.row == view.row
        # The row is not the one that was read.
        stale = replace(view, raw=view.raw.replace(b"|S|", b"|W|"))
        assert (await calls.apply("g", one.id, stale, step(view))).row == view.row
        # The target is not the one that was read.
        stale = replace(view, target_epoch=view.target_epoch - 1)
        assert (await calls.apply("g", one.id, stale, step(view))).row == view.row
        # Nor does a second target computed from the same one replace the first.
        claim = Claim(view.epoch + 1, view.target_epoch - 1, {}, {})
        plan = Plan("uniform", {one.id: f"{topic.id}:0,1"}, "")
        assert not await calls.settle("g", claim, plan, "")
        assert (await calls.look("g", one.id)).target == one.owned


async def test_lost_answers_fence_nobody(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        member = Member(engine.groups, "g")
        await member.beat()
        before = member.arguments()
        for _ in range(3):
            guest = Member(engine.groups, "g", ["nothing"])
            await guest.beat()  # a new epoch, whose answers never reach the member
            await engine.groups.heartbeat(**before)
            await engine.groups.heartbeat(**before)
            await guest.leave()
        await member.beat()
        await settle(member)
        assert len(member.owned) == 4


async def test_the_same_join_twice_is_one(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        member = Member(engine.groups, "g")
        await member.beat()
        again = await engine.groups.heartbeat(
            "g", member.id, 0, **member.join_fields, incarnation=member.incarnation
        )
        assert (again.member_epoch, again.version) == (member.epoch, member.version)
        assert again.assignment == member.owned
        member.lose_everything()
        await member.beat()
        with pytest.raises(FencedMemberEpoch, match=member.id):
            await engine.groups.heartbeat("g", member.id, 0, **member.join_fields, incarnation=1)
        assert (await member.beat()).assignment is None


async def test_a_member_whose_target_comes_after_its_join_takes_it(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The assignment took longer than a join waits for it; somebody else made it."""

    async def assign(self: Assigner, group_id: str, *, within: float) -> None:
        return

    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        old, new = Member(engine.groups, "g"), Member(engine.groups, "g")
        await old.beat()
        with monkeypatch.context() as patch:
            patch.setattr(Assigner, "assign", assign)
            await new.beat()
        await settle(old)
        await settle(old, new)
        assert (len(old.owned), len(new.owned)) == (2, 2)


async def test_a_member_that_joins_anew_has_lost_what_it_had(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        member = Member(engine.groups, "g")
        await member.beat()
        old_epoch = member.epoch
        member.lose_everything()
        await member.beat()
        assert member.epoch > old_epoch
        assert len(member.owned) == 4
        with pytest.raises(FencedMemberEpoch):
            await engine.groups.heartbeat("g", member.id, old_epoch + 100)


async def test_whoever_falls_silent_is_missed_and_told_so(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        silent, other = Member(engine.groups, "g", session_ms=300), Member(engine.groups, "g")
        await settle(silent, other)

        async def heir_has_all() -> bool:
            await other.beat()
            return len(other.owned) == 4

        answer = await other.beat()
        assert answer.heartbeat_interval_ms <= 350  # it comes when the other is due

        await until(heir_has_all, within=5)
        with pytest.raises(UnknownMemberId, match=silent.id):
            await silent.beat()
        silent.lose_everything()
        silent.session_ms = 10_000
        await settle(silent, other)
        assert len(silent.owned) == len(other.owned) == 2


async def test_whoever_does_not_let_go_in_time_is_removed(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        stuck = Member(engine.groups, "g", rebalance_timeout_ms=300)
        await stuck.beat()
        new = Member(engine.groups, "g")
        await new.beat()
        stubborn = {**stuck.arguments(), "owned": stuck.owned}

        async def new_has_all() -> bool:
            try:
                await engine.groups.heartbeat(**stubborn)
            except UnknownMemberId:
                await new.beat()
            return len(new.owned) == 2

        await until(new_has_all, within=5)


async def test_leaving_hands_over_at_once_and_rings(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        leaver, heir = Member(engine.groups, "g"), Member(engine.groups, "g")
        await settle(leaver, heir)
        rung = asyncio.Event()
        channel = engine.groups.bell_channel("g", heir.id)
        watch = await engine.store.bells.watch(channel, rung.set)
        rung.clear()
        await leaver.leave()
        await asyncio.wait_for(rung.wait(), 5)
        watch.cancel()
        await settle(heir)
        assert len(heir.owned) == 4
        with pytest.raises(UnknownMemberId):
            await leaver.leave()


async def test_a_waiting_member_is_rung_when_its_partition_is_free(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        old, new = Member(engine.groups, "g"), Member(engine.groups, "g")
        await old.beat()
        await new.beat()
        rung = asyncio.Event()
        watch = await engine.store.bells.watch(engine.groups.bell_channel("g", new.id), rung.set)
        rung.clear()
        await old.beat()
        await old.beat()
        await asyncio.wait_for(rung.wait(), 5)
        watch.cancel()
        await new.beat()
        assert len(new.owned) == 1


async def test_members_of_several_processes_agree(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as one, rig(redis_url, namespace) as two:
        await one.topics.create("t", 12)
        members = [Member(engine.groups, "g") for engine in (one, two) * 3]
        await asyncio.gather(*(member.beat() for member in members))
        await settle(*members)
        assert [len(member.owned) for member in members] == [2] * 6
        assert len(frozenset().union(*(member.owned for member in members))) == 12


async def test_topics_that_grow_come_and_go(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as other:
        await engine.topics.create("t-1", 2)
        names = Member(engine.groups, "g", ["t-1", "t-2"])
        regex = Member(engine.groups, "h", subscribed_regex="t-.*")
        await settle(names, regex)
        assert len(names.owned) == len(regex.owned) == 2

        async def both_own(count: int) -> bool:
            await names.beat()
            await regex.beat()
            return len(names.owned) == len(regex.owned) == count

        await other.topics.grow("t-1", 3)
        await until(lambda: both_own(3))
        await other.topics.create("t-2", 2)
        await until(lambda: both_own(5))
        await other.topics.delete("t-1")
        await until(lambda: both_own(2))
        again = await other.topics.create("t-1", 1)
        await until(lambda: both_own(3))
        assert (again.id, 0) in names.owned


async def test_a_topic_that_nobody_wants_disturbs_nobody(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        epoch = member.epoch
        await engine.topics.create("other", 1)
        await settle(member)
        await settle(member)
        assert member.epoch == epoch


async def test_a_subscription_may_change(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        topic = await engine.topics.create("t", 2)
        other = await engine.topics.create("u", 1)
        member = Member(engine.groups, "g")
        await settle(member)
        assert {topic_id for topic_id, _ in member.owned} == {topic.id}
        answer = await engine.groups.heartbeat(**member.arguments(), subscribed_topics=["u"])
        member.take(answer)
        await settle(member)
        assert member.owned == {(other.id, 0)}
        seen = await engine.groups.describe("g")
        assert seen.members[0].subscribed_topics == ("u",)
        with pytest.raises(InvalidRegularExpression):
            await engine.groups.heartbeat(**member.arguments(), subscribed_regex="(")
        with pytest.raises(UnsupportedAssignor):
            await engine.groups.heartbeat(**member.arguments(), assignor="best")


async def test_range_is_a_choice(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        for name in ("t", "u"):
            await engine.topics.create(name, 4)
        members = [Member(engine.groups, "g", ["t", "u"], assignor="range") for _ in range(2)]
        await settle(*members)
        seen = await engine.groups.describe("g")
        assert seen.assignor == "range"
        for member in seen.members:
            numbers = {n for _, n in member.assignment}
            assert {TopicPartition(t, n) for t in "tu" for n in numbers} == set(member.assignment)


async def test_groups_are_listed_described_and_deleted(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        assert await engine.groups.list() == []
        member = Member(engine.groups, "g", client_id="c", host="h")
        await settle(member)
        await engine.groups.commit("simple", {("x", 0): OffsetAndMetadata(1)})
        assert await engine.groups.list() == [
            GroupListing("g", "consumer", GroupState.STABLE),
            GroupListing("simple", "classic", GroupState.EMPTY, protocol_type=""),
        ]
        seen = await engine.groups.describe("g")
        assert (seen.members[0].client_id, seen.members[0].host) == ("c", "h")
        assert seen.members[0].assignment == (TopicPartition("t", 0), TopicPartition("t", 1))
        with pytest.raises(NonEmptyGroup, match="1 members"):
            await engine.groups.delete("g")
        await member.leave()
        assert (await engine.groups.describe("g")).state == GroupState.EMPTY
        await engine.groups.delete("g")
        with pytest.raises(GroupIdNotFound):
            await engine.groups.delete("g")
        with pytest.raises(GroupIdNotFound, match="'g'"):
            await engine.groups.describe("g")
        assert [group.group_id for group in await engine.groups.list()] == ["simple"]
        await Member(engine.groups, "simple").beat()
        assert (await engine.groups.list())[0].type == "consumer"


async def test_a_group_may_be_full(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        engine.groups.max_size = 1
        await Member(engine.groups, "g").beat()
        with pytest.raises(GroupMaxSizeReached, match="group g"):
            await Member(engine.groups, "g").beat()


async def test_a_group_whose_state_is_gone_sends_its_members_back(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        keys = engine.store.keys.group("g")
        await engine.store.execute("DEL", *keys.all, key=keys.group)
        with pytest.raises(UnknownMemberId):
            await member.beat()
        member.lose_everything()
        await settle(member)
        assert len(member.owned) == 2

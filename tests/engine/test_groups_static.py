"""Static members (KIP-345): away for a while, back under another member id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partstream.engine.groups.answers import Claim
from partstream.errors import FencedInstanceId, UnknownMemberId, UnreleasedInstanceId
from partstream.groups.consumer import Catalog, plan
from partstream.groups.requests import HeartbeatRequest
from tests.engine.group_members import Member, rig, settle
from tests.waiting import until


async def test_a_static_member_comes_back_to_what_it_had(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        static = Member(engine.groups, "g", instance_id="i")
        other = Member(engine.groups, "g")
        await settle(static, other)
        had, epoch = static.owned, static.epoch

        await static.leave(-2)
        await other.beat()
        assert len(other.owned) == 2
        back = Member(engine.groups, "g", instance_id="i")
        answer = await back.beat()
        assert (answer.assignment, answer.member_epoch) == (had, epoch)
        await settle(back, other)
        assert other.epoch == epoch
        seen = await engine.groups.describe("g")
        assert {member.instance_id for member in seen.members} == {"i", None}
        assert len(seen.members) == 2
        with pytest.raises(FencedInstanceId, match=back.id):
            await engine.groups.heartbeat("g", static.id, epoch, instance_id="i")


async def test_a_static_member_may_come_back_under_its_old_id(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        static = Member(engine.groups, "g", instance_id="i")
        await settle(static)
        epoch = static.epoch
        await static.leave(-2)
        await static.beat()
        assert (len(static.owned), static.epoch) == (2, epoch)


async def test_an_instance_is_one_member_at_a_time(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        first = Member(engine.groups, "g", instance_id="i")
        await first.beat()
        second = Member(engine.groups, "g", instance_id="i")
        with pytest.raises(UnreleasedInstanceId, match=first.id):
            await second.beat()
        with pytest.raises(FencedInstanceId):
            await second.leave()
        await first.leave()
        await settle(second)
        assert len(second.owned) == 2


async def test_what_a_static_member_was_told_to_let_go_is_free_when_it_leaves(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        static = Member(engine.groups, "g", instance_id="i")
        await static.beat()
        other = Member(engine.groups, "g")
        await other.beat()
        await engine.groups.heartbeat(**static.arguments())  # told to let go of two
        await static.leave(-2)
        await other.beat()
        assert len(other.owned) == 2
        back = Member(engine.groups, "g", instance_id="i")
        await settle(back, other)
        assert len(back.owned) == 2


async def test_whoever_left_for_a_while_neither_beats_nor_commits(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        static = Member(engine.groups, "g", instance_id="i", session_ms=400)
        await settle(static)
        old = static.arguments()
        other = Member(engine.groups, "g", ["nothing"])
        await settle(static, other)
        await static.leave(-2)
        with pytest.raises(Exception, match="is at epoch -2"):
            await engine.groups.heartbeat(**old)

        async def other_is_alone() -> bool:
            await other.beat()
            return len((await engine.groups.describe("g")).members) == 1

        await until(other_is_alone)
        with pytest.raises(UnknownMemberId):
            await engine.groups.heartbeat("g", static.id, -1)


async def test_a_changed_subscription_on_return_is_a_change(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        other = await engine.topics.create("u", 1)
        static = Member(engine.groups, "g", instance_id="i")
        await settle(static)
        await static.leave(-2)
        back = Member(engine.groups, "g", ["u"], instance_id="i")
        await settle(back)
        assert back.owned == frozenset({(other.id, 0)})


async def test_a_restart_while_an_assignment_is_made(redis_url: str, namespace: str) -> None:
    """It was made for the member that the instance was before: another one has to follow."""
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        other = Member(engine.groups, "g")
        await settle(other)
        calls = engine.groups.calls
        request = HeartbeatRequest(
            "g", "before", 0, "i", rebalance_timeout_ms=60_000, subscribed_topics=["t"]
        )
        await calls.join(request, 1, 10_000, 0)
        claims: list[Claim] = []

        async def claimed() -> bool:
            claim = await calls.claim("g", "somebody")
            if isinstance(claim, Claim):
                claims.append(claim)
            return bool(claims)

        await until(claimed)
        await calls.leave("g", "before", "i", for_good=False)
        _, view = await calls.join(replace(request, member_id="after"), 1, 10_000, 0)

        topics = await engine.topics.all()
        catalog = Catalog({name: (t.id, len(t.partitions)) for name, t in topics.items()})
        made = plan(claims[0].subscriptions, catalog, claims[0].targets)
        assert await calls.settle("g", claims[0], made, catalog.fingerprint)
        after = Member(engine.groups, "g", member_id="after", instance_id="i")
        after.epoch, after.version = view.row.epoch, view.row.seq
        await settle(after, other)
        assert (len(after.owned), len(other.owned)) == (2, 2)


async def test_an_instance_that_nobody_is(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        static, dynamic = Member(engine.groups, "g", instance_id="i"), Member(engine.groups, "g")
        await settle(static, dynamic)
        for member in (static, dynamic):
            for epoch in (member.epoch, -1, -2):
                with pytest.raises(UnknownMemberId, match="no instance j"):
                    await engine.groups.heartbeat("g", member.id, epoch, instance_id="j")
        await settle(static, dynamic)
        assert (len(static.owned), len(dynamic.owned)) == (1, 1)

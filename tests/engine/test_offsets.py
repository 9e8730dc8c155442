"""Committed offsets: who may write them, who may not any more, and how they go."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from partstream.errors import (
    FencedMemberEpoch,
    GroupIdNotFound,
    GroupSubscribedToTopic,
    NonEmptyGroup,
    OffsetMetadataTooLarge,
    RebalanceInProgress,
    StaleMemberEpoch,
    UnknownMemberId,
)
from partstream.groups.rows import TopicIdPartition
from partstream.model import OffsetAndMetadata
from tests.engine.group_members import Member, Rig, rig, settle
from tests.waiting import until

pytestmark = pytest.mark.every_server

SOME: TopicIdPartition = ("some-topic-id", 0)
OTHER: TopicIdPartition = ("some-topic-id", 1)


async def commit(member: Member, offset: int, partition: TopicIdPartition | None = None) -> None:
    where = partition or min(member.owned)
    await member.groups.commit(
        member.group_id,
        {where: OffsetAndMetadata(offset)},
        member_id=member.id,
        member_epoch=member.epoch,
    )


async def committed(engine: Rig, partition: TopicIdPartition) -> int:
    found = await engine.groups.fetch_offsets("g", [partition])
    return found[partition].offset


async def test_offsets_come_back_as_they_went(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        position = OffsetAndMetadata(2**62, "é|\n", 7)
        await engine.groups.commit("g", {SOME: position, OTHER: OffsetAndMetadata(0)})
        assert await engine.groups.fetch_offsets("g") == {
            SOME: position,
            OTHER: OffsetAndMetadata(0),
        }
        assert await engine.groups.fetch_offsets("g", [SOME, ("x", 3)]) == {SOME: position}
        assert await engine.groups.fetch_offsets("g", []) == {}
        assert await engine.groups.fetch_offsets("unheard-of") == {}


async def test_what_cannot_be_committed(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        with pytest.raises(OffsetMetadataTooLarge, match="4097"):
            await engine.groups.commit("g", {SOME: OffsetAndMetadata(1, "x" * 4097)})
        with pytest.raises(UnknownMemberId, match="member m"):
            await engine.groups.commit(
                "g", {SOME: OffsetAndMetadata(1)}, member_id="m", member_epoch=1
            )
        assert await engine.groups.list() == []


async def test_a_negative_offset_is_none_to_a_reader(redis_url: str, namespace: str) -> None:
    # Clients of Kafka can commit one.
    async with rig(redis_url, namespace) as engine:
        await engine.groups.commit("g", {SOME: OffsetAndMetadata(-2, "note")})
        assert await engine.groups.fetch_offsets("g") == {}
        kept = await engine.groups.fetch_committed("g", [SOME])
        assert kept == {SOME: OffsetAndMetadata(-2, "note")}


async def test_only_members_commit_while_there_are_any(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        with pytest.raises(UnknownMemberId, match="has members"):
            await engine.groups.commit("g", {SOME: OffsetAndMetadata(1)})
        with pytest.raises(NonEmptyGroup, match="'g'"):
            await engine.groups.reset("g", {SOME: OffsetAndMetadata(1)})
        await commit(member, 5)
        member.epoch += 1
        with pytest.raises(StaleMemberEpoch, match=str(member.epoch)):
            await commit(member, 6)
        member.epoch -= 1
        partition = min(member.owned)
        await member.leave()
        await engine.groups.reset("g", {partition: OffsetAndMetadata(2)})
        assert await committed(engine, partition) == 2


async def test_nobody_commits_what_belongs_to_another(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        one, two = Member(engine.groups, "g"), Member(engine.groups, "g")
        await settle(one, two)
        mine, yours = min(one.owned), min(two.owned)
        both = {mine: OffsetAndMetadata(3), yours: OffsetAndMetadata(3)}
        with pytest.raises(RebalanceInProgress, match="belongs to another"):
            await engine.groups.commit("g", both, member_id=one.id, member_epoch=one.epoch)
        assert await engine.groups.fetch_offsets("g") == {}
        await commit(one, 3, SOME)  # nobody's: Kafka takes it too


async def test_a_member_commits_what_it_is_about_to_let_go(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        old, new = Member(engine.groups, "g"), Member(engine.groups, "g")
        await old.beat()
        before = old.owned
        await new.beat()
        await old.beat()
        revoked = min(before - old.owned)
        await commit(old, 7, revoked)
        await old.beat()
        await new.beat()
        assert new.owned == frozenset({revoked})
        with pytest.raises(RebalanceInProgress):
            await commit(old, 8, revoked)
        assert await committed(engine, revoked) == 7


async def test_a_member_whose_session_has_ended_commits_no_more(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g", session_ms=150)
        await settle(member)
        await commit(member, 1)

        async def refused() -> bool:
            try:
                await commit(member, 2)
            except UnknownMemberId:
                return True
            return False

        await until(refused, within=5)
        # No other member had noticed: the commit itself did.
        assert (await engine.groups.describe("g")).members == ()


async def test_the_epoch_before_is_good_for_the_same_incarnation(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        old_epoch, partition = member.epoch, min(member.owned)
        await settle(member, Member(engine.groups, "g", ["nothing"]))
        assert member.epoch == old_epoch + 1
        at = {partition: OffsetAndMetadata(4)}
        late = partial(engine.groups.commit, "g", at, member_id=member.id, member_epoch=old_epoch)
        with pytest.raises(StaleMemberEpoch):
            await late()
        await late(incarnation=1)
        with pytest.raises(FencedMemberEpoch, match="joined again"):
            await late(incarnation=2)


async def test_a_commit_that_comes_behind_a_later_one_is_passed_over(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        partition = min(member.owned)
        sent: list[tuple[Any, ...]] = []
        run = engine.groups.calls.run

        async def record(*call: Any) -> Any:
            sent.append(call)
            return await run(*call)

        monkeypatch.setattr(engine.groups.calls, "run", record)
        for offset in (10, 20):
            await engine.groups.commit(
                "g",
                {partition: OffsetAndMetadata(offset)},
                member_id=member.id,
                member_epoch=member.epoch,
                incarnation=member.incarnation,
            )
        await run(*sent[0])
        assert await committed(engine, partition) == 20


async def test_offsets_of_a_topic_in_use_are_not_deleted(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 1)
        member = Member(engine.groups, "g")
        await settle(member)
        partition = min(member.owned)
        await commit(member, 1)
        await commit(member, 1, SOME)
        with pytest.raises(GroupSubscribedToTopic, match="'t'"):
            await engine.groups.delete_offsets("g", [SOME, partition])
        await engine.groups.delete_offsets("g", [SOME])
        assert list(await engine.groups.fetch_offsets("g")) == [partition]
        with pytest.raises(GroupIdNotFound):
            await engine.groups.delete_offsets("unheard-of", [SOME])


async def test_offsets_expire_when_a_group_has_long_been_empty(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 1)
        member = Member(engine.groups, "g")
        await settle(member)
        await commit(member, 1)
        assert await engine.groups.expire_offsets(0) == 0
        await member.leave()
        assert await engine.groups.expire_offsets(60_000) == 0
        assert await engine.groups.expire_offsets(0) == 1
        assert await engine.groups.list() == []
        key = engine.store.keys.group("g").group
        assert await engine.store.execute("EXISTS", key, key=key) == 0

"""Admin: groups and their offsets, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from partstream.client.admin import Admin
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.topics import Topics
from partstream.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    InvalidConfig,
    InvalidRequest,
    NonEmptyGroup,
    UnknownTopicOrPartition,
)
from partstream.model import GroupState, OffsetAndMetadata, TopicPartition
from partstream.store.store import Store
from tests.client.appending import append
from tests.engine.classic_members import ClassicMember, assignment, subscription
from tests.engine.group_members import rig

ZERO, ONE = TopicPartition("orders", 0), TopicPartition("orders", 1)


@asynccontextmanager
async def admin_with_orders(redis_url: str, namespace: str) -> AsyncIterator[Admin]:
    """An admin client, and a topic of two partitions with ten records in the first."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 2)
        await append(
            redis_url, namespace, "orders", 0, [now - 10_000 + 1000 * i for i in range(10)]
        )
        yield admin


@asynccontextmanager
async def member_of(redis_url: str, namespace: str, group: str) -> AsyncIterator[str]:
    """A live member of a group, subscribed to the topic."""
    store = await Store.connect(redis_url, namespace=namespace)
    topics = Topics(store)
    groups = ConsumerGroups(store, topics)
    try:
        joined = await groups.heartbeat(
            group, "member-1", 0, rebalance_timeout_ms=60_000, client_id="tester", host="here",
            subscribed_topics=["orders"], owned=(),
        )  # fmt: skip
        yield joined.member_id
        await groups.heartbeat(group, joined.member_id, -1)
    finally:
        await groups.close()
        topics.close()
        await store.close()


async def test_a_group_and_its_lag(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        await admin.alter_group_offsets("billing", {ZERO: OffsetAndMetadata(4, "note", 0)})
        assert await admin.list_group_offsets("billing") == {ZERO: OffsetAndMetadata(4, "note", 0)}
        (listed,) = await admin.list_groups()
        assert (listed.group_id, listed.state) == ("billing", GroupState.EMPTY)
        described = await admin.describe_group("billing")
        assert described.members == ()
        (lag,) = described.lags
        assert (lag.partition, lag.start_offset, lag.end_offset, lag.lag) == (ZERO, 0, 10, 6)


async def test_members_and_what_they_own(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        async with member_of(redis_url, namespace, "billing") as member_id:
            described = await admin.describe_group("billing")
            (member,) = described.members
            assert (member.member_id, member.client_id, member.host) == (
                member_id,
                "tester",
                "here",
            )
            assert member.subscribed_topics == ("orders",)
            assert member.target_assignment == (ZERO, ONE)
            assert [(lag.partition, lag.lag) for lag in described.lags] == [
                (ZERO, None),
                (ONE, None),
            ]
            with pytest.raises(NonEmptyGroup, match="'billing'"):
                await admin.reset_offsets("billing", "earliest", topics=["orders"])
            with pytest.raises(NonEmptyGroup):
                await admin.delete_group("billing")
            with pytest.raises(GroupSubscribedToTopic, match="'orders'"):
                await admin.delete_group_offsets("billing", [ZERO])
        assert (await admin.describe_group("billing")).state is GroupState.EMPTY


async def test_what_is_set_for_a_group(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
        # The library's bounds are those of its own consumers.
        changed = await admin.alter_group_config("billing", {session: 200, interval: "50"})
        assert changed == {session: "200", interval: "50"}
        assert await admin.list_groups() == [], "it makes no group"
        for changes in ({session: 99}, {session: 50}, {interval: 200}):
            with pytest.raises(InvalidConfig):
                await admin.alter_group_config("billing", changes)
        await admin.alter_group_offsets("billing", {ZERO: 4})
        assert (await admin.describe_group("billing")).configs == changed
        assert await admin.alter_group_config("billing", {session: None}) == {interval: "50"}
        await admin.delete_group("billing")
        assert await admin.alter_group_config("billing", {interval: None}) == {}


async def test_reset_to_the_ends(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        changes = await admin.reset_offsets("billing", "latest", topics=["orders"])
        assert changes == [(ZERO, None, 10), (ONE, None, 0)]
        await admin.delete_records({ZERO: 3})
        changes = await admin.reset_offsets("billing", "earliest")
        assert changes == [(ZERO, 10, 3), (ONE, 0, 0)]


async def test_a_dry_run_changes_nothing(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        await admin.alter_group_offsets("billing", {ZERO: 5})
        assert await admin.reset_offsets("billing", 2, dry_run=True) == [(ZERO, 5, 2)]
        assert (await admin.list_group_offsets("billing"))[ZERO].offset == 5


@pytest.mark.parametrize(
    ("to", "shift_by", "after"),
    [(7, None, 7), (99, None, 10), (None, -2, 3), (None, -50, 0), (None, 50, 10)],
)
async def test_reset_to_an_offset_or_by_a_shift(
    redis_url: str, namespace: str, to: int | None, shift_by: int | None, after: int
) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        await admin.alter_group_offsets("billing", {ZERO: 5})
        assert await admin.reset_offsets("billing", to, shift_by=shift_by) == [(ZERO, 5, after)]
        assert (await admin.list_group_offsets("billing"))[ZERO].offset == after


async def test_reset_to_a_time(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        (description,) = (await admin.describe_topics(["orders"])).values()
        assert description.partitions[0].end_offset == 10
        moment = datetime.now(UTC) - timedelta(hours=1)
        assert await admin.reset_offsets("billing", moment, partitions=[ZERO]) == [(ZERO, None, 0)]
        moment = datetime.now(UTC) + timedelta(hours=1)
        assert await admin.reset_offsets("billing", moment, partitions=[ZERO]) == [(ZERO, 0, 10)]


async def test_what_reset_refuses(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        with pytest.raises(InvalidRequest, match="`to` or `shift_by`"):
            await admin.reset_offsets("billing", topics=["orders"])
        with pytest.raises(InvalidRequest, match="orders-0 by 3"):
            await admin.reset_offsets("billing", shift_by=3, topics=["orders"])
        with pytest.raises(UnknownTopicOrPartition, match="'other'"):
            await admin.reset_offsets("billing", "earliest", topics=["other"])
        assert await admin.list_groups() == []


async def test_delete_offsets_and_groups(redis_url: str, namespace: str) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        await admin.alter_group_offsets("billing", {ZERO: 5, ONE: 0})
        await admin.delete_group_offsets("billing", [ONE])
        assert set(await admin.list_group_offsets("billing")) == {ZERO}
        await admin.delete_group("billing")
        assert await admin.list_groups() == []
        with pytest.raises(GroupIdNotFound, match="'billing'"):
            await admin.describe_group("billing")
        with pytest.raises(GroupIdNotFound, match="'billing'"):
            await admin.delete_group("billing")


async def test_offsets_of_a_deleted_topic_are_not_those_of_the_next(
    redis_url: str, namespace: str
) -> None:
    async with admin_with_orders(redis_url, namespace) as admin:
        await admin.alter_group_offsets("billing", {ZERO: 5})
        await admin.delete_topic("orders")
        assert (await admin.describe_group("billing")).lags == ()
        await admin.create_topic("orders", 2)
        assert await admin.list_group_offsets("billing") == {}


async def test_a_classic_group_is_a_group_like_others(redis_url: str, namespace: str) -> None:
    async with (
        admin_with_orders(redis_url, namespace) as admin,
        rig(redis_url, namespace) as engine,
    ):
        topic = await engine.topics.get("orders")
        member = ClassicMember(
            engine.groups, "billing", protocols=[("range", subscription("orders"))]
        )
        await member.join()
        await member.sync({member.id: assignment("orders", 0, 1)})
        await engine.groups.commit(
            "billing",
            {(topic.id, 0): OffsetAndMetadata(4)},
            member_id=member.id,
            member_epoch=member.generation,
        )
        (listed,) = await admin.list_groups()
        assert (listed.type, listed.state) == ("classic", GroupState.STABLE)
        assert listed.protocol_type == "consumer"
        group = await admin.describe_group("billing")
        assert (group.assignor, group.epoch) == ("range", member.generation)
        (seen,) = group.members
        assert (seen.client_id, seen.host) == ("client", "/127.0.0.1")
        assert seen.subscribed_topics == ("orders",)
        assert seen.assignment == (ZERO, ONE)
        assert {lag.partition: lag.lag for lag in group.lags} == {ZERO: 6, ONE: None}
        with pytest.raises(NonEmptyGroup):
            await admin.reset_offsets("billing", "earliest")
        with pytest.raises(GroupSubscribedToTopic):
            await admin.delete_group_offsets("billing", [ZERO])
        with pytest.raises(NonEmptyGroup):
            await admin.delete_group("billing")
        await member.leave()
        assert (await admin.describe_group("billing")).state == GroupState.EMPTY
        (change,) = await admin.reset_offsets("billing", "earliest")
        assert (change.before, change.after) == (4, 0)
        await admin.delete_group("billing")
        assert await admin.list_groups() == []

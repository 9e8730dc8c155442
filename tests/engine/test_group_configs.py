"""Configs that are set for single groups: kept, and what holds for members by them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from partstream.config.group import (
    ASSIGNMENT,
    HEARTBEAT,
    NO_CONFIGS,
    SESSION,
    GroupConfig,
    GroupLimits,
)
from partstream.errors import GroupIdNotFound, InvalidConfig, InvalidGroupId
from partstream.model import GroupState, OffsetAndMetadata
from tests.engine.classic_members import ClassicMember
from tests.engine.group_members import Member, Rig, rig, settle
from tests.engine.test_groups_time import deadlines, shift
from tests.servers.pool import Server

LIMITS = GroupLimits()


async def configure(engine: Rig, changes: Mapping[str, object | None], group: str = "g") -> None:
    await engine.groups.configs.alter(group, changes, LIMITS)


@pytest.mark.every_server
async def test_they_are_there_before_the_group_and_stay_after_it(
    redis_url: str, namespace: str, server: Server
) -> None:
    async with rig(redis_url, namespace) as engine, rig(redis_url, namespace) as other:
        configs = engine.groups.configs
        assert (await configs.get("g"), await configs.all()) == (NO_CONFIGS, {})
        await configure(engine, {SESSION: 20_000, HEARTBEAT: 2_000})
        await configure(engine, {HEARTBEAT: None})
        expected = {"g": GroupConfig(session_timeout_ms=20_000)}
        assert await other.groups.configs.all() == expected
        # There is no such group by it.
        assert await engine.groups.list() == []
        with pytest.raises(GroupIdNotFound):
            await engine.groups.describe("g")
        with pytest.raises(GroupIdNotFound):
            await engine.groups.delete("g")
        with pytest.raises(GroupIdNotFound):
            await engine.groups.delete_offsets("g", [])

        topic = await engine.topics.create("t", 1)
        member = Member(engine.groups, "g")
        await settle(member)
        assert (await engine.groups.describe("g")).configs == {SESSION: "20000"}
        await member.leave()
        await engine.groups.commit("g", {(topic.id, 0): OffsetAndMetadata(3)})
        await engine.groups.delete("g")
        assert await other.groups.configs.all() == expected
        assert await engine.groups.fetch_offsets("g") == {}

        # Whatever a group begins with, it can begin with that.
        await engine.groups.commit("g", {(topic.id, 0): OffsetAndMetadata(3)})
        assert (await engine.groups.describe("g")).configs == {SESSION: "20000"}
        await engine.groups.delete("g")
        await configure(engine, {SESSION: None})
        assert await configs.all() == {}
        kept = server.command("KEYS", f"{namespace}:{{g:g}}:*")
        assert kept == [], "nothing is left of what is neither there nor configured"


async def test_a_classic_group_has_them_too(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await configure(engine, {SESSION: 20_000})
        member = ClassicMember(engine.groups)
        await member.settle()
        described = await engine.groups.describe("g")
        assert (described.type, described.configs) == ("classic", {SESSION: "20000"})
        assert await member.beat() == 0
        left = await deadlines(engine)
        assert left[member.id] <= 10_000, "the session that it has asked for"


async def test_what_is_refused_changes_nothing(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await configure(engine, {SESSION: 20_000})
        for changes in ({SESSION: 30_000, HEARTBEAT: 0}, {"no.such": 1}, {HEARTBEAT: 20_000}):
            with pytest.raises(InvalidConfig):
                await configure(engine, changes)
        for group in ("", " "):
            with pytest.raises(InvalidGroupId):
                await configure(engine, {SESSION: 20_000}, group)
        assert await engine.groups.configs.all() == {"g": GroupConfig(20_000)}


async def test_changes_at_the_same_moment_are_all_made(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as one, rig(redis_url, namespace) as two:
        for turn in range(20):
            changes = ({SESSION: 20_000 + turn}, {HEARTBEAT: 1_000 + turn}, {ASSIGNMENT: turn})
            engines = (one, two, one)
            await asyncio.gather(*map(configure, engines, changes))
            expected = GroupConfig(20_000 + turn, 1_000 + turn, turn)
            assert await two.groups.configs.get("g") == expected


async def test_members_live_by_them(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        await configure(engine, {SESSION: 40_000, HEARTBEAT: 8_000})
        members = [Member(engine.groups, "g") for _ in range(2)]
        await members[0].beat()
        assert 30_000 < (await deadlines(engine))[members[0].id] <= 40_000, "from the join on"
        await settle(*members)
        for member in members:
            answer = await member.beat()  # with nothing to do, nor to be told
            assert (answer.session_timeout_ms, answer.heartbeat_interval_ms) == (40_000, 8_000)
        left = await deadlines(engine)
        assert all(39_000 < left[member.id] <= 40_000 for member in members)

        # What is changed meanwhile holds from the next heartbeat on.
        await configure(engine, {SESSION: 50_000, HEARTBEAT: None})
        answer = await members[0].beat()
        assert (answer.session_timeout_ms, answer.heartbeat_interval_ms) == (50_000, 5_000)
        left = await deadlines(engine)
        assert 49_000 < left[members[0].id] <= 50_000
        assert left[members[1].id] <= 40_000

        await configure(engine, {SESSION: None})
        await shift(engine, members[1], -10_000)
        assert (await members[0].beat()).session_timeout_ms == 10_000
        left = await deadlines(engine)
        assert left[members[0].id] <= 10_000
        assert left[members[1].id] <= 30_000, "a shorter session is no clock that went back"


async def test_a_heartbeat_is_due_before_the_session_ends(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 1)
        await configure(engine, {HEARTBEAT: 30_000})
        member = Member(engine.groups, "g", session_ms=9_000)
        await settle(member)
        answer = await member.beat()
        assert (answer.session_timeout_ms, answer.heartbeat_interval_ms) == (9_000, 3_000)


async def test_after_a_restart_everybody_gets_the_session_of_the_group(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 3)
        members = [Member(engine.groups, "g") for _ in range(2)]
        await settle(*members)
        classic = ClassicMember(engine.groups, session_ms=15_000)
        assert (await classic.join()).error == 0
        await configure(engine, {SESSION: 60_000})
        keys = engine.store.keys.group("g")
        await engine.store.execute("HSET", keys.group, "token", "of-the-old", key=keys.group)
        await shift(engine, members[1], -90_000)
        await engine.groups.calls.look("g", members[0].id)
        left = await deadlines(engine)
        assert all(55_000 < left[member.id] <= 60_000 for member in members)
        assert left[classic.id] <= 15_000, "it has asked for another one"


async def _assigned_at(engine: Rig) -> int:
    key = engine.store.keys.group("g").group
    return int(await engine.store.execute("HGET", key, "assigned_at", key=key))


async def test_the_next_assignment_waits(redis_url: str, namespace: str) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 3)
        await configure(engine, {ASSIGNMENT: 15_000})
        first, second, third = (Member(engine.groups, "g") for _ in range(3))
        await settle(first)  # there was none before it
        made = await _assigned_at(engine)
        told = await second.beat()
        assert told.heartbeat_interval_ms == 5_000, "it need not ask again at once"
        assert (await engine.groups.describe("g")).state == GroupState.ASSIGNING
        assert await _assigned_at(engine) == made

        # Whoever waits hears that there is no need to any more.
        await configure(engine, {ASSIGNMENT: 700})
        await settle(first, second)
        made, before = await _assigned_at(engine), made
        assert before + 700 <= made < before + 15_000
        await settle(first, second, third)
        assert made + 700 <= await _assigned_at(engine)
        assert len(first.owned) == len(second.owned) == len(third.owned) == 1


async def test_the_next_assignment_waits_where_a_gateway_says_so(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        engine.groups.assigner.interval_ms = 700
        first, second = Member(engine.groups, "g"), Member(engine.groups, "g")
        await settle(first)
        made = await _assigned_at(engine)
        await settle(first, second)
        assert made + 700 <= await _assigned_at(engine)
        # What is set for the group goes before it.
        await configure(engine, {ASSIGNMENT: 0})
        made = await _assigned_at(engine)
        third = Member(engine.groups, "g")
        await settle(first, second, third)
        assert made < await _assigned_at(engine) < made + 700

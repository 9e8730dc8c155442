"""Sessions end by Redis's clock, and not because Redis was away or its clock was set."""

from __future__ import annotations

import pytest

from partstream.errors import UnreleasedInstanceId
from tests.engine.group_members import Member, Rig, rig, settle


async def deadlines(engine: Rig) -> dict[str, float]:
    """Whose session ends when, ms from now."""
    key = engine.store.keys.group("g").deadlines
    now = await engine.topics.now_ms()
    flat = await engine.store.execute("ZRANGE", key, 0, -2, "WITHSCORES", key=key)
    if flat and isinstance(flat[0], list):  # RESP3 sends pairs
        flat = [piece for pair in flat for piece in pair]
    return {
        name.decode()[2:]: float(score) - now
        for name, score in zip(flat[::2], flat[1::2], strict=True)
    }


async def shift(engine: Rig, member: Member, by_ms: int) -> None:
    """Move a member's deadline, as a clock that was set would."""
    key = engine.store.keys.group("g").deadlines
    await engine.store.execute("ZINCRBY", key, by_ms, f"s:{member.id}", key=key)


async def test_nobody_is_missed_because_another_server_took_over(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 4)
        members = [Member(engine.groups, "g") for _ in range(3)]
        await settle(*members)
        keys = engine.store.keys.group("g")
        await engine.store.execute("HSET", keys.group, "token", "of-the-old", key=keys.group)
        for member in members:
            await shift(engine, member, -20_000)
        await members[0].beat()
        left = await deadlines(engine)
        assert len(left) == 3
        assert all(9_000 < left[member.id] <= 10_000 for member in members)

        # It is known now: who is late from here on is missed.
        await shift(engine, members[1], -20_000)
        await members[0].beat()
        await settle(members[0], members[2])
        assert members[1].id not in await deadlines(engine)


async def test_a_clock_that_goes_backwards_keeps_no_dead_member_alive(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        members = [Member(engine.groups, "g") for _ in range(2)]
        await settle(*members)
        for member in members:
            await shift(engine, member, 3_600_000)
        await members[0].beat()
        left = await deadlines(engine)
        assert all(9_000 < left[member.id] <= 10_000 for member in members)


async def test_members_with_shorter_sessions_keep_no_dead_member_alive(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 3)
        dead = Member(engine.groups, "g", session_ms=20_000)
        living = [Member(engine.groups, "g", session_ms=2_000) for _ in range(2)]
        await settle(dead, *living)
        keys = engine.store.keys.group("g")
        await engine.store.execute("HSET", keys.group, "token", "of-the-old", key=keys.group)
        await shift(engine, dead, -60_000)
        await living[0].beat()  # another server has taken over: everybody starts afresh
        await shift(engine, dead, -5_000)
        for member in (*living, *living):
            await member.beat()
        left = await deadlines(engine)
        assert left[dead.id] <= 15_000
        assert all(left[member.id] <= 2_000 for member in living)


async def test_after_a_restart_everybody_gets_a_session_of_its_own(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 3)
        patient = Member(engine.groups, "g", session_ms=60_000)
        static = Member(engine.groups, "g", session_ms=3_000, instance_id="i")
        short = Member(engine.groups, "g", session_ms=2_000)
        await settle(patient, static, short)
        keys = engine.store.keys.group("g")
        await engine.store.execute("HSET", keys.group, "token", "of-the-old", key=keys.group)
        await shift(engine, short, -60_000)
        await patient.beat()
        await engine.groups.calls.look("g", patient.id)  # which misses who is late
        left = await deadlines(engine)
        assert 55_000 < left[patient.id] <= 60_000
        assert 1_000 < left[static.id] <= 3_000
        assert 0 < left[short.id] <= 2_000

        # A successor is told when that is; and what is known of a session goes with its member.
        with pytest.raises(UnreleasedInstanceId, match=r"session ends at \d{13} in history \w{8}$"):
            await Member(engine.groups, "g", instance_id="i").beat()
        await static.leave()
        spans = await engine.store.execute("HGET", keys.group, f"t:{static.id}", key=keys.group)
        assert spans is None


async def test_a_member_that_is_late_but_was_not_missed_lives_on(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 2)
        member = Member(engine.groups, "g")
        await settle(member)
        epoch = member.epoch
        await shift(engine, member, -20_000)
        await member.beat()
        assert (member.epoch, len(member.owned)) == (epoch, 2)


async def test_eight_are_missed_at_a_time_and_all_in_the_end(
    redis_url: str, namespace: str
) -> None:
    async with rig(redis_url, namespace) as engine:
        await engine.topics.create("t", 20)
        members = [Member(engine.groups, "g") for _ in range(20)]
        await settle(*members)
        for member in members[1:]:
            await shift(engine, member, -20_000)
        await settle(members[0])
        assert len(members[0].owned) == 20
        assert list(await deadlines(engine)) == [members[0].id]

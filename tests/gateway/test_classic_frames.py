"""Classic groups frame by frame. The expected answers are those that Apache Kafka 4.3 gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from partstream.gateway.codec import Struct
from partstream.gateway.server import Gateway
from partstream.gateway.table import BY_KEY
from tests.engine.classic_members import assignment, subscription
from tests.gateway.gateways import Client, create, gateway
from tests.waiting import until

JOIN, BEAT, LEAVE, SYNC = (BY_KEY[key] for key in (11, 12, 13, 14))
RANGE = [{"name": "range", "metadata": subscription("t")}]
OTHER = [{"name": "roundrobin", "metadata": b"x"}, *RANGE]


@asynccontextmanager
async def classic(url: str, namespace: str, **config: Any) -> AsyncIterator[Gateway]:
    """A gateway whose groups do not wait for more members to come."""
    settings = {"group_initial_rebalance_delay_ms": 0, "group_min_session_timeout_ms": 100}
    async with gateway(url, namespace, **{**settings, **config}) as running:
        yield running


async def join(client: Client, member: str = "", version: int = JOIN.most, **given: Any) -> Struct:
    """JoinGroup."""
    values = {
        "group_id": "g",
        "session_timeout": 30_000,
        "rebalance_timeout": 30_000,
        "member_id": member,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocols": RANGE,
        "reason": None,
    }
    return await client.ask(11, version, **{**values, **given})


async def enter(client: Client, version: int = JOIN.most, **given: Any) -> Struct:
    """JoinGroup as a client does it that has no id yet."""
    answer = await join(client, version=version, **given)
    if answer.error_code == 79:
        answer = await join(client, answer.member_id, version, **given)
    assert answer.error_code == 0
    return answer


async def sync(
    client: Client,
    joined: Struct,
    version: int = SYNC.most,
    given: Mapping[str, bytes] | None = None,
    **changes: Any,
) -> Struct:
    """SyncGroup, with what a leader assigns."""
    values = {
        "group_id": "g",
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [
            {"member_id": member, "assignment": data} for member, data in (given or {}).items()
        ],
    }
    return await client.ask(14, version, **{**values, **changes})


async def beat(client: Client, member: str, generation: int, **given: Any) -> int:
    """Heartbeat: its error."""
    values = {
        "group_id": "g",
        "generation_id": generation,
        "member_id": member,
        "group_instance_id": None,
    }
    code: int = (await client.ask(12, given.pop("version", 4), **{**values, **given})).error_code
    return code


async def leave(client: Client, *members: tuple[str, str | None]) -> list[int]:
    """LeaveGroup of several: their errors."""
    rows = [
        {"member_id": member, "group_instance_id": instance, "reason": "bored"}
        for member, instance in members
    ]
    answer = await client.ask(13, LEAVE.most, group_id="g", members=rows)
    assert answer.error_code == 0
    return [member.error_code for member in answer.members]


async def commit(client: Client, member: str, generation: int, **given: Any) -> int:
    """OffsetCommit of partition 0 of `t`: its error."""
    row = {
        "partition_index": 0,
        "committed_offset": 5,
        "committed_leader_epoch": -1,
        "committed_metadata": "",
    }
    values = {
        "group_id": "g",
        "generation_id_or_member_epoch": generation,
        "member_id": member,
        "group_instance_id": None,
        "topics": [{"name": "t", "partitions": [row]}],
    }
    answer = await client.ask(8, given.pop("version", 9), **{**values, **given})
    code: int = answer.topics[0].partitions[0].error_code
    return code


async def described(client: Client, version: int = 6, group: str = "g") -> Struct:
    """DescribeGroups of one group."""
    answer = await client.ask(15, version, groups=[group])
    row: Struct = answer.groups[0]
    return row


async def test_errors_of_a_group_that_is_not_there(redis_url: str, namespace: str) -> None:
    async with classic(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        answer = await join(client, "x")
        assert (answer.error_code, answer.member_id, answer.protocol_name) == (25, "x", None)
        assert (await sync(client, Struct(generation_id=1, member_id="x"))).error_code == 25
        assert await beat(client, "x", 1) == 25
        assert await leave(client, ("x", None)) == [25]
        old = await client.ask(13, 0, group_id="g", member_id="x")
        assert old.error_code == 25
        assert await commit(client, "x", 1) == 69
        assert await commit(client, "x", 1, version=8) == 22
        assert await commit(client, "x", 1, version=2) == 22
        nameless: dict[str, Any] = {"group_id": ""}
        assert (await join(client, **nameless)).error_code == 24
        member = Struct(generation_id=1, member_id="x")
        assert (await sync(client, member, **nameless)).error_code == 24
        assert await beat(client, "x", 1, **nameless) == 24
        assert (await client.ask(13, 5, group_id="", members=[])).error_code == 24


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"session_timeout": 10}, 26),
        ({"session_timeout": 2_000_000}, 26),
        ({"protocols": []}, 23),
        ({"protocol_type": ""}, 23),
    ],
)
async def test_a_join_must_make_sense(
    redis_url: str, namespace: str, given: dict[str, Any], code: int
) -> None:
    async with classic(redis_url, namespace) as running, await Client.connect(running) as client:
        assert (await join(client, **given)).error_code == code


@pytest.mark.parametrize("version", range(JOIN.most + 1))
async def test_one_member_at_every_version_of_join(
    redis_url: str, namespace: str, version: int
) -> None:
    async with classic(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await join(client, version=version)
        if version >= 4:
            assert (answer.error_code, answer.generation_id) == (79, -1)
            assert answer.member_id.startswith("test-")
            assert answer.protocol_name == (None if version >= 7 else "")
            assert (await described(client)).group_state == "Empty"
            answer = await join(client, answer.member_id, version)
        assert (answer.error_code, answer.generation_id) == (0, 1)
        assert answer.leader == answer.member_id == answer.members[0].member_id
        assert (answer.protocol_name, answer.members[0].metadata) == ("range", subscription("t"))
        assert answer.protocol_type == ("consumer" if version >= 7 else None)
        for newer in range(SYNC.most + 1):
            synced = await sync(client, answer, newer, {answer.member_id: b"mine"})
            assert (synced.error_code, synced.assignment) == (0, b"mine")
        for newer in range(BEAT.most + 1):
            assert await beat(client, answer.member_id, 1, version=newer) == 0


async def test_errors_of_a_member(redis_url: str, namespace: str) -> None:
    async with classic(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        given = await join(client)
        assert await beat(client, given.member_id, -1) == 25
        assert (await join(client, given.member_id, group_instance_id="i")).error_code == -1
        joined = await join(client, given.member_id)
        member = joined.member_id
        assert (await described(client)).group_state == "CompletingRebalance"
        assert await commit(client, member, 1) == 27
        again = await join(client, member)
        assert (again.generation_id, len(again.members)) == (1, 1)
        for wrong, code in (
            ({"protocol_name": "x"}, 23),
            ({"protocol_type": "x"}, 23),
            ({"protocol_type": None}, 23),
            ({"generation_id": 99}, 22),
            ({"member_id": "x"}, 25),
        ):
            assert (await sync(client, joined, **wrong)).error_code == code
        assert await beat(client, member, 1) == 0
        synced = await sync(client, joined, given={member: assignment("t", 0)})
        assert synced.assignment == assignment("t", 0)
        assert await beat(client, member, 0) == 22
        assert await beat(client, "x", 1) == 25
        assert await beat(client, member, 1, group_instance_id="i") == 25
        for version in range(2, 10):
            assert await commit(client, member, 1, version=version) == 0
        assert await commit(client, member, 7) == 22
        assert await commit(client, "x", 1) == 25
        assert await commit(client, "", -1) == 25
        assert await commit(client, member, -1) == 22
        assert await commit(client, member, 1, group_instance_id="i") == 25
        row = {"name": "t", "partitions": [{"partition_index": 0}]}
        deleted = await client.ask(47, 0, group_id="g", topics=[row])
        assert deleted.topics[0].partitions[0].error_code == 86
        assert (await client.ask(42, 2, groups_names=["g"])).results[0].error_code == 68
        assert (await join(client, protocol_type="connect")).error_code == 23
        other = [{"name": "other", "metadata": b""}]
        assert (await join(client, protocols=other)).error_code == 23


async def test_a_rebalance_of_an_old_and_a_new_client(redis_url: str, namespace: str) -> None:
    async with (
        classic(redis_url, namespace) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        await create(one, "t")
        first = await enter(one)
        await sync(one, first, given={first.member_id: assignment("t", 0)})
        joining = asyncio.create_task(join(two, version=3, protocols=OTHER))

        async def preparing() -> bool:
            return bool((await described(one)).group_state == "PreparingRebalance")

        await until(preparing)
        seen = await described(one)
        assert {member.member_metadata for member in seen.members} == {b""}
        assert sorted(m.member_assignment for m in seen.members) == [b"", assignment("t", 0)]
        assert await beat(one, first.member_id, 1) == 27
        assert (await sync(one, first)).error_code == 27
        assert await commit(one, first.member_id, 1) == 0
        again, second = await join(one, first.member_id), await joining
        assert (again.generation_id, second.generation_id) == (2, 2)
        assert (again.leader, second.leader) == (first.member_id,) * 2
        assert (len(again.members), len(second.members)) == (2, 0)
        assert again.protocol_name == second.protocol_name == "range"
        syncing = asyncio.create_task(sync(two, second, 3))
        assert (await sync(one, again, given={again.member_id: b"1"})).assignment == b"1"
        assert (await syncing).assignment == b""
        told = await join(two, second.member_id, protocols=OTHER)
        assert (told.generation_id, told.members) == (2, ())

        rejoining = asyncio.create_task(join(one, first.member_id))
        await until(preparing_seen_by(two))
        assert await leave(two, (second.member_id, None), ("x", None), ("", "x"), ("", None)) == [
            0,
            25,
            25,
            25,
        ]
        assert (await rejoining).generation_id == 3


def preparing_seen_by(client: Client) -> Any:
    """Whether another client sees that the group waits for its members."""

    async def look() -> bool:
        return bool((await described(client)).group_state == "PreparingRebalance")

    return look


async def test_a_static_member_is_replaced_and_fenced(redis_url: str, namespace: str) -> None:
    static: dict[str, Any] = {"group_instance_id": "i"}
    async with (
        classic(redis_url, namespace) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        await create(one, "t")
        old = await join(one, **static)
        assert old.error_code == 0
        await sync(one, old, given={old.member_id: b"mine"}, **static)
        new = await join(two, **static)
        assert (new.generation_id, new.leader, new.skip_assignment) == (1, new.member_id, True)
        assert [member.group_instance_id for member in new.members] == ["i"]
        assert await beat(one, old.member_id, 1, **static) == 82
        assert await beat(one, old.member_id, 1) == 25
        assert (await sync(one, old, **static)).error_code == 82
        assert (await join(one, old.member_id, **static)).error_code == 82
        assert await commit(one, old.member_id, 1, **static) == 82
        assert await leave(one, (old.member_id, "i")) == [82]
        assert (await sync(two, new, **static)).assignment == b"mine"
        # A client that cannot skip is told of the old leader, so that it does not assign.
        older = await join(one, version=8, **static)
        assert (older.leader, older.skip_assignment, older.members) == (new.member_id, False, ())
        assert (await join(one, "q", group_instance_id="j")).error_code == 25
        assert await leave(one, ("", "i")) == [0]
        assert (await described(one)).group_state == "Empty"
        assert await beat(one, older.member_id, 1) == 25
        assert await commit(one, "", -1) == 0
        assert await commit(one, "", 5) == 25


async def test_groups_of_both_types_are_listed_and_described(
    redis_url: str, namespace: str
) -> None:
    async with (
        classic(redis_url, namespace) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        await create(one, "t")
        joined = await enter(one)
        await sync(one, joined, given={joined.member_id: assignment("t", 0)})
        worker = await enter(
            two,
            3,
            group_id="c",
            protocol_type="connect",
            protocols=[{"name": "d", "metadata": b"\0"}],
        )
        await sync(two, worker, 3, {worker.member_id: b"\xff"}, group_id="c")
        assert (await join(two, version=3, group_id="empty", protocols=RANGE)).error_code == 0

        async def listed(version: int = 5, **filters: Any) -> list[tuple[str, str, str]]:
            answer = await one.ask(16, version, **filters)
            rows = [(g.group_id, g.group_state, g.protocol_type) for g in answer.groups]
            return [row for row in rows if row[0] != "empty"]

        everything = [("c", "Stable", "connect"), ("g", "Stable", "consumer")]
        assert await listed() == everything
        assert await listed(4) == everything
        assert await listed(0) == [("c", "", "connect"), ("g", "", "consumer")]
        assert await listed(states_filter=["stable"], types_filter=["Classic"]) == everything
        assert await listed(states_filter=["PreparingRebalance"]) == []
        assert await listed(types_filter=["consumer"]) == []
        for version in range(7):
            group = await described(one, version)
            assert (group.group_state, group.protocol_type) == ("Stable", "consumer")
            assert group.protocol_data == "range"
            (member,) = group.members
            assert (member.client_id, member.client_host) == ("test", "/127.0.0.1")
            assert member.member_metadata == subscription("t")
            assert member.member_assignment == assignment("t", 0)
        assert (await described(one, 6, "c")).members[0].member_assignment == b"\xff"
        row = {"name": "t", "partitions": [{"partition_index": 0}]}
        assert (await one.ask(47, 0, group_id="c", topics=[row])).error_code == 68


async def test_a_group_keeps_its_type_while_it_has_members_if_it_is_told_to(
    redis_url: str, namespace: str
) -> None:
    async with (
        classic(redis_url, namespace, group_consumer_migration_policy="disabled") as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        await create(one, "t")
        joined = await enter(one)

        async def modern(epoch: int) -> int:
            answer = await two.ask(
                68,
                1,
                group_id="g",
                member_id="k",
                member_epoch=epoch,
                rebalance_timeout=1_000,
                subscribed_topic_names=["t"],
                topic_partitions=[],
            )
            code: int = answer.error_code
            return code

        assert await modern(0) == 69
        await leave(one, (joined.member_id, None))
        assert await modern(0) == 0
        assert (await described(one)).group_state == "Dead"
        assert await beat(one, joined.member_id, 1) == 25
        assert await leave(one, (joined.member_id, None)) == [25]
        # As in Kafka: to join is no change of the group's type.
        assert (await enter(one)).leader == ""
        assert await modern(-1) == 0
        assert (await described(one)).group_state == "Dead"


async def test_a_group_may_be_full(redis_url: str, namespace: str) -> None:
    async with (
        classic(redis_url, namespace, group_max_size=1) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        joined = await enter(one)
        answer = await join(two)
        assert (answer.error_code, answer.member_id) == (81, "")
        await leave(one, (joined.member_id, None))
        await enter(two)


async def test_a_gateway_that_ends_sends_those_that_wait_elsewhere(
    redis_url: str, namespace: str
) -> None:
    async with (
        classic(redis_url, namespace) as ending,
        classic(redis_url, namespace) as staying,
        await Client.connect(ending) as one,
        await Client.connect(staying) as two,
    ):
        first = await enter(two)
        await sync(two, first, given={first.member_id: b"1"})
        given = await join(one)
        joining = asyncio.create_task(join(one, given.member_id))
        await until(preparing_seen_by(two))
        await ending.drain()
        assert (await joining).error_code == 16
        # It is a member all the same, and goes on where it is sent.
        async with await Client.connect(staying) as again:
            rejoining = asyncio.create_task(join(again, given.member_id))
            assert (await join(two, first.member_id)).generation_id == 2
            assert (await rejoining).generation_id == 2


async def test_members_of_a_gateway_that_is_killed_join_again_at_another(
    redis_url: str, namespace: str
) -> None:
    async with (
        classic(redis_url, namespace) as killed,
        classic(redis_url, namespace) as staying,
        await Client.connect(killed) as one,
        await Client.connect(staying) as two,
    ):
        first = await enter(two)
        await sync(two, first, given={first.member_id: b"1"})
        given = await join(one)
        joining = asyncio.create_task(join(one, given.member_id))
        await until(preparing_seen_by(two))
        await killed.close()
        with pytest.raises(AssertionError, match="hung up"):
            await joining
        async with await Client.connect(staying) as again:
            rejoining = asyncio.create_task(join(again, given.member_id))
            third = await join(two, first.member_id)
            second = await rejoining
            assert third.generation_id == second.generation_id == 2
            syncing = asyncio.create_task(sync(again, second))
            await sync(two, third, given={second.member_id: b"2"})
            assert (await syncing).assignment == b"2"

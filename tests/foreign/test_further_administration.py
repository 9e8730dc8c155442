"""What the admins of some clients do besides: filters, elections, producers, members put out."""

from __future__ import annotations

import time

import pytest

from tests.foreign.agent import Agent, Failed
from tests.foreign.brokers import Serve
from tests.foreign.groups import QUICK, Watch
from tests.foreign.kinds import Kind
from tests.waiting import until

pytestmark = pytest.mark.deadline(240)

NOT_NEEDED = {
    "ElectionNotNeededException",
    "ELECTION_NOT_NEEDED",
    "ElectionNotNeededError",
}
SUBSCRIBED = {
    "GroupSubscribedToTopicException",
    "GROUP_SUBSCRIBED_TO_TOPIC",
    "GroupSubscribedToTopicError",
}


@pytest.mark.needs("internal")
async def test_internal_topics(client: Agent, serve: Serve, namespace: str) -> None:
    """There are none, which is one of the differences from Kafka."""
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        # Where a group has committed Kafka has its topic for that.
        await client("set_committed", offset=1, group=f"{namespace}-group", **where)
        for internal in (False, True):
            found = (await client("topics", internal=internal, **where))["topics"]
            assert found[namespace] is False
            kept = found.get("__consumer_offsets")
            assert kept is (True if internal and running.gateway is None else None)


@pytest.mark.needs("unset_config")
async def test_a_config_goes_back_to_its_default(
    client: Agent, serve: Serve, namespace: str
) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace}
        configs = {"retention.ms": "123456", "retention.bytes": "5000000"}
        await client("create_topic", partitions=1, configs=configs, **where)
        await client("unset_config", name="retention.ms", **where)

        async def unset() -> bool:
            told = (await client("configs", **where))["configs"]
            return bool(
                told["retention.ms"] == "604800000" and told["retention.bytes"] == "5000000"
            )

        await until(unset, within=60, every=0.1)


@pytest.mark.needs("offset_of")
async def test_what_specifications_of_offsets_find(
    client: Agent, serve: Serve, namespace: str
) -> None:
    """The record with the latest timestamp is not the last one here."""
    first = int(time.time() * 1000) - 60_000
    times = [first, first + 9_000, first + 3_000, first + 6_000]
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        assert await client("offset_of", spec="max_timestamp", **where) == _at(-1, -1)
        rows = [{"partition": 0, "value": "v", "timestamp": at} for at in times]
        await client("produce", records=rows, **where)
        assert await client("offset_of", spec="earliest", **where) == _at(0, -1)
        assert await client("offset_of", spec="latest", **where) == _at(4, -1)
        assert await client("offset_of", spec="max_timestamp", **where) == _at(1, times[1])
        found = await client("offset_of", spec="time", time=first + 1, **where)
        assert found == _at(1, times[1])
        found = await client("offset_of", spec="time", time=first + 9_001, **where)
        # franz-go looks for the end then.
        assert found in (_at(-1, -1), _at(4, -1))


def _at(offset: int, timestamp: int) -> dict[str, int]:
    return {"offset": offset, "timestamp": timestamp}


@pytest.mark.needs("elect")
async def test_no_election_is_needed(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        told = await client("elect", **where)
        assert set(told) == {"PREFERRED", "UNCLEAN"}
        assert set(told.values()) <= NOT_NEEDED


@pytest.mark.needs("reassignments")
async def test_no_partition_moves(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        assert await client("reassignments", **where) == {"count": 0}


@pytest.mark.needs("log_dirs")
async def test_how_large_partitions_are(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace}
        await client("create_topic", partitions=2, configs={}, **where)
        await client("produce", records=[{"partition": 1, "value": "v" * 1_000}], **where)
        sizes = (await client("log_dirs", **where))["sizes"]
        assert sizes["0"] == 0
        assert 1_000 < sizes["1"] < 1_200


@pytest.mark.needs("producers")
async def test_idempotent_producers_are_remembered(
    client: Agent, serve: Serve, namespace: str
) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        assert (await client("producers", **where))["producers"] == []
        rows = [{"partition": 0, "value": "v"}] * 5
        await client("produce", records=rows, idempotent=True, **where)
        ((producer_id, epoch, sequence),) = (await client("producers", **where))["producers"]
        assert (producer_id >= 0, epoch, sequence) == (True, 0, 4)
        await client("produce", records=rows[:2], idempotent=True, **where)
        found = (await client("producers", **where))["producers"]
        assert sorted(last for _, _, last in found) == [1, 4]


@pytest.mark.needs("states")
async def test_groups_are_filtered(client: Agent, kind: Kind, serve: Serve, namespace: str) -> None:
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 2)
        await group.create(client)
        full, empty = group.where["group"], f"{namespace}-empty"
        where = {**group.where, "partition": 0}
        await client("set_committed", offset=1, **{**where, "group": empty})
        await group.join(client, "one", kind.assignors[-1])
        await group.shared(2)

        async def found(**asked: list[str]) -> set[str]:
            """Those of this test: others may have left theirs on a Kafka."""
            names = (await client("groups", **where, **asked))["groups"]
            return {full, empty} & set(names)

        assert await found() == {full, empty}
        assert await found(states=["Stable"]) == {full}
        assert await found(states=["Empty"]) == {empty}
        assert await found(states=["Stable", "Empty"]) == {full, empty}
        if "types" not in kind.lacks:
            has_kip_848 = kind.assignors[-1] == "consumer"
            assert await found(types=["Consumer"]) == ({full} if has_kip_848 else set())
            assert await found(types=["Classic"]) == ({empty} if has_kip_848 else {full, empty})
            assert await found(types=["Consumer"], states=["Empty"]) == set()
        await group.leave("one")


@pytest.mark.needs("committed_by")
async def test_offsets_of_several_groups_at_once(
    client: Agent, serve: Serve, namespace: str
) -> None:
    groups = {f"{namespace}-{number}": number for number in range(3)}
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        for group, offset in groups.items():
            await client("set_committed", offset=offset, group=group, **where)
        told = await client("committed_by", groups=list(groups), **where)
        assert told["offsets"] == groups


@pytest.mark.needs("delete_committed")
async def test_offsets_are_deleted(client: Agent, kind: Kind, serve: Serve, namespace: str) -> None:
    """Not those of a topic that the group reads."""
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 1)
        await group.create(client)
        where = {**group.where, "partition": 0}
        await group.write(client, 5)
        await group.join(client, "one", kind.assignors[0])
        await group.all_read()

        async def all_committed() -> bool:
            return await group.committed(client) == 5

        await until(all_committed, within=60, every=0.1)
        with pytest.raises(Failed) as failed:
            await client("delete_committed", **where)
        assert failed.value.name in SUBSCRIBED
        await group.leave("one")
        await client("delete_committed", **where)
        assert (await client("committed", **where))["offset"] in (None, -1)


@pytest.mark.needs("remove_member")
async def test_a_static_member_is_put_out(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    """One that ended is missed until its session does, unless somebody says that it is gone."""
    assignor = kind.assignors[0]
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 4)
        await group.create(client)
        await group.join(client, "one", assignor, instance="i1", session_ms=200_000)
        await group.join(client, "two", assignor, instance="i2", session_ms=200_000)
        await group.shared(2, 2)
        await group.leave("two")
        assert len((await client("group", **group.where))["members"]) == 2
        await client("remove_member", instance="i2", **group.where)
        await group.shared(4)
        await group.leave("one")

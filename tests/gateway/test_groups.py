"""Groups over the wire: KIP-848 heartbeats, commits at every version, one group for all doors."""

from __future__ import annotations

from typing import Any

import pytest

from partstream import aio
from partstream.gateway.codec import Struct
from partstream.gateway.table import BY_KEY
from tests.gateway.gateways import Client, create, gateway, produce
from tests.gateway.records import batch
from tests.waiting import until

COMMIT, FETCH = BY_KEY[8], BY_KEY[9]


async def beat(client: Client, member: str, epoch: int, **given: Any) -> Struct:
    """One heartbeat."""
    return await client.ask(
        68, 1, **{"group_id": "g", "member_id": member, "member_epoch": epoch, **given}
    )


async def join(client: Client, member: str, *topics: str, **given: Any) -> Struct:
    """A member's first heartbeat."""
    subscribed = {"subscribed_topic_names": topics, "topic_partitions": [], **given}
    return await beat(client, member, 0, rebalance_timeout=60_000, **subscribed)


def owned(answer: Struct) -> list[tuple[str, int]]:
    """What an answer assigns."""
    return [
        (topic.topic_id, number)
        for topic in answer.assignment.topic_partitions
        for number in topic.partitions
    ]


def listed(partitions: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Partitions as a heartbeat lists them."""
    topics: dict[str, list[int]] = {}
    for topic, number in partitions:
        topics.setdefault(topic, []).append(number)
    return [{"topic_id": topic, "partitions": numbers} for topic, numbers in topics.items()]


async def test_an_assignment_is_told_until_the_member_says_that_it_has_it(
    redis_url: str, namespace: str
) -> None:
    """librdkafka drops an answer that came late, and asks again in the same words."""
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        await create(one, "t", partitions=2)
        epoch = (await join(one, "m1", "t")).member_epoch
        assert (await beat(one, "m1", epoch)).assignment is None
        waiting = (await join(two, "m2", "t")).member_epoch
        kept = owned(await beat(one, "m1", epoch))
        assert len(kept) == 1
        assert owned(await beat(one, "m1", epoch)) == kept
        async with await Client.connect(running) as another:
            assert owned(await beat(another, "m1", epoch)) == kept
        answer = await beat(one, "m1", epoch, topic_partitions=listed(kept))
        assert answer.assignment is None
        assert (await beat(one, "m1", answer.member_epoch)).assignment is None

        # What is added in the same epoch, too: no epoch shows that it was missed.
        async def given() -> list[tuple[str, int]]:
            answer = await beat(two, "m2", waiting)
            assert answer.member_epoch == waiting
            return owned(answer) if answer.assignment else []

        rest = await until(given)
        assert owned(await beat(two, "m2", waiting)) == rest
        assert (await beat(two, "m2", waiting, topic_partitions=listed(rest))).assignment is None
        assert (await beat(two, "m2", waiting)).assignment is None


async def test_two_members_share_a_topic(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        topic = await create(one, "t", partitions=4)
        first = await join(one, "m1", "t")
        assert owned(first) == [(topic, number) for number in range(4)]
        second = await join(two, "m2", "t")
        assert second.assignment is None or owned(second) == []
        told = await beat(one, "m1", first.member_epoch)
        kept = owned(told)
        assert len(kept) == 2
        told = await beat(one, "m1", told.member_epoch, topic_partitions=listed(kept))
        assert told.error_code == 0
        epochs = [second.member_epoch]

        async def settled() -> list[tuple[str, int]]:
            answer = await beat(two, "m2", epochs[-1])
            epochs.append(answer.member_epoch)
            return owned(answer) if answer.assignment else []

        rest = await until(settled)
        assert sorted([*kept, *rest]) == [(topic, number) for number in range(4)]

        described = (await one.ask(69, 1, group_ids=["g"])).groups[0]
        assert (described.error_code, described.group_state) == (0, "Stable")
        assert [member.member_id for member in described.members] == ["m1", "m2"]
        assert {member.client_host for member in described.members} == {"/127.0.0.1"}
        assert described.members[0].assignment.topic_partitions[0].topic_name == "t"

        for client, member in ((one, "m1"), (two, "m2")):
            assert (await beat(client, member, -1)).member_epoch == -1
        assert (await one.ask(69, 1, group_ids=["g"])).groups[0].group_state == "Empty"


async def test_a_pattern_subscribes_and_a_bad_one_does_not(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "orders-eu", partitions=2)
        await create(client, "other")
        regex = {"subscribed_topic_names": None, "subscribed_topic_regex": "orders-.*"}
        assert len(owned(await join(client, "m", **regex))) == 2
        for bad in ("(", r"(?<!a)b", r"(a)\1"):
            regex["subscribed_topic_regex"] = bad
            assert (await join(client, "n", **regex)).error_code == 128, bad
        # Python's own engine would take longer than the universe.
        await create(client, "a" * 60)
        regex["subscribed_topic_regex"] = "(a*)*b"
        assert (await join(client, "n", **regex)).error_code == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"member_id": ""}, 42),
        ({"group_id": ""}, 42),
        ({"server_assignor": "none"}, 112),
        ({"rebalance_timeout": -1}, 42),
        ({"subscribed_topic_names": None}, 42),
        ({"member_epoch": 5}, 69),
        ({"member_epoch": -5}, 42),
    ],
)
async def test_errors_of_heartbeats(
    redis_url: str, namespace: str, given: dict[str, Any], code: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        values = {
            "group_id": "g",
            "member_id": "m",
            "member_epoch": 0,
            "rebalance_timeout": 1_000,
            "subscribed_topic_names": ["t"],
            "topic_partitions": [],
        }
        assert (await client.ask(68, 1, **{**values, **given})).error_code == code


async def test_members_that_are_not_or_elsewhere(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        joined = await join(client, "m", "t")
        assert (await beat(client, "m", joined.member_epoch + 5)).error_code == 110
        assert (await beat(client, "n", 1)).error_code == 25
        offsets = [{"name": "t", "partitions": [{"partition_index": 0, "committed_offset": 3}]}]

        async def commit(version: int, epoch: int, member: str) -> int:
            answer = await client.ask(
                8,
                version,
                group_id="g",
                generation_id_or_member_epoch=epoch,
                member_id=member,
                topics=offsets,
            )
            code: int = answer.topics[0].partitions[0].error_code
            return code

        assert await commit(9, joined.member_epoch, "m") == 0
        assert await commit(9, 99, "m") == 113
        assert await commit(8, 99, "m") == 35, "an old client knows no member epochs"
        assert await commit(9, -1, "") == 25

        async def committed(member: str, epoch: int) -> int:
            group = {"group_id": "g", "member_id": member, "member_epoch": epoch, "topics": None}
            code: int = (await client.ask(9, 9, groups=[group])).groups[0].error_code
            return code

        assert await committed("m", joined.member_epoch) == 0
        assert await committed("m", 99) == 113
        assert await committed("n", 1) == 25
        deleted = await client.ask(
            47, 0, group_id="g", topics=[{"name": "t", "partitions": [{"partition_index": 0}]}]
        )
        assert deleted.topics[0].partitions[0].error_code == 86
        assert (await client.ask(42, 2, groups_names=["g"])).results[0].error_code == 68


@pytest.mark.parametrize("version", range(COMMIT.least, COMMIT.most + 1))
async def test_every_version_of_a_commit(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t", partitions=2)
        named = {"topic_id": topic_id} if version >= 10 else {"name": "t"}
        rows = [
            {"partition_index": 0, "committed_offset": 5, "committed_metadata": "m"},
            {"partition_index": 1, "committed_offset": 6, "committed_metadata": "m" * 5_000},
            {"partition_index": 9, "committed_offset": 7},
        ]
        unknown = {"topic_id": "A" * 21 + "Q"} if version >= 10 else {"name": "nope"}
        answer = await client.ask(
            8,
            version,
            group_id="g",
            generation_id_or_member_epoch=-1,
            member_id="",
            topics=[
                {**named, "partitions": rows},
                {**unknown, "partitions": [{"partition_index": 0, "committed_offset": 1}]},
            ],
        )
        codes = [[row.error_code for row in topic.partitions] for topic in answer.topics]
        assert codes == [[0, 12, 3], [100 if version >= 10 else 3]]
        found = await running.broker.groups.fetch_offsets("g")
        assert {key: (at.offset, at.metadata) for key, at in found.items()} == {
            (topic_id, 0): (5, "m")
        }


@pytest.mark.parametrize("version", range(FETCH.least, FETCH.most + 1))
async def test_every_version_of_a_look(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t", partitions=2)
        await client.ask(
            8,
            8,
            group_id="g",
            generation_id_or_member_epoch=-1,
            member_id="",
            topics=[
                {
                    "name": "t",
                    "partitions": [
                        {
                            "partition_index": 0,
                            "committed_offset": 5,
                            "committed_leader_epoch": 2,
                            "committed_metadata": "m",
                        }
                    ],
                }
            ],
        )
        named = {"topic_id": topic_id} if version >= 10 else {"name": "t"}
        unknown = {"topic_id": "A" * 21 + "Q"} if version >= 10 else {"name": "nope"}
        asked = [{**named, "partition_indexes": [0, 1]}, {**unknown, "partition_indexes": [0]}]

        async def look(topics: Any) -> Any:
            if version >= 8:
                group = {"group_id": "g", "topics": topics}
                return (await client.ask(9, version, groups=[group])).groups[0].topics
            return (await client.ask(9, version, group_id="g", topics=topics)).topics

        known, other = await look(asked)
        assert [(row.committed_offset, row.metadata) for row in known.partitions] == [
            (5, "m"),
            (-1, ""),
        ]
        assert known.partitions[0].committed_leader_epoch == (2 if version >= 5 else -1)
        assert other.partitions[0].committed_offset == -1
        assert other.partitions[0].error_code == (100 if version >= 10 else 0)
        if version >= 2:
            (everything,) = await look(None)
            assert [row.committed_offset for row in everything.partitions] == [5]


async def test_groups_are_listed_described_and_deleted(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        await join(client, "m", "t")
        offsets = [{"name": "t", "partitions": [{"partition_index": 0, "committed_offset": 3}]}]
        await client.ask(
            8, 8, group_id="plain", generation_id_or_member_epoch=-1, member_id="", topics=offsets
        )

        async def ids(version: int = 5, **given: Any) -> list[str]:
            groups = (await client.ask(16, version, **given)).groups
            return [group.group_id for group in groups]

        for version in range(6):
            assert await ids(version) == ["g", "plain"]
        assert await ids(types_filter=["Consumer"]) == ["g"]
        assert await ids(types_filter=["classic"]) == ["plain"]
        assert await ids(states_filter=["empty"]) == ["plain"]
        assert await ids(states_filter=["Dead"]) == []
        for version in range(7):
            plain, none = (await client.ask(15, version, groups=["plain", "none"])).groups
            assert (plain.error_code, plain.group_state) == (0, "Empty")
            assert (none.error_code, none.group_state) == (69 if version == 6 else 0, "Dead")
        codes = [
            group.error_code
            for group in (await client.ask(69, 1, group_ids=["plain", "none"])).groups
        ]
        assert codes == [69, 69]
        deleted = await client.ask(
            47, 0, group_id="plain", topics=[{"name": "t", "partitions": [{"partition_index": 0}]}]
        )
        assert deleted.topics[0].partitions[0].error_code == 0
        assert (await client.ask(47, 0, group_id="none", topics=[])).error_code == 69
        for version in range(3):
            answer = await client.ask(42, version, groups_names=["none", ""])
            assert [row.error_code for row in answer.results] == [69, 69]
        assert (await client.ask(42, 2, groups_names=["plain"])).results[0].error_code == 0
        assert await ids() == ["g"]


@pytest.mark.parametrize("version", range(7))
async def test_the_coordinator_is_a_gateway(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        if version < 4:
            answers = [await client.ask(10, version, key="g", key_type=0)]
        else:
            answers = (await client.ask(10, version, coordinator_keys=["g", ""])).coordinators
        for answer in answers:
            assert (answer.error_code, answer.node_id) == (0, running.broker.registry.me.id)
            assert (answer.host, answer.port) == running.address
        if version >= 1:
            given = {"key": "g"} if version < 4 else {"coordinator_keys": ["g"]}
            answer = await client.ask(10, version, key_type=9, **given)
            row = answer if version < 4 else answer.coordinators[0]
            assert (row.error_code, row.node_id) == (42, -1)


async def test_the_library_shares_a_group_with_a_client_of_the_gateway(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic = await create(client, "t", partitions=2)
        for partition in (0, 1):
            await produce(client, "t", batch(b"%d" % partition), partition=partition)
        joined = await join(client, "m", "t")
        assert len(owned(joined)) == 2
        async with aio.Consumer(
            redis_url, namespace=namespace, group_id="g", auto_offset_reset="earliest"
        ) as consumer:
            await consumer.subscribe(["t"])
            epoch, held = joined.member_epoch, owned(joined)

            async def shared() -> Any:
                nonlocal epoch, held
                answer = await beat(client, "m", epoch, topic_partitions=listed(held))
                epoch = answer.member_epoch
                if answer.assignment is not None:
                    held = owned(answer)
                records = await consumer.poll(timeout=0.1)
                return records if records and len(held) == 1 else None

            (record,) = await until(shared)
            ((_, mine),) = held
            assert {mine, record.partition} == {0, 1}
            assert held[0][0] == topic


async def test_offsets_for_a_member_of_a_classic_group(redis_url: str, namespace: str) -> None:
    """Whatever generation it names: Kafka checks the epochs of KIP-848's members alone."""
    async with (
        gateway(redis_url, namespace, group_initial_rebalance_delay_ms=0) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        joined = await client.ask(
            11,
            2,
            group_id="g",
            session_timeout=10_000,
            rebalance_timeout=10_000,
            member_id="",
            protocol_type="consumer",
            protocols=[{"name": "range", "metadata": b""}],
        )
        assert joined.error_code == 0
        asked = {
            "group_id": "g",
            "topics": [{"name": "t", "partition_indexes": [0]}],
            "member_epoch": 7,
        }
        for member in (joined.member_id, "nobody"):
            answer = await client.ask(9, 9, groups=[{**asked, "member_id": member}])
            assert answer.groups[0].error_code == 0
            assert answer.groups[0].topics[0].partitions[0].committed_offset == -1


async def test_a_group_that_is_full(redis_url: str, namespace: str) -> None:
    # As Apache Kafka 4.3 answers with the same configs.
    limits = {"group_max_size": 1, "group_consumer_max_size": 1}
    async with (
        gateway(redis_url, namespace, group_initial_rebalance_delay_ms=0, **limits) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        assert (await join(client, "m1", "t")).error_code == 0
        refused = await join(client, "m2", "t")
        assert (refused.error_code, refused.member_id, refused.member_epoch) == (81, None, 0)
        assert (await join(client, "m1", "t")).error_code == 0
        classic = {
            "group_id": "c",
            "session_timeout": 30_000,
            "rebalance_timeout": 30_000,
            "member_id": "",
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b""}],
        }
        first = await client.ask(11, 0, **classic)
        assert first.error_code == 0
        for version in (0, 3, 4, 9):
            answer = await client.ask(11, version, **classic)
            assert (answer.error_code, answer.member_id, answer.generation_id) == (81, "", -1)
        again = await client.ask(11, 9, **{**classic, "member_id": first.member_id})
        assert (again.error_code, again.generation_id) == (0, 1)

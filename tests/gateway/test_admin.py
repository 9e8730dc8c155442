"""Topics, configs, records and the cluster over the wire, at every version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from partstream.gateway.table import BY_KEY
from tests.gateway.gateways import Client, create, fetch, gateway, produce
from tests.gateway.records import batch, values


def _versions(key: int) -> range:
    return range(BY_KEY[key].least, BY_KEY[key].most + 1)


@pytest.mark.parametrize("version", _versions(19))
async def test_every_version_creates_topics(redis_url: str, namespace: str, version: int) -> None:
    async with (
        gateway(redis_url, namespace, num_partitions=4) as running,
        await Client.connect(running) as client,
    ):
        topic = {"name": "t", "num_partitions": 3, "replication_factor": 3}
        topic["configs"] = [{"name": "retention.ms", "value": "5000"}]
        other = {"name": "u", "num_partitions": -1 if version >= 4 else 4, "replication_factor": 1}
        answer = await client.ask(19, version, topics=[topic, other], timeout=1000)
        assert [row.error_code for row in answer.topics] == [0, 0]
        made = await running.broker.topics.all()
        assert {name: len(topic.partitions) for name, topic in made.items()} == {"t": 3, "u": 4}
        assert made["t"].config.overrides() == {
            "retention.ms": "5000",
            "partstream.partitioner": "murmur2",
        }
        if version >= 7:
            assert [row.topic_id for row in answer.topics] == [made["t"].id, made["u"].id]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"num_partitions": 0}, 37),
        ({"num_partitions": -7}, 37),
        ({"replication_factor": 0}, 38),
        ({"name": "b ad"}, 17),
        ({"name": ""}, 17),
        ({"name": "there"}, 36),
        ({"configs": [{"name": "bogus", "value": "1"}]}, 40),
        ({"configs": [{"name": "retention.ms", "value": "x"}]}, 40),
        ({"configs": [{"name": "retention.ms", "value": None}]}, 40),
        ({"configs": [{"name": "cleanup.policy", "value": "compacted"}]}, 40),
        ({"assignments": [{"partition_index": 0, "broker_ids": [1]}]}, 42),
    ],
)
@pytest.mark.parametrize("validate_only", [True, False])
async def test_errors_of_creation(
    redis_url: str, namespace: str, given: dict[str, Any], code: int, validate_only: bool
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "there")
        topic = {"name": "t", "num_partitions": 1, "replication_factor": 1, **given}
        answer = await client.ask(19, 7, topics=[topic], validate_only=validate_only)
        assert answer.topics[0].error_code == code
        assert answer.topics[0].error_message
        assert list(await running.broker.topics.all()) == ["there"]


async def test_of_names_that_collide_one_is_taken_also_at_the_same_moment(
    redis_url: str, namespace: str
) -> None:
    async with (
        gateway(redis_url, namespace) as one,
        gateway(redis_url, namespace) as other,
        await Client.connect(one) as first,
        await Client.connect(other) as second,
    ):

        async def make(client: Client, name: str) -> int:
            topic = {"name": name, "num_partitions": 2, "replication_factor": 1}
            code: int = (
                (await client.ask(19, 7, topics=[topic], timeout=5_000)).topics[0].error_code
            )
            return code

        for turn in range(10):
            names = (f"a.b.{turn}", f"a_b.{turn}")
            codes = await asyncio.gather(make(first, names[0]), make(second, names[1]))
            assert sorted(codes) == [0, 17], "one of them, and not both"
            assert len(await one.broker.topics.all()) == turn + 1
            # By the other way to make one, too: it is there, or it collides.
            answer = await second.ask(
                3, 9, topics=[{"name": name} for name in names], allow_auto_topic_creation=True
            )
            assert sorted(topic.error_code for topic in answer.topics) == [0, 17]
        # Of those that were refused nothing is left.
        pending = one.broker.store.keys.meta.pending
        assert await one.broker.store.execute("HLEN", pending, key=pending) == 0
        # Others of its length, or with other letters, are no reason.
        assert [await make(first, name) for name in ("a.c.1", "a-b-1", "a_b", "a.b")] == [
            0,
            0,
            0,
            17,
        ]


async def test_twice_in_a_request_and_only_checked(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic = {"name": "t", "num_partitions": 1, "replication_factor": 1}
        answer = await client.ask(19, 7, topics=[topic, topic])
        assert [row.error_code for row in answer.topics] == [42]
        answer = await client.ask(19, 7, topics=[topic], validate_only=True)
        assert answer.topics[0].error_code == 0
        assert await running.broker.topics.all() == {}
        node = running.broker.registry.me.id
        answer = await client.ask(
            19,
            7,
            topics=[
                {
                    "name": "t",
                    "num_partitions": -1,
                    "replication_factor": -1,
                    "assignments": [
                        {"partition_index": number, "broker_ids": [node]} for number in range(3)
                    ],
                }
            ],
        )
        assert (answer.topics[0].num_partitions, answer.topics[0].replication_factor) == (3, 1)


@pytest.mark.parametrize("version", _versions(20))
async def test_every_version_deletes_topics(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        ids = [await create(client, name) for name in ("a", "b")]
        if version < 6:
            answer = await client.ask(20, version, topic_names=["a", "none"], timeout=1000)
            assert [row.error_code for row in answer.responses] == [0, 3]
            assert list(await running.broker.topics.all()) == ["b"]
            return
        wanted = [
            {"name": "a", "topic_id": None},
            {"name": None, "topic_id": ids[1]},
            {"name": "a", "topic_id": ids[0]},
            {"name": "none", "topic_id": None},
        ]
        answer = await client.ask(20, version, topics=wanted, timeout=1000)
        assert [row.error_code for row in answer.responses] == [0, 0, 42, 3]
        assert answer.responses[1].name == "b"
        assert await running.broker.topics.all() == {}


@pytest.mark.parametrize("version", _versions(37))
async def test_every_version_grows_topics(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        for name in ("a", "b", "c"):
            await create(client, name)

        async def grow(**given: Any) -> list[int]:
            topics = [
                {"name": "a", "count": 3, "assignments": None},
                {"name": "b", "count": 1, "assignments": None},
                {"name": "c", "count": 3, "assignments": [{"broker_ids": [1]}]},
                {"name": "none", "count": 3, "assignments": None},
            ]
            answer = await client.ask(37, version, topics=topics, timeout=1000, **given)
            return [row.error_code for row in answer.results]

        assert await grow(validate_only=True) == [0, 37, 39, 3]
        assert await grow() == [0, 37, 39, 3]
        assert len((await running.broker.topics.get("a")).partitions) == 3


@pytest.mark.parametrize("version", _versions(21))
async def test_every_version_deletes_records(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", partitions=2)
        for _ in range(3):
            await produce(client, "t", batch(b"v"))

        async def delete(partition: int, offset: int, topic: str = "t") -> tuple[int, int]:
            rows = [{"partition_index": partition, "offset": offset}]
            answer = await client.ask(21, version, topics=[{"name": topic, "partitions": rows}])
            (row,) = answer.topics[0].partitions
            return row.error_code, row.low_watermark

        assert await delete(0, 2) == (0, 2)
        assert await delete(0, 99) == (1, -1)
        assert await delete(0, -2) == (1, -1)
        assert await delete(7, 0) == (3, -1)
        assert await delete(0, 0, "none") == (3, -1)
        assert values(await fetch(client, "t", 2)) == [(2, b"v")]
        assert (await fetch(client, "t", 1)).error_code == 1
        assert await delete(0, -1) == (0, 3)


@pytest.mark.parametrize("version", _versions(32))
async def test_every_version_describes_configs(
    redis_url: str, namespace: str, version: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", max_message_bytes="5000")

        async def describe(kind: int, name: str, *keys: str) -> Any:
            resource = {
                "resource_type": kind,
                "resource_name": name,
                "configuration_keys": keys or None,
            }
            answer = await client.ask(
                32,
                version,
                resources=[resource],
                include_synonyms=True,
                include_documentation=True,
            )
            return answer.results[0]

        (config,) = (await describe(2, "t", "max.message.bytes")).configs
        assert (config.value, config.config_source, config.read_only) == ("5000", 1, False)
        assert [(one.name, one.value, one.source) for one in config.synonyms] == [
            ("max.message.bytes", "5000", 1),
            ("message.max.bytes", "1048588", 5),
        ]
        if version >= 3:
            assert (config.config_type, bool(config.documentation)) == (3, True)
        everything = {one.name: one for one in (await describe(2, "t")).configs}
        assert everything["retention.ms"].config_source == 5
        if version >= 3:
            assert everything["retention.ms"].config_type == 5
            assert everything["cleanup.policy"].config_type == 7
        assert (await describe(2, "none")).error_code == 3
        assert (await describe(2, "b ad")).error_code == 17
        assert (await describe(99, "t")).error_code == 42
        me = str(running.broker.registry.me.id)
        (config,) = (await describe(4, me, "message.max.bytes")).configs
        assert (config.value, config.read_only) == ("1048588", True)
        names = {one.name for one in (await describe(4, me)).configs}
        assert {"num.partitions", "listeners", "node.id"} <= names
        assert not names & {"url", "password", "username"}
        assert (await describe(4, "77")).error_code == 42
        assert (await describe(4, "")).configs == ()


@pytest.mark.parametrize("version", _versions(33))
async def test_every_version_replaces_configs(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", max_message_bytes="5000", retention_ms="7000")

        async def alter(name: str, configs: dict[str, str | None], **given: Any) -> int:
            rows = [{"name": key, "value": value} for key, value in configs.items()]
            resource = {"resource_type": 2, "resource_name": name, "configs": rows, **given}
            answer = await client.ask(33, version, resources=[resource])
            code: int = answer.responses[0].error_code
            return code

        assert await alter("t", {"retention.ms": "9000"}) == 0
        topic = await running.broker.topics.get("t", fresh=True)
        assert topic.config.overrides() == {
            "retention.ms": "9000",
            "partstream.partitioner": "murmur2",
        }
        assert await alter("t", {"retention.ms": "x"}) == 40
        assert await alter("t", {"retention.ms": None}) == 42
        assert await alter("none", {}) == 3
        assert await alter("1", {}, resource_type=4) == 42
        assert await alter("1", {}, resource_type=99) == 42


@pytest.mark.parametrize("version", _versions(44))
async def test_every_version_changes_configs(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", max_message_bytes="5000", retention_ms="7000")

        async def alter(*steps: tuple[str, int, str | None], check: bool = False) -> int:
            rows = [
                {"name": name, "config_operation": operation, "value": value}
                for name, operation, value in steps
            ]
            resource = {"resource_type": 2, "resource_name": "t", "configs": rows}
            answer = await client.ask(44, version, resources=[resource], validate_only=check)
            code: int = answer.responses[0].error_code
            return code

        assert await alter(("retention.ms", 0, "9000"), ("max.message.bytes", 1, None)) == 0
        assert await alter(("retention.ms", 0, "1"), check=True) == 0
        topic = await running.broker.topics.get("t", fresh=True)
        assert topic.config.overrides()["retention.ms"] == "9000"
        assert "max.message.bytes" not in topic.config.overrides()
        assert await alter(("cleanup.policy", 2, "delete")) == 0
        assert await alter(("retention.ms", 2, "1")) == 40
        assert await alter(("bogus", 0, "1")) == 40
        assert await alter(("bogus", 1, None)) == 0
        assert await alter(("retention.ms", 0, None)) == 42
        assert await alter(("retention.ms", 0, "1"), ("retention.ms", 0, "2")) == 42
        assert await alter(("partstream.partitioner", 0, "crc32")) == 40


@pytest.mark.parametrize("version", _versions(3))
async def test_every_version_of_metadata(redis_url: str, namespace: str, version: int) -> None:
    async with (
        gateway(redis_url, namespace, broker_rack="r1", num_partitions=2) as running,
        await Client.connect(running) as client,
    ):
        topic_id = await create(client, "t", partitions=3)
        everything: Any = [] if version == 0 else None
        answer = await client.ask(3, version, topics=everything)
        (broker,) = answer.brokers
        me = running.broker.registry.me
        assert (broker.node_id, broker.host, broker.port) == (me.id, *running.address)
        assert broker.rack == ("r1" if version >= 1 else None)
        (topic,) = answer.topics
        assert (topic.error_code, topic.name, topic.is_internal) == (0, "t", False)
        assert [row.leader_id for row in topic.partitions] == [me.id] * 3
        assert [row.partition_index for row in topic.partitions] == [0, 1, 2]
        assert topic.topic_id == (topic_id if version >= 10 else None)
        if version >= 1:
            assert (await client.ask(3, version, topics=[])).topics == ()
        asked = [{"name": "b ad"}]
        answer = await client.ask(3, version, topics=asked, allow_auto_topic_creation=False)
        assert answer.topics[0].error_code == 17
        if version >= 4:
            answer = await client.ask(
                3, version, topics=[{"name": "none"}], allow_auto_topic_creation=False
            )
            assert answer.topics[0].error_code == 3
        answer = await client.ask(
            3, version, topics=[{"name": "auto"}], allow_auto_topic_creation=True
        )
        assert (answer.topics[0].error_code, len(answer.topics[0].partitions)) == (0, 2)
        if version >= 12:
            for given, code in ((topic_id, 0), ("A" * 21 + "Q", 100)):
                answer = await client.ask(3, version, topics=[{"name": None, "topic_id": given}])
                assert answer.topics[0].error_code == code


async def test_topics_are_not_created_by_asking_if_that_is_off(
    redis_url: str, namespace: str
) -> None:
    async with (
        gateway(redis_url, namespace, auto_create_topics_enable=False) as running,
        await Client.connect(running) as client,
    ):
        answer = await client.ask(3, 9, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        assert answer.topics[0].error_code == 3


@pytest.mark.parametrize("version", _versions(60))
async def test_every_version_describes_the_cluster(
    redis_url: str, namespace: str, version: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await client.ask(60, version, include_cluster_authorized_operations=True)
        assert (answer.error_code, answer.cluster_id) == (0, running.broker.registry.cluster_id)
        assert [broker.port for broker in answer.brokers] == [running.address[1]]
        assert answer.cluster_authorized_operations == 8096, "as Kafka without authorization"
        if version >= 1:
            assert (await client.ask(60, version, endpoint_type=2)).error_code == 114
            assert (await client.ask(60, version, endpoint_type=9)).error_code == 115


async def test_partitions_come_page_by_page(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        for name, partitions in (("a", 3), ("b", 2), ("c", 1)):
            await create(client, name, partitions=partitions)
        pages = []
        cursor = None
        while True:
            answer = await client.ask(75, 0, topics=[], response_partition_limit=2, cursor=cursor)
            pages.append(
                [(t.name, row.partition_index) for t in answer.topics for row in t.partitions]
            )
            if answer.next_cursor is None:
                break
            cursor = vars(answer.next_cursor)
        assert pages == [
            [("a", 0), ("a", 1)],
            [("a", 2), ("b", 0)],
            [("b", 1), ("c", 0)],
        ]
        answer = await client.ask(75, 0, topics=[{"name": "none"}], response_partition_limit=9)
        assert answer.topics[0].error_code == 3


@pytest.mark.parametrize("version", _versions(35))
async def test_every_version_tells_sizes(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", partitions=2)
        sent = batch(b"x" * 500)
        await produce(client, "t", sent)
        for topics in (None, [{"topic": "t", "partitions": [0, 1, 9]}]):
            (folder,) = (await client.ask(35, version, topics=topics)).results
            (topic,) = folder.topics
            assert [row.partition_size for row in topic.partitions] == [len(sent), 0]


async def test_what_has_configs_is_listed(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")

        async def resources(version: int, *types: int) -> list[tuple[str, int]]:
            answer = await client.ask(74, version, resource_types=types)
            return [(row.resource_name, row.resource_type) for row in answer.config_resources]

        me = str(running.broker.registry.me.id)
        assert await resources(1) == [("t", 2), (me, 4)]
        assert await resources(1, 2) == [("t", 2)]
        assert await resources(0) == []
        assert (await client.ask(74, 1, resource_types=[5])).error_code == 35

"""Admin: topics, their configs and records, on a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from partstream.client.admin import Admin
from partstream.client.producer import Producer
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.errors import (
    ClientTimeout,
    ClosedClient,
    ConfigError,
    IllegalState,
    InvalidConfig,
    InvalidPartitions,
    InvalidRequest,
    InvalidTopic,
    OffsetOutOfRange,
    PartstreamError,
    StoreUnavailable,
    TopicAlreadyExists,
    UnknownTopicOrPartition,
)
from partstream.model import OffsetAndTimestamp, TopicPartition
from tests.client.appending import append


async def test_create_describe_and_delete(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        made = await admin.create_topic("orders", 3, {"retention.ms": 60_000})
        assert (made.name, made.partitions, made.partitioner) == ("orders", 3, "murmur3")
        await admin.create_topic("audit")
        assert [topic.name for topic in await admin.list_topics()] == ["audit", "orders"]
        described = await admin.describe_topic("orders")
        assert described.topic_id == made.topic_id
        assert described.config["retention.ms"] == "60000"
        assert described.config["cleanup.policy"] == "delete"
        assert [partition.partition for partition in described.partitions] == [0, 1, 2]
        assert all(partition.node in redis_url for partition in described.partitions)
        assert set(await admin.describe_topics()) == {"audit", "orders"}
        await admin.delete_topic("orders")
        with pytest.raises(UnknownTopicOrPartition, match="'orders'"):
            await admin.describe_topic("orders")
        again = await admin.create_topic("orders")
        assert again.topic_id != made.topic_id


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("__consumer_offsets", TopicAlreadyExists),
        ("__transaction_state", TopicAlreadyExists),
        ("__share_group_state", TopicAlreadyExists),
        ("__cluster_metadata", InvalidRequest),
    ],
)
async def test_nobody_makes_topics_of_kafkas_own(
    redis_url: str, namespace: str, name: str, refused: type[PartstreamError]
) -> None:
    """As through the gateway; nor are they made by the way."""
    async with (
        Admin(redis_url, namespace=namespace) as admin,
        Producer(redis_url, namespace=namespace) as producer,
    ):
        with pytest.raises(refused, match=name):
            await admin.create_topic(name)
        with pytest.raises(UnknownTopicOrPartition, match=name):
            await producer.send(name, b"a")
        with pytest.raises(UnknownTopicOrPartition, match=name):
            await admin.delete_topic(name)
        assert await admin.list_topics() == []


async def test_sizes_and_offsets_are_those_of_the_log(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 2)
        await append(redis_url, namespace, "orders", 1, [1000, 2000])
        first, second = (await admin.describe_topic("orders")).partitions
        assert (first.start_offset, first.end_offset, first.size) == (0, 0, 0)
        assert (second.start_offset, second.end_offset) == (0, 2)
        assert second.size > 61


@pytest.mark.parametrize(
    ("name", "partitions", "config", "error", "text"),
    [
        ("a b", 1, {}, InvalidTopic, "'a b'"),
        ("orders", 0, {}, InvalidPartitions, "partitions=0"),
        ("orders", 1, {"retention.sm": 5}, InvalidConfig, "retention.sm.*'retention.ms'"),
        ("orders", 1, {"retention.ms": "soon"}, InvalidConfig, "'soon'.*retention.ms"),
        ("orders", 1, {"cleanup.policy": "shrink"}, InvalidConfig, "cleanup.policy.*'compact'"),
    ],
)
async def test_what_create_refuses(
    redis_url: str,
    namespace: str,
    *,
    name: str,
    partitions: int,
    config: dict[str, object],
    error: type[Exception],
    text: str,
) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        with pytest.raises(error, match=text):
            await admin.create_topic(name, partitions, config)
        assert await admin.list_topics() == []


async def test_a_topic_is_made_once(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders")
        with pytest.raises(TopicAlreadyExists, match="'orders'"):
            await admin.create_topic("orders")


async def test_grow(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 2)
        assert (await admin.create_partitions("orders", 5)).partitions == 5
        assert len((await admin.describe_topic("orders")).partitions) == 5
        with pytest.raises(InvalidPartitions, match="5 already"):
            await admin.create_partitions("orders", 5)
        with pytest.raises(UnknownTopicOrPartition, match="'other'"):
            await admin.create_partitions("other", 5)


async def test_alter_config(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 1, {"retention.ms": 1000})
        after = await admin.alter_config("orders", {"retention.ms": None, "segment.bytes": 2048})
        assert after["retention.ms"] == "604800000"
        assert after["segment.bytes"] == "2048"
        assert await admin.describe_config("orders") == after
        with pytest.raises(InvalidConfig, match=r"partstream\.partitioner"):
            await admin.alter_config("orders", {"partstream.partitioner": "crc32"})


async def test_delete_records(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 2)
        first, second = TopicPartition("orders", 0), TopicPartition("orders", 1)
        await append(redis_url, namespace, "orders", 0, [1, 2, 3])
        await append(redis_url, namespace, "orders", 1, [1, 2, 3])
        assert await admin.delete_records({first: 2, second: -1}) == {first: 2, second: 3}
        described = await admin.describe_topic("orders")
        assert [partition.start_offset for partition in described.partitions] == [2, 3]
        with pytest.raises(OffsetOutOfRange, match="7"):
            await admin.delete_records({first: 7})
        with pytest.raises(UnknownTopicOrPartition, match="no partition 9"):
            await admin.delete_records({TopicPartition("orders", 9): 0})
        with pytest.raises(InvalidRequest, match="'all'"):
            await admin.delete_records({first: "all"})  # type: ignore[dict-item] # it is wrong
        with pytest.raises(IllegalState, match="is no TopicPartition"):
            await admin.delete_records({"orders": 1})  # type: ignore[dict-item] # it is wrong


async def test_list_offsets(redis_url: str, namespace: str) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    at = TopicPartition("orders", 0)
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders")
        await append(redis_url, namespace, "orders", 0, [now - 2000, now - 1000])
        await admin.delete_records({at: 1})
        assert (await admin.list_offsets({at: "earliest"}))[at] == OffsetAndTimestamp(1, -1, 0)
        assert (await admin.list_offsets({at: "latest"}))[at] == OffsetAndTimestamp(2, -1, 0)
        by_ms = (await admin.list_offsets({at: now - 1500}))[at]
        assert by_ms == OffsetAndTimestamp(1, now - 1000, 0)
        moment = datetime.fromtimestamp((now - 1500) / 1000, UTC)
        assert (await admin.list_offsets({at: moment}))[at] == by_ms
        assert (await admin.list_offsets({at: now}))[at] is None
        with pytest.raises(InvalidRequest, match="'middle'"):
            await admin.list_offsets({at: "middle"})  # type: ignore[dict-item] # it is wrong


async def test_describe_cluster_of_one(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        described = await admin.describe_cluster()
    assert described.kind == "standalone"
    assert described.namespace == namespace
    (node,) = described.nodes
    assert node.address in redis_url
    assert (node.slots, node.replicas) == (16384, ())
    assert node.product in ("redis", "valkey")


async def test_describe_a_cluster(cluster_url: str, namespace: str) -> None:
    async with Admin(cluster_url, namespace=namespace) as admin:
        described = await admin.describe_cluster()
        await admin.create_topic("orders", 6)
        topic = await admin.describe_topic("orders")
        await admin.delete_topic("orders")
    assert described.kind == "cluster"
    assert sum(node.slots for node in described.nodes) == 16384
    assert [len(node.replicas) for node in described.nodes] == [1, 1, 1]
    assert {partition.node for partition in topic.partitions} == {
        node.address for node in described.nodes
    }


async def test_maintain_drops_what_is_too_old(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("orders", 1, {"retention.ms": 1000})
        await append(redis_url, namespace, "orders", 0, [1])
        swept = await admin.maintain()
        assert (swept.partitions, swept.segments) == (1, 1)
        (partition,) = (await admin.describe_topic("orders")).partitions
        assert (partition.start_offset, partition.end_offset, partition.size) == (1, 1, 0)


async def test_two_namespaces_never_meet(redis_url: str, namespace: str) -> None:
    other_name = f"{namespace}-2"
    async with (
        Admin(redis_url, namespace=namespace) as admin,
        Admin(redis_url, namespace=other_name) as other,
    ):
        await admin.create_topic("orders")
        assert await other.list_topics() == []
        with pytest.raises(UnknownTopicOrPartition):
            await other.delete_topic("orders")


async def test_before_start_and_after_close(redis_url: str, namespace: str) -> None:
    admin = Admin(redis_url, namespace=namespace)
    with pytest.raises(IllegalState, match="not started"):
        await admin.list_topics()
    await admin.start()
    await admin.close()
    await admin.close()
    with pytest.raises(ClosedClient):
        await admin.list_topics()


async def test_an_unknown_config_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'client_idd'.*'client_id'"):
        Admin(client_idd="x")


async def test_nobody_there() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await Admin("redis://127.0.0.1:1").start()


async def test_a_call_ends_with_its_timeout(redis_url: str, namespace: str) -> None:
    async with Admin(redis_url, namespace=namespace, default_api_timeout_ms=1) as admin:
        with pytest.raises(ClientTimeout, match=r"create_topic.*default_api_timeout_ms=1$"):
            await admin.create_topic("orders", 4000)
        await asyncio.sleep(0)


async def test_describe_behind_sentinels(fresh_sentinel: EmbeddedSentinel, namespace: str) -> None:
    async with Admin(fresh_sentinel.url, namespace=namespace) as admin:
        described = await admin.describe_cluster()
    assert described.kind == "sentinel"
    assert [node.slots for node in described.nodes] == [16384]

"""Real clients, unchanged: they write, read, commit and rebalance through the gateway."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AIOPartition
from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka import TopicPartition as KafkaPartition

from tests.gateway.gateways import address, gateway

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COUNT = 500


@pytest.mark.parametrize("codec", CODECS)
async def test_confluent_kafka(redis_url: str, namespace: str, codec: str) -> None:

    def work(bootstrap: str) -> list[Any]:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": codec,
                "enable.idempotence": True,
            }
        )
        for number in range(COUNT):
            producer.produce("t", b"v%d" % number, key=b"k", headers=[("h", b"x"), ("n", None)])
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, 0)])
        seen: list[Any] = []
        deadline = time.monotonic() + 20
        while len(seen) < COUNT and time.monotonic() < deadline:
            seen += consumer.consume(COUNT, 0.5)
        assert consumer.get_watermark_offsets(TopicPartition("t", 0)) == (0, COUNT)
        consumer.close()
        return seen

    async with gateway(redis_url, namespace) as running:
        seen = await asyncio.to_thread(work, address(running))
    assert [record.value() for record in seen] == [b"v%d" % number for number in range(COUNT)]
    assert [record.offset() for record in seen] == list(range(COUNT))
    assert seen[0].headers() == [("h", b"x"), ("n", None)]
    assert seen[0].key() == b"k"


async def test_confluent_kafka_groups(redis_url: str, namespace: str) -> None:
    """KIP-848: two members share, one leaves, the other takes over where it stopped."""

    def work(bootstrap: str) -> None:
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.list_topics("t", timeout=10)
        for number in range(COUNT):
            producer.produce("t", b"%d" % number, partition=number % 4)
        assert producer.flush(20) == 0

        def member(name: str) -> Consumer:
            consumer = Consumer(
                {
                    "bootstrap.servers": bootstrap,
                    "group.id": "g",
                    "group.protocol": "consumer",
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "client.id": name,
                }
            )
            consumer.subscribe(["^t.*"])
            return consumer

        one, two = member("one"), member("two")
        seen: set[bytes | None] = set()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for consumer in (one, two):
                seen |= {record.value() for record in consumer.consume(100, 0.05)}
            if len(seen) == COUNT and len(one.assignment()) == len(two.assignment()) == 2:
                break
        assert (len(one.assignment()), len(two.assignment())) == (2, 2)
        assert len(seen) == COUNT
        one.commit(asynchronous=False)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        described = admin.describe_consumer_groups(["g"])["g"].result(10)
        assert sorted(m.client_id for m in described.members) == ["one", "two"]
        one.close()
        while len(two.assignment()) < 4 and time.monotonic() < deadline:
            two.poll(0.05)
        committed = two.committed(two.assignment(), timeout=10)
        assert sorted(row.offset for row in committed)[-2:] == [COUNT // 4] * 2
        two.close()

    async with gateway(
        redis_url, namespace, num_partitions=4, group_consumer_heartbeat_interval_ms=200
    ) as running:
        await asyncio.to_thread(work, address(running))


async def test_confluent_kafka_administers(redis_url: str, namespace: str) -> None:

    def work(bootstrap: str) -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        made = admin.create_topics([NewTopic("t", 3, 3, config={"retention.ms": "5000"})])
        made["t"].result(10)
        assert len(admin.list_topics(timeout=10).topics["t"].partitions) == 3
        (described,) = admin.describe_topics(TopicCollection(["t"])).values()
        assert described.result(10).partitions[2].leader.port > 0
        assert admin.describe_cluster().result(10).nodes[0].port > 0
        admin.delete_topics(["t"])["t"].result(10)
        assert "t" not in admin.list_topics(timeout=10).topics

    async with gateway(redis_url, namespace) as running:
        await asyncio.to_thread(work, address(running))


@pytest.mark.parametrize("codec", CODECS)
async def test_kafka_python(redis_url: str, namespace: str, codec: str) -> None:

    def work(bootstrap: str) -> list[Any]:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec
        )
        for number in range(COUNT):
            producer.send("t", b"v%d" % number, key=b"k", headers=[("h", b"x")])
        producer.flush(20)
        producer.close()
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id="g",
            enable_auto_commit=False,
            consumer_timeout_ms=20_000,
        )
        partition = KafkaPartition("t", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        seen = [next(consumer) for _ in range(COUNT)]
        assert consumer.end_offsets([partition]) == {partition: COUNT}
        consumer.commit({partition: OffsetAndMetadata(COUNT, "done", -1)})
        assert consumer.committed(partition) == COUNT
        consumer.close()
        return seen

    async with gateway(redis_url, namespace) as running:
        seen = await asyncio.to_thread(work, address(running))
    assert [record.value for record in seen] == [b"v%d" % number for number in range(COUNT)]
    assert list(seen[0].headers) == [("h", b"x")]


@pytest.mark.parametrize("codec", CODECS)
async def test_aiokafka(redis_url: str, namespace: str, codec: str) -> None:

    async with gateway(redis_url, namespace) as running:
        producer = AIOKafkaProducer(
            bootstrap_servers=address(running),
            compression_type=None if codec == "none" else codec,
            enable_idempotence=True,
        )
        await producer.start()
        for number in range(COUNT):
            await producer.send("t", b"v%d" % number, key=b"k")
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=address(running))
        await consumer.start()
        consumer.assign([AIOPartition("t", 0)])
        consumer.seek(AIOPartition("t", 0), 0)
        seen = [await consumer.getone() for _ in range(COUNT)]
        await consumer.stop()
    assert [record.value for record in seen] == [b"v%d" % number for number in range(COUNT)]

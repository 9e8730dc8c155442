"""Batches as we write them, stored by librdkafka's mock cluster and read by its consumer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition

from partstream.records.codec import encode
from partstream.records.compression import NAMES

RECORDS: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (1_700_000_000_000, None, None, [("a", None), ("a", b"")]),
    *((1_700_000_000_000 + i, b"key", b'{"flight": %d}' % i * 40, []) for i in range(400)),
]


@pytest.fixture(scope="module")
def owner() -> Iterator[confluent_kafka.Producer]:
    """A producer of librdkafka with a broker inside."""
    owner = confluent_kafka.Producer(
        {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0}
    )
    yield owner
    owner.flush(1)


def string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def produce(address: tuple[str, int], topic: str, batch: bytes) -> int:
    """Send one Produce request, version 7, to partition 0; the error code that comes back."""
    records = struct.pack(">iii", 1, 0, len(batch)) + batch
    request = (
        struct.pack(">hhi", 0, 7, 1)
        + string("test")
        + struct.pack(">hhii", -1, -1, 10_000, 1)
        + string(topic)
        + records
    )
    with socket.create_connection(address, timeout=10) as link, link.makefile("rb") as answers:
        link.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", answers.read(4))
        answer = answers.read(size)
    at = 4 + 4 + len(string(topic)) + 4 + 4
    (code,) = struct.unpack_from(">h", answer, at)
    return int(code)


@pytest.mark.parametrize("codec", range(5))
def test_every_codec(owner: confluent_kafka.Producer, codec: int) -> None:
    topic = f"topic-{NAMES[codec]}"
    broker = next(iter(owner.list_topics(topic, timeout=10).brokers.values()))  # makes the topic
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": f"{broker.host}:{broker.port}",
            "group.id": "g",
            "check.crcs": True,
            "log_level": 0,
        }
    )
    try:
        assert produce((broker.host, broker.port), topic, encode(RECORDS, codec)) == 0
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(len(RECORDS), timeout=20)
        assert [message.error() for message in messages] == [None] * len(RECORDS)
        assert [
            (m.offset(), m.timestamp(), m.key(), m.value(), m.headers() or []) for m in messages
        ] == [
            (i, (confluent_kafka.TIMESTAMP_CREATE_TIME, timestamp), key, value, headers)
            for i, (timestamp, key, value, headers) in enumerate(RECORDS)
        ]
    finally:
        consumer.close()

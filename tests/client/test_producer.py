"""Records in, deliveries out: what a record may carry, and where it goes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from partstream import partitioners
from partstream.client.admin import Admin
from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import (
    ClientTimeout,
    ClosedClient,
    ConfigError,
    IllegalState,
    InvalidTimestamp,
    InvalidTopic,
    PartstreamError,
    SerializationError,
    StorePermissionDenied,
    StoreUnavailable,
    UnknownTopicOrPartition,
)
from partstream.model import RecordMetadata, TimestampType
from tests.client.producing import logs, make_topic, numbered, values
from tests.waiting import until


@pytest.mark.every_server
async def test_records_arrive_as_they_were_sent(redis_url: str, namespace: str) -> None:
    sent: list[dict[str, Any]] = [
        {"value": b"value", "key": b"key", "headers": [("a", b"1"), ("a", b"2"), ("n", None)]},
        {"value": None, "key": b"key"},
        {"value": b"", "key": None, "headers": []},
        {"value": bytearray(b"array"), "key": bytearray(b"key")},
        {"value": memoryview(b"view"), "key": memoryview(b"key")},
        {"value": b"x" * 100_000, "key": b""},
        {"value": b"dated", "key": None, "timestamp_ms": 1_234_567_890_123},
        {"value": b"old", "key": None, "timestamp_ms": 0},
        {},
    ]
    before = time.time_ns() // 1_000_000
    async with Producer(redis_url, namespace=namespace) as producer:
        deliveries = [await producer.send("t", **each) for each in sent]
        placed = [await delivery for delivery in deliveries]
    after = time.time_ns() // 1_000_000
    (log,) = await logs(redis_url, namespace, "t")
    for record, each in zip(log, sent, strict=True):
        assert record.value == each.get("value")
        assert record.key == each.get("key")
        assert record.headers == tuple(each.get("headers", ()))
        assert record.timestamp_type == TimestampType.CREATE_TIME
        if "timestamp_ms" in each:
            assert record.timestamp == each["timestamp_ms"]
        else:
            assert before <= record.timestamp <= after
    assert placed == [
        RecordMetadata("t", 0, offset, record.timestamp) for offset, record in enumerate(log)
    ]


@pytest.mark.parametrize("acks", [0, 1, "all", "-1", -1])
async def test_acks(redis_url: str, namespace: str, acks: object) -> None:
    async with Producer(redis_url, namespace=namespace, acks=acks) as producer:
        deliveries = [await producer.send("t", value) for value in numbered(500)]
        offsets = [(await delivery).offset for delivery in deliveries]
    assert offsets == ([-1] * 500 if acks == 0 else list(range(500)))
    assert await values(redis_url, namespace, "t") == [numbered(500)]


async def test_log_append_time(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", message_timestamp_type="LogAppendTime")
    async with Producer(redis_url, namespace=namespace) as producer:
        placed = await (await producer.send("t", b"x", timestamp_ms=5))
    (log,) = await logs(redis_url, namespace, "t")
    assert log[0].timestamp_type == TimestampType.LOG_APPEND_TIME
    assert placed.timestamp == log[0].timestamp
    assert abs(placed.timestamp - time.time() * 1000) < 60_000


async def test_timestamps_out_of_bounds(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", message_timestamp_after_max_ms=1_000)
    now = time.time_ns() // 1_000_000
    async with Producer(redis_url, namespace=namespace, linger_ms=0) as producer:
        early = await producer.send("t", b"x", timestamp_ms=now + 100_000)
        with pytest.raises(InvalidTimestamp, match=str(now + 100_000)):
            await early
        assert (await (await producer.send("t", b"x", timestamp_ms=now))).offset == 0
        for wrong in (-1, 2**63):
            with pytest.raises(InvalidTimestamp, match=f"timestamp_ms={wrong}"):
                await producer.send("t", b"x", timestamp_ms=wrong)


@pytest.mark.parametrize("codec", ["none", "zstd"])
async def test_one_record_that_is_too_old_takes_its_batch_with_it(
    redis_url: str, namespace: str, codec: str
) -> None:
    """Wherever it stands in it; the batches before and behind it are taken."""
    await make_topic(redis_url, namespace, "t", message_timestamp_before_max_ms=60_000)
    now = time.time_ns() // 1_000_000
    async with Producer(
        redis_url, namespace=namespace, batch_size=1_000, compression_type=codec
    ) as producer:
        # Nine records of 100 bytes fill a batch; those of a batch are equal but for one in the
        # middle of the third.
        old = 2 * 9 + 4
        deliveries = [
            await producer.send(
                "t", b"%0100d" % number, timestamp_ms=now - (3_600_000 if number == old else 0)
            )
            for number in range(90)
        ]
        results = await asyncio.gather(*deliveries, return_exceptions=True)
    refused = [number for number, result in enumerate(results) if isinstance(result, Exception)]
    assert old in refused
    size = len(refused)
    assert refused == list(range(2 * size, 3 * size)), "of one batch, and whole"
    for number in refused:
        assert isinstance(results[number], InvalidTimestamp)
        assert str(now - 3_600_000) in str(results[number])
        assert f"none of the {size} records" in str(results[number])
    taken = [b"%0100d" % number for number in range(90) if number not in refused]
    assert await values(redis_url, namespace, "t") == [taken]


async def test_the_time_that_is_bounded_may_be_asked_for_under_way(
    redis_url: str, namespace: str
) -> None:
    await make_topic(redis_url, namespace, "t")
    now = time.time_ns() // 1_000_000
    times = (now, now - 3_600_000, now)
    async with (
        Producer(redis_url, namespace=namespace) as producer,
        Admin(redis_url, namespace=namespace) as admin,
    ):
        first = [await producer.send("t", b"x", timestamp_ms=at) for at in times]
        assert [(await each).offset for each in first] == [0, 1, 2]
        limit = producer.routes["t"].queues[0].limit
        await admin.alter_config(
            "t", {"message.timestamp.before.max.ms": 60_000, "max.message.bytes": limit - 1}
        )
        await until(lambda: producer.routes["t"].queues[0].limit == limit - 1)
        later = [await producer.send("t", b"y", timestamp_ms=at) for at in times]
        for each in later:
            with pytest.raises(InvalidTimestamp):
                await each


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("by", ["producer", "topic"])
async def test_compression(redis_url: str, namespace: str, codec: str, by: str) -> None:
    own, stored = (codec, "producer") if by == "producer" else ("none", codec)
    await make_topic(redis_url, namespace, "t", compression_type=stored)
    async with Producer(redis_url, namespace=namespace, compression_type=own) as producer:
        for value in numbered(2_000):
            await producer.send("t", value, key=b"key", headers=[("name", b"value")])
        await producer.flush()
        store = producer.store
        topic = await producer.find("t")
        key = topic.partitions[0].keys.log
        ((_, (_, payload, *_)), *_) = await store.execute("XRANGE", key, "-", "+", key=key)
        assert payload[22] & 7 == {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[codec]
        assert len(payload) < 20_000
    assert await values(redis_url, namespace, "t") == [numbered(2_000)]


@pytest.mark.parametrize(("codec", "levels"), [("gzip", (1, 9)), ("zstd", (-50, 19))])
@pytest.mark.parametrize("by", ["producer", "topic"])
async def test_levels_of_compression(
    redis_url: str, namespace: str, codec: str, levels: tuple[int, int], by: str
) -> None:
    value = b" ".join(b"%d" % (number * number) for number in range(8_000))
    sizes = []
    for level in levels:
        config: dict[str, Any] = {"compression_type": codec, f"compression_{codec}_level": level}
        topic, own = ({}, config) if by == "producer" else (config, {})
        await make_topic(redis_url, namespace, f"t{level}", 1, **topic)
        async with (
            Producer(redis_url, namespace=namespace, **own) as producer,
            Admin(redis_url, namespace=namespace) as admin,
        ):
            await (await producer.send(f"t{level}", value))
            (partition,) = (await admin.describe_topic(f"t{level}")).partitions
            sizes.append(partition.size)
        assert await values(redis_url, namespace, f"t{level}") == [[value]]
    assert sizes[1] < sizes[0]


async def test_a_topic_may_ask_for_no_compression(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", compression_type="uncompressed")
    async with Producer(redis_url, namespace=namespace, compression_type="zstd") as producer:
        await producer.send("t", b"x" * 10_000)
        await producer.flush()
        topic = await producer.find("t")
        key = topic.partitions[0].keys.log
        assert await producer.store.execute("MEMORY", "USAGE", key, key=key) > 10_000


# Where records go.


@pytest.mark.parametrize("name", ["murmur3", "murmur2", "crc32"])
async def test_the_topic_says_how_keys_are_hashed(
    redis_url: str, namespace: str, name: str
) -> None:
    await make_topic(redis_url, namespace, "t", 7, **{"partstream.partitioner": name})
    hashed = partitioners.get_partitioner(name)
    async with Producer(redis_url, namespace=namespace) as producer:
        for _ in range(2):
            for key in numbered(40):
                placed = await producer.send("t", b"x", key=key)
                assert placed._outcome.where.partition == hashed(key, 7)


async def test_an_explicit_partition(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", 3)
    async with Producer(redis_url, namespace=namespace) as producer:
        for partition in (2, 0, 1):
            assert (
                await (await producer.send("t", b"x", partition=partition))
            ).partition == partition
        for wrong in (3, -1, "1", 1.0, b"1"):
            with pytest.raises(
                UnknownTopicOrPartition, match=f"'t' has no partition {wrong!r}, it has 3"
            ):
                await producer.send("t", b"x", partition=wrong)  # type: ignore[arg-type]


async def test_a_partitioner_of_ones_own(redis_url: str, namespace: str) -> None:
    asked = []

    def last(key: bytes | None, partitions: int) -> int:
        asked.append((key, partitions))
        return partitions - 1

    await make_topic(redis_url, namespace, "t", 3)
    async with Producer(redis_url, namespace=namespace, partitioner=last) as producer:
        assert (await (await producer.send("t", b"x", key=b"k"))).partition == 2
        assert (await (await producer.send("t", b"x"))).partition == 2
        assert (await (await producer.send("t", b"x", key=b"k", partition=0))).partition == 0
    assert asked == [(b"k", 3), (None, 3)]
    async with Producer(redis_url, namespace=namespace, partitioner=lambda key, n: n) as producer:
        with pytest.raises(UnknownTopicOrPartition, match="no partition 3"):
            await producer.send("t", b"x")


async def test_serializers(redis_url: str, namespace: str) -> None:
    async with Producer(
        redis_url,
        namespace=namespace,
        key_serializer=str.encode,
        value_serializer=lambda value: json.dumps(value).encode(),
    ) as producer:
        await producer.send("t", {"a": 1}, key="key")
        await producer.send("t", None, key=None)
        with pytest.raises(
            SerializationError, match=r"the key 5 for topic 't'.*TypeError"
        ) as caught:
            await producer.send("t", "value", key=5)
        assert isinstance(caught.value.__cause__, TypeError)
        with pytest.raises(SerializationError, match=r"the value \{1\} for topic 't'"):
            await producer.send("t", {1}, key="key")
    (log,) = await logs(redis_url, namespace, "t")
    assert [(record.key, record.value) for record in log] == [(b"key", b'{"a": 1}'), (None, None)]


async def test_a_serializer_that_makes_no_bytes(redis_url: str, namespace: str) -> None:
    async with Producer(
        redis_url, namespace=namespace, key_serializer=int, value_serializer=str
    ) as producer:
        with pytest.raises(SerializationError, match="key must be bytes or None, not int: 5"):
            await producer.send("t", 1, key="5")
        with pytest.raises(SerializationError, match="value must be bytes or None, not str: '1'"):
            await producer.send("t", 1)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"value": "text"}, SerializationError, "value must be bytes or None, not str: 'text'"),
        ({"value": 5}, SerializationError, "value must be .* not int: 5"),
        ({"key": "text"}, SerializationError, "key must be bytes or None, not str: 'text'"),
        ({"key": ["k"]}, SerializationError, "key must be .* not list"),
        ({"key": 5}, SerializationError, "key must be .* not int: 5"),
        ({"headers": 5}, SerializationError, "headers must be .* not int: 5"),
        ({"headers": {"a": b"1"}}, SerializationError, "header must be a tuple .* not 'a'"),
        ({"headers": [("a", "1")]}, SerializationError, r"not \('a', '1'\)"),
        ({"headers": [(b"a", b"1")]}, SerializationError, r"not \(b'a', b'1'\)"),
        ({"headers": [["a", b"1"]]}, SerializationError, r"not \['a', b'1'\]"),
        ({"timestamp_ms": "now"}, SerializationError, "timestamp must be an int, not str: 'now'"),
        ({"timestamp_ms": 1.5}, SerializationError, "timestamp must be an int, not float: 1.5"),
        ({"timestamp_ms": True}, SerializationError, "timestamp must be an int, not bool: True"),
        ({"partition": True}, UnknownTopicOrPartition, "no partition True, it has 3"),
        ({"partition": "0"}, UnknownTopicOrPartition, "no partition '0', it has 3"),
    ],
)
async def test_wrong_types(
    redis_url: str, namespace: str, wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    await make_topic(redis_url, namespace, "t", partitions=3)
    async with Producer(redis_url, namespace=namespace) as producer:
        for _ in range(2):  # the first record opens a batch, the second finds one
            with pytest.raises(error, match=text):
                await producer.send("t", **{"value": b"x", **wrong})
            await producer.send("t", b"fine", partition=0)
        await producer.flush()
    assert await values(redis_url, namespace, "t") == [[b"fine", b"fine"], [], []]


@pytest.mark.parametrize("wrong", [None, 5, b"t", ["t"], "", ".", "a b", "t" * 250])
async def test_wrong_topics(redis_url: str, namespace: str, wrong: Any) -> None:
    async with Producer(redis_url, namespace=namespace) as producer:
        with pytest.raises(InvalidTopic):
            await producer.send(wrong, b"x")
        with pytest.raises(InvalidTopic):
            await producer.partitions_for(wrong)


# Topics that are made on first use.


async def test_topics_are_created_on_first_use(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, num_partitions=5) as producer:
        deliveries = await asyncio.gather(*(producer.send("t", b"x", key=b"k") for _ in range(20)))
        assert await producer.partitions_for("t") == 5
        assert await producer.partitions_for("other") == 5
        assert sorted([(await delivery).offset for delivery in deliveries]) == list(range(20))


async def test_topics_are_not_created_if_that_is_off(redis_url: str, namespace: str) -> None:
    async with Producer(redis_url, namespace=namespace, allow_auto_create_topics=False) as producer:
        with pytest.raises(UnknownTopicOrPartition, match="'t'"):
            await producer.send("t", b"x")
        await make_topic(redis_url, namespace, "t")
        assert (await (await producer.send("t", b"x"))).offset == 0


# Starting and closing.


async def test_a_producer_that_is_not_open(redis_url: str, namespace: str) -> None:
    producer = Producer(redis_url, namespace=namespace)
    with pytest.raises(IllegalState, match="not started"):
        await producer.send("t", b"x")
    assert await producer.start() is producer
    await producer.start()
    await (await producer.send("t", b"x"))
    await producer.close()
    await producer.close()
    for call in (
        producer.send("t", b"x"),
        producer.flush(),
        producer.partitions_for("t"),
        producer.start(),
    ):
        with pytest.raises(ClosedClient):
            await call
    never = Producer(redis_url, namespace=namespace)
    await never.close()


async def test_a_producer_whose_loop_has_ended_is_closed(redis_url: str, namespace: str) -> None:
    """To whoever goes on in another loop of the same thread."""
    ended = asyncio.new_event_loop()
    ended.close()
    async with Producer(redis_url, namespace=namespace) as producer:
        await (await producer.send("t", b"x"))
        loop, producer._loop = producer._loop, ended
        with pytest.raises(ClosedClient):
            await producer.send("t", b"y")
        producer._loop = loop


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"acks": 2}, "acks"),
        ({"lingerms": 5}, "linger_ms"),
        ({"linger_ms": -1}, "linger_ms"),
        ({"batch_size": "big"}, "batch_size"),
        ({"compression_type": "brotli"}, "brotli|compression_type"),
        ({"enable_idempotence": True, "acks": 1}, "enable_idempotence"),
        ({"partitioner": "murmur2"}, "partitioner"),
    ],
)
def test_wrong_configs(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Producer("redis://localhost", **config)


async def test_nobody_there() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await Producer("redis://127.0.0.1:1", request_timeout_ms=500).start()


async def test_a_start_that_failed_may_be_tried_again(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    """The server answers, and then has no producer id to give."""
    fresh_server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-incr")
    login = {"username": "app", "password": "secret"}
    producer = Producer(fresh_server.url, namespace=namespace, **login)
    for _ in range(2):
        with pytest.raises(StorePermissionDenied):
            await producer.start()
    fresh_server.command("ACL", "SETUSER", "app", "+incr")
    async with producer:
        await (await producer.send("t", b"v"))


async def test_close_delivers_what_was_accepted(redis_url: str, namespace: str) -> None:
    producer = await Producer(redis_url, namespace=namespace, linger_ms=60_000).start()
    deliveries = [await producer.send("t", value) for value in numbered(5_000)]
    await producer.close()
    assert all(delivery.exception() is None for delivery in deliveries)
    assert await values(redis_url, namespace, "t") == [numbered(5_000)]


async def test_an_error_in_the_block_does_not_lose_records(redis_url: str, namespace: str) -> None:
    async def fail() -> None:
        async with Producer(redis_url, namespace=namespace, linger_ms=60_000) as producer:
            await producer.send("t", b"x")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await fail()
    assert await values(redis_url, namespace, "t") == [[b"x"]]


async def test_flush_reports_nothing_but_time(redis_url: str, namespace: str) -> None:
    await make_topic(redis_url, namespace, "t", message_timestamp_after_max_ms=0)
    async with Producer(redis_url, namespace=namespace, linger_ms=60_000) as producer:
        failed = await producer.send("t", b"x", timestamp_ms=10**14)
        await producer.flush()
        assert isinstance(failed.exception(), InvalidTimestamp)
        await producer.send("t", b"x")
        with pytest.raises(ClientTimeout, match="0 s"):
            await producer.flush(timeout=0)


@pytest.mark.parametrize("acks", [0, 1])
@pytest.mark.parametrize("timeout", [0, 0.0, -1])
async def test_flush_has_no_time_to_wait(
    redis_url: str, namespace: str, acks: int, timeout: float
) -> None:
    async with Producer(redis_url, namespace=namespace, linger_ms=60_000, acks=acks) as producer:
        await producer.flush(timeout)
        delivery = await producer.send("t", b"x")
        with pytest.raises(ClientTimeout, match=f"on their way after {timeout} s"):
            await producer.flush(timeout)
        await delivery  # it was sent all the same
        await producer.flush()
        await producer.flush(timeout)


async def test_errors_say_whether_to_retry() -> None:
    assert issubclass(ClientTimeout, PartstreamError)
    assert ClientTimeout.retriable
    assert not SerializationError.retriable

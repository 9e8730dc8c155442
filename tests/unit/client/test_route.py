"""From key to queue, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from partstream.client.accumulator import Accumulator, Queue
from partstream.client.route import Route
from partstream.config.build import load
from partstream.config.producer import ProducerConfig
from partstream.config.topic import TopicConfig
from partstream.engine.partition import Topic, decode_topic, encode_topic
from partstream.errors import InvalidRecord, SerializationError, UnknownTopicOrPartition
from partstream.partitioners import partition_crc32, partition_murmur2, partition_murmur3
from partstream.store.keys import Keys


def topic(partitions: int, **config: object) -> Topic:
    dotted = {key.replace("_", "."): value for key, value in config.items()}
    row = encode_topic("id", partitions, TopicConfig.from_overrides(dotted), 1)
    return decode_topic(Keys("ps"), "t", row)


def route(to: Topic, **config: Any) -> Route:
    accumulator = Accumulator(
        batch_size=1_000,
        buffer_memory=1 << 20,
        max_request_size=1_000,
        on_open=lambda _: None,
        on_full=lambda _: None,
    )
    return Route(to, load(ProducerConfig, config), accumulator)


def place(own: Route, key: Any = None, partition: int | None = None) -> int:
    delivery = own.append(b"x", key, None, partition, None)
    assert delivery is not None
    return delivery._outcome.where.partition


def test_keys_keep_their_partition_whatever_is_remembered() -> None:
    own = route(topic(7))
    keys = [b"%d" % number for number in range(500)]
    expected = [partition_murmur3(key, 7) for key in keys]
    for _ in range(3):
        assert [place(own, key) for key in keys] == expected
    assert [place(own, bytearray(key)) for key in keys] == expected
    assert [place(own, memoryview(key)) for key in keys] == expected


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partstream.client.route._KEYS_REMEMBERED", 10)
    own = route(topic(3))
    for number in range(100):
        assert place(own, b"%d" % number) == partition_murmur3(b"%d" % number, 3)
        assert len(own._by_key) <= 10


def test_growing_moves_keys_by_the_new_number() -> None:
    own = route(topic(2))
    old = own.queues
    keys = [b"%d" % number for number in range(100)]
    assert [place(own, key) for key in keys] == [partition_murmur3(key, 2) for key in keys]
    own.follow(topic(5))
    assert own.queues[:2] == old, "what waits in them stays"
    assert [place(own, key) for key in keys] == [partition_murmur3(key, 5) for key in keys]


def test_another_topic_of_that_name() -> None:
    own = route(topic(5))
    place(own, b"k")
    own.follow(topic(2, partstream_partitioner="murmur2"))
    assert place(own, b"k") == partition_murmur2(b"k", 2)
    with pytest.raises(UnknownTopicOrPartition, match="no partition 2, it has 2"):
        place(own, partition=2)


@pytest.mark.parametrize("name", ["murmur3", "murmur2", "crc32"])
def test_an_empty_key(name: str) -> None:
    """librdkafka takes it for none."""
    own = route(topic(50, partstream_partitioner=name))
    places = set()
    for _ in range(20):
        places.add(place(own, b""))
        own.batch_ended(own.queues[own._sticky.partition(50)])
    assert len(places) > 5 if name == "crc32" else len(places) == 1
    assert partition_crc32(b"", 50) == 0


def test_records_without_a_key_move_on_when_their_batch_ends() -> None:
    own = route(topic(3))
    here = place(own)
    assert place(own) == here
    other = own.queues[(here + 1) % 3]
    own.batch_ended(other)
    assert place(own) == here, "the batch of another partition"
    own.batch_ended(own.queues[here])
    assert place(own) != here


def test_codec_and_limit_follow_the_topic() -> None:
    own = route(topic(1, compression_type="gzip", max_message_bytes=500), compression_type="lz4")
    queue: Queue = own.queues[0]
    assert (queue.codec, queue.limit) == (1, 500)
    own.follow(topic(1))
    assert (queue.codec, queue.limit) == (3, 1_048_588)
    own.follow(topic(1, compression_type="uncompressed"))
    assert queue.codec == 0


@pytest.mark.parametrize(
    ("stored", "own_type", "expected"),
    [
        ("producer", "gzip", (1, 4)),
        ("gzip", "gzip", (1, 4)),  # as it is, a broker leaves it alone
        ("gzip", "zstd", (1, 8)),
        ("gzip", "none", (1, 8)),
        ("zstd", "gzip", (4, None)),
        ("uncompressed", "gzip", (0, None)),
        ("producer", "lz4", (3, None)),
        ("producer", "snappy", (2, None)),
        ("producer", "none", (0, None)),
    ],
)
def test_the_level_is_that_of_who_chose_the_codec(
    stored: str, own_type: str, expected: tuple[int, int | None]
) -> None:
    chosen = topic(2, compression_type=stored, compression_gzip_level=8)
    own = route(chosen, compression_type=own_type, compression_gzip_level=4)
    assert [(queue.codec, queue.level) for queue in own.queues] == [expected] * 2
    own.follow(topic(2, compression_type="zstd", compression_zstd_level=-7))
    level = None if own_type == "zstd" else -7
    assert [(queue.codec, queue.level) for queue in own.queues] == [(4, level)] * 2
    own.follow(chosen)
    assert [(queue.codec, queue.level) for queue in own.queues] == [expected] * 2


@pytest.mark.parametrize("config", [{}, {"partitioner": lambda key, count: 0}])
def test_a_compacted_topic_takes_no_record_without_a_key(config: dict[str, Any]) -> None:
    own = route(topic(3, cleanup_policy="compact"), **config)
    for partition in (None, 1):
        with pytest.raises(InvalidRecord, match="'t' is compacted"):
            place(own, None, partition)
        place(own, b"", partition)
    own.follow(topic(3))
    place(own, None)


def test_a_key_that_cannot_be_hashed_by_python_is_refused_by_type() -> None:
    own = route(topic(3))
    for wrong in ("k", 5, ["k"], {"k": 1}, 1.5):
        with pytest.raises(SerializationError, match=type(wrong).__name__):
            place(own, wrong)
    with pytest.raises(SerializationError, match="bytes or None, not str"):
        own.append(b"x", "k", None, 0, None)


def test_none_is_not_serialized() -> None:
    seen: list[object] = []

    def note(given: object) -> bytes:
        seen.append(given)
        return b"bytes"

    own = route(topic(1), key_serializer=note, value_serializer=note)
    own.append(None, None, None, None, None)
    own.append("value", "key", None, None, None)
    assert seen == ["key", "value"]

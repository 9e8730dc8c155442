"""Keys go to the partitions that the real clients send them to, computed by those clients."""

from __future__ import annotations

import collections
import ctypes
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import confluent_kafka
import mmh3
import pytest
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from partstream import partitioners
from partstream.errors import ConfigError
from partstream.partitioners import PARTITIONERS, Sticky

KEYS = [bytes(random.Random(size).randbytes(size)) for size in range(70)] + [
    b"customer-42",
    b"\xff" * 9,
    "ключ".encode(),
]
COUNTS = [1, 2, 3, 12, 48, 1_000]


def librdkafka(name: str) -> Callable[[bytes, int], int]:
    """A partitioner of the librdkafka that confluent-kafka brings along."""
    here = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = sorted(here.glob("librdkafka*"))
    if not found:
        pytest.skip("this wheel of confluent-kafka has no librdkafka of its own to call")
    function = getattr(ctypes.CDLL(str(found[0])), f"rd_kafka_msg_partitioner_{name}")
    function.restype = ctypes.c_int32
    function.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return lambda key, partitions: int(function(None, key, len(key), partitions, None, None))


@pytest.mark.parametrize(("ours", "theirs"), [("crc32", "consistent"), ("murmur2", "murmur2")])
def test_as_librdkafka(ours: str, theirs: str) -> None:
    partition, expected = PARTITIONERS[ours], librdkafka(theirs)
    for key in KEYS:
        for count in COUNTS:
            assert partition(key, count) == expected(key, count), (key, count)


def test_murmur2_as_kafka_python() -> None:
    for key in KEYS:
        assert partitioners.murmur2(key) == kafka_python_murmur2(key)
        for count in COUNTS:
            expected = (kafka_python_murmur2(key) & 0x7FFFFFFF) % count
            assert PARTITIONERS["murmur2"](key, count) == expected


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_as_javas_own_tests(key: bytes, signed: int) -> None:
    assert partitioners.murmur2(key) == signed & 0xFFFFFFFF


def test_murmur3_as_mmh3() -> None:
    for key in KEYS:
        for count in COUNTS:
            assert PARTITIONERS["murmur3"](key, count) == mmh3.hash(key, 0, signed=False) % count


def test_a_real_producer_of_librdkafka_on_its_own_cluster() -> None:
    """Its default partitioner hashes keys with CRC-32; an empty key is none to it."""
    sent: dict[bytes, set[int]] = collections.defaultdict(set)

    def delivered(error: object, message: confluent_kafka.Message) -> None:
        assert error is None
        partition = message.partition()
        assert partition is not None
        sent[message.key() or b""].add(partition)

    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": "127.0.0.1:1",
            "test.mock.num.brokers": 1,
            "sticky.partitioning.linger.ms": 0,
            "log_level": 0,
        }
    )
    for key in KEYS[1:]:
        producer.produce("t", key=key, value=b"", on_delivery=delivered)
    for _ in range(100):
        producer.produce("t", key=b"", value=b"", on_delivery=delivered)
    assert producer.flush(30) == 0
    empty = sent.pop(b"")
    assert len(sent) == len(KEYS) - 1
    partitions = len(producer.list_topics("t", timeout=10).topics["t"].partitions)
    assert partitions > 1
    assert sent == {key: {PARTITIONERS["crc32"](key, partitions)} for key in KEYS[1:]}
    assert len(empty) > 1
    assert "crc32" in partitioners.KEYLESS_WHEN_EMPTY


def test_by_name() -> None:
    assert partitioners.get_partitioner("murmur3") is PARTITIONERS["murmur3"]
    with pytest.raises(ConfigError, match=r"'murmur33', expected one of murmur3, .*'murmur3'\?"):
        partitioners.get_partitioner("murmur33")
    with pytest.raises(ConfigError, match=r"'zebra', expected one of murmur3, murmur2, crc32$"):
        partitioners.get_partitioner("zebra")


def test_sticky_stays_until_the_next_batch() -> None:
    sticky = Sticky(random.Random(1))
    first = sticky.partition(6)
    assert [sticky.partition(6) for _ in range(50)] == [first] * 50
    second = sticky.on_new_batch(6)
    assert second != first
    assert sticky.partition(6) == second


def test_sticky_never_takes_the_same_twice_and_reaches_all_alike() -> None:
    sticky = Sticky(random.Random(2))
    chosen = [sticky.partition(5)] + [sticky.on_new_batch(5) for _ in range(5_000)]
    assert all(one != next_ for one, next_ in pairwise(chosen))
    counts = collections.Counter(chosen)
    assert set(counts) == set(range(5))
    assert max(counts.values()) - min(counts.values()) < 200


def test_sticky_with_one_partition_and_with_a_topic_that_grows_or_shrinks() -> None:
    sticky = Sticky(random.Random(3))
    assert [sticky.partition(1), sticky.on_new_batch(1), sticky.partition(1)] == [0, 0, 0]
    assert {sticky.on_new_batch(9) for _ in range(300)} == set(range(9))
    assert {sticky.partition(2) for _ in range(10)} <= {0, 1}

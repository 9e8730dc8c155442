"""Produce (0)."""

from __future__ import annotations

import struct
import time
from typing import Any

from partstream.records.checksum import crc32c
from partstream.records.codec import encode
from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session, Topic, frame
from tests.gateway.records import batch

API = 0
_BY_ID = 13
_INIT_PRODUCER_ID, _FETCH = 22, 1
_OLD = 1_700_000_000_000


async def _send(
    s: Session, topic: Topic, records: bytes | None, partition: int = 0, **given: Any
) -> Answer:
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    rows = [{"index": partition, "records": records}]
    return await s.ask(
        **{"transactional_id": None, "acks": -1, "timeout": 10_000, **given},
        topic_data=[{**named, "partition_data": rows}],
    )


async def _read(s: Session, topic: Topic) -> None:
    """Keep what the log holds."""
    wanted = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
    answer = await s.call(
        _FETCH,
        11,
        replica_id=-1,
        max_wait=0,
        min_bytes=0,
        topics=[{"topic": topic.name, "partitions": [wanted]}],
    )
    s.keep(answer["responses"][0]["partitions"])


def _now() -> int:
    return int(time.time() * 1000)


def _changed(whole: bytes, at: int, layout: str, value: int) -> bytes:
    """A batch with another value in its header, and its CRC right again."""
    spoilt = bytearray(whole)
    struct.pack_into(layout, spoilt, at, value)
    struct.pack_into(">I", spoilt, 17, crc32c(bytes(spoilt[21:])))
    return bytes(spoilt)


@scenario(API, 5, 7, 9, 12)
async def good_batches(s: Session) -> None:
    topic = await s.topic("t", 2)
    for acks in (-1, 1):
        await _send(s, topic, batch(b"a", b"b"), acks=acks)
    await _send(s, topic, batch(b"c"), 1)
    await _send(s, topic, batch(b"d"), timeout=0)
    await _send(s, topic, batch(b"e"), timeout=-1)
    await _read(s, topic)


@scenario(API, 7)
async def compression(s: Session) -> None:
    topic = await s.topic("t")
    for codec in (1, 2, 3, 4):
        await _send(s, topic, batch(b"value" * 20, codec=codec))
    await _read(s, topic)
    await _send(s, topic, _changed(batch(b"a"), 21, ">h", 5))
    await _send(s, topic, _changed(batch(b"a"), 21, ">h", 7))


@scenario(API)
async def topics_that_recompress(s: Session) -> None:
    for kind in ("gzip", "uncompressed"):
        topic = await s.topic(kind, compression_type=kind)
        for codec in (0, 1, 3):
            await _send(s, topic, batch(b"value" * 20, codec=codec))
        await _read(s, topic)


@scenario(API, 8)
async def damaged_batches(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    whole = batch(b"value" * 5, at=_OLD)
    spoilt = bytearray(whole)
    spoilt[-2] ^= 1
    await _send(s, topic, bytes(spoilt))
    for magic in (0, 1, 3, 127):
        await _send(s, topic, _changed(whole, 16, ">b", magic))
    await _send(s, topic, b"")
    await _send(s, topic, whole[:20])
    await _send(s, topic, whole[:-1])
    await _send(s, topic, whole + whole)
    await _send(s, topic, whole + b"\0")
    await _send(s, topic, whole + whole[:-1])
    await _send(s, topic, whole + bytes(40))
    await _send(s, topic, _changed(whole, 57, ">i", 2))
    await _send(s, topic, _changed(whole, 57, ">i", 0))
    await _send(s, topic, _changed(whole, 57, ">i", -1))
    await _send(s, topic, _changed(whole, 23, ">i", 3))
    await _send(s, topic, _changed(whole, 23, ">i", -1))
    for length in (-1, 10, 14, 30, 48):
        await _send(s, topic, _changed(whole, 8, ">i", length))
    await _send(s, topic, _changed(whole, 0, ">q", 77))
    await _send(s, topic, _changed(whole, 12, ">i", 5))
    await _read(s, topic)


@scenario(API)
async def records_that_are_none(s: Session) -> None:
    topic = await s.topic("t")
    whole = batch(b"value" * 5, at=_OLD)
    await _send(s, topic, _changed(whole, 61, ">b", 20))
    packed = batch(b"value" * 50, codec=1)
    await _send(s, topic, _changed(packed, 70, ">i", -1))
    await _send(s, topic, _changed(whole, 21, ">h", 0x20))
    await _read(s, topic)


@scenario(API)
async def batches_that_are_too_large(s: Session) -> None:
    small = await s.topic("small", max_message_bytes="200")
    await _send(s, small, batch(b"x" * 100))
    await _send(s, small, batch(b"x" * 201))
    await _send(s, small, batch(b"x" * 1000, codec=1))
    topic = await s.topic("t")
    await _send(s, topic, batch(b"x" * 1_048_600))


@scenario(API, 8)
async def batches_larger_than_a_segment(s: Session) -> None:
    topic = await s.topic("t", segment_bytes="1048576", max_message_bytes="3000000")
    most = 1_048_576 - len(batch(b"x" * 1_048_000)) + 1_048_000
    await _send(s, topic, batch(b"x" * most))
    await _send(s, topic, batch(b"x" * (most + 1)))
    await _send(s, topic, batch(b"x" * 2_000_000, codec=1))
    await _send(s, topic, batch(b"x" * 4_000_000))


@scenario(API)
async def transactional_ids(s: Session) -> None:
    topic = await s.topic("t")
    await _send(s, topic, batch(b"a"), transactional_id=s.name("x"))


@scenario(API)
async def transactional_batches(s: Session) -> None:
    topic = await s.topic("t")
    whole = _changed(_numbered(b"a", await _producer(s), 0, 0), 21, ">h", 0x10)
    await _send(s, topic, whole, transactional_id=s.name("x"))
    await _send(s, topic, whole)


@scenario(API)
async def times(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    await _send(s, topic, batch(b"a", at=_OLD))
    await _send(s, topic, batch(b"b", at=4_000_000_000_000))
    await _send(s, topic, batch(b"c", at=0))
    await _send(s, topic, _changed(batch(b"d", at=0), 27, ">q", -1))
    bounded = await s.topic("bounded", message_timestamp_before_max_ms="1000")
    await _send(s, bounded, batch(b"a", at=_OLD))
    await _send(s, bounded, batch(b"b"))
    mixed = [(at, None, b"v", ()) for at in (_now(), _OLD, _now(), _OLD)]
    await _send(s, bounded, encode(mixed, 0))
    await _send(s, bounded, encode([(_now(), None, b"v", ())] * 3, 1))
    await _send(s, bounded, encode(mixed, 1))
    nearer = await s.topic("nearer", message_timestamp_after_max_ms="1000")
    ahead = [(_now() + more, None, b"v", ()) for more in (0, 600_000, 0)]
    await _send(s, nearer, encode(ahead, 0))
    await _read(s, topic)


@scenario(API, 4)
async def times_by_the_log(s: Session) -> None:
    topic = await s.topic("t", message_timestamp_type="LogAppendTime")
    await _send(s, topic, batch(b"a", at=_OLD))
    await _send(s, topic, batch(b"b", at=4_000_000_000_000))
    created = await s.topic("u")
    await _send(s, created, _changed(batch(b"c"), 21, ">h", 8))
    await _read(s, created)
    await _read(s, topic)
    producer = await _producer(s)
    for _ in range(2):
        await _send(s, topic, _numbered(b"d", producer, 0, 0))


@scenario(API)
async def where_there_is_no_partition(s: Session) -> None:
    topic = await s.topic("t")
    await _send(s, topic, batch(b"a"), 1)
    await _send(s, topic, batch(b"a"), -1)
    for name in (s.name("missing"), "a b", ""):
        await _send(s, Topic(name, "AAAAAAAAAAAAAAAAAAAAEg", 0), batch(b"a"))
    await s.ask(transactional_id=None, acks=-1, timeout=1000, topic_data=[])


@scenario(API, only=range(13, 14))
async def an_id_that_is_none(s: Session) -> None:
    rows = [{"index": 0, "records": batch(b"a")}]
    data = [{"topic_id": None, "partition_data": rows}]
    await s.ask(transactional_id=None, acks=-1, timeout=1000, topic_data=data)


@scenario(API)
async def acks_that_are_none(s: Session) -> None:
    topic = await s.topic("t")
    for acks in (2, -2, 100):
        await _send(s, topic, batch(b"a"), acks=acks)
    await _send(s, topic, batch(b"a"))


@scenario(API)
async def without_acks(s: Session) -> None:
    topic = await s.topic("t")
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    rows = [{"index": 0, "records": batch(b"a")}]
    await s.unanswered(acks=0, timeout=1000, topic_data=[{**named, "partition_data": rows}])
    await _send(s, topic, batch(b"b"))
    rows = [{"index": 5, "records": batch(b"c")}]
    await s.unanswered(acks=0, timeout=1000, topic_data=[{**named, "partition_data": rows}])
    await _send(s, topic, batch(b"d"))


@scenario(API)
async def too_few_replicas(s: Session) -> None:
    topic = await s.topic("t", min_insync_replicas="2")
    await _send(s, topic, batch(b"a"))
    await _send(s, topic, batch(b"b"), acks=1)


@scenario(API)
async def several_partitions(s: Session) -> None:
    a, b = await s.topic("a", 2), await s.topic("b")
    data = []
    for topic, numbers in ((a, (0, 1, 2)), (b, (0,))):
        named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
        rows = [{"index": number, "records": batch(b"v")} for number in numbers]
        data.append({**named, "partition_data": rows})
    await s.ask(transactional_id=None, acks=-1, timeout=1000, topic_data=data)


@scenario(API, 9)
async def a_partition_twice(s: Session) -> None:
    topic, other = await s.topic("t", 2), await s.topic("u")

    def data(topic: Topic, *rows: tuple[int, bytes]) -> dict[str, Any]:
        named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
        return {**named, "partition_data": [{"index": at, "records": what} for at, what in rows]}

    async def send(*topics: dict[str, Any]) -> None:
        await s.ask(transactional_id=None, acks=-1, timeout=10_000, topic_data=list(topics))
        await _read(s, topic)

    await send(data(topic, (0, batch(b"a")), (0, batch(b"b"))))
    await send(data(topic, (0, batch(b"c"))), data(topic, (0, batch(b"d"))))
    await send(
        data(topic, (0, batch(b"e"))),
        data(other, (0, batch(b"f"))),
        data(topic, (1, batch(b"g"))),
    )
    await send(data(topic, (5, batch(b"h")), (5, batch(b"i"))))
    await send(data(topic), data(other))
    await send(data(topic, (0, b""), (0, batch(b"j"))))


async def _producer(s: Session) -> int:
    answer = await s.call(_INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout=60_000)
    producer: int = answer["producer_id"]
    return producer


def _numbered(value: bytes, producer: int, epoch: int, sequence: int, count: int = 1) -> bytes:
    rows = [(_OLD, None, value, ())] * count
    return encode(rows, 0, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)


@scenario(API, 8)
async def sequences(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    producer = await _producer(s)
    for value, sequence in (
        (b"a", 0),
        (b"b", 1),
        (b"b", 1),  # again
        (b"d", 3),  # out of order
        (b"c", 2),
        (b"d", 3),
        (b"e", 4),
        (b"f", 5),
        (b"g", 6),
        (b"a", 0),  # too old to be known
        (b"b", 1),
        (b"c", 2),  # the oldest that is known
    ):
        await _send(s, topic, _numbered(value, producer, 0, sequence))
    await _send(s, topic, _numbered(b"h", producer, 0, 7, 3))
    await _send(s, topic, _numbered(b"h", producer, 0, 7, 2))
    await _send(s, topic, _numbered(b"h", producer, 0, 8, 2))
    await _send(s, topic, _numbered(b"i", producer, 0, 10))
    await _read(s, topic)


@scenario(API)
async def epochs_of_producers(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    producer = await _producer(s)
    await _send(s, topic, _numbered(b"a", producer, 1, 0))
    await _send(s, topic, _numbered(b"b", producer, 0, 1))
    await _send(s, topic, _numbered(b"b", producer, 2, 1))
    await _send(s, topic, _numbered(b"b", producer, 2, 0))
    await _send(s, topic, _numbered(b"c", producer, 1, 1))
    await _read(s, topic)


@scenario(API)
async def producers_that_nobody_knows(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    producer = await _producer(s)
    await _send(s, topic, _numbered(b"a", producer, 0, 7))
    await _send(s, topic, _numbered(b"b", producer, 0, 8))
    await _send(s, topic, _numbered(b"c", 1 << 40, 3, 5))
    await _send(s, topic, _numbered(b"d", producer, -1, 9))
    await _send(s, topic, _numbered(b"e", producer, 0, -1))
    await _send(s, topic, _numbered(b"f", -1, 0, 0))
    await _read(s, topic)


@scenario(API)
async def sequences_that_wrap(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    producer = await _producer(s)
    last = (1 << 31) - 1
    await _send(s, topic, _numbered(b"a", producer, 0, last - 1))
    await _send(s, topic, _numbered(b"b", producer, 0, last, 2))
    await _send(s, topic, _numbered(b"c", producer, 0, 1))
    await _send(s, topic, _numbered(b"c", producer, 0, 1))
    await _send(s, topic, _numbered(b"b", producer, 0, last, 2))


@scenario(API, only=range(3, 4))
async def versions_that_are_only_advertised(s: Session) -> None:
    for version in (0, 1, 2):
        body = struct.pack(">hhih", API, version, 7, 1) + b"c" + struct.pack(">hii", -1, 1000, 0)
        await s.raw(struct.pack(">i", len(body)) + body, read_as=3)


@scenario(API)
async def requests_that_are_cut_off(s: Session) -> None:
    for cut in (b"", b"\0", b"\xff\xff\xff"):
        await s.raw(frame(API, s.version, cut))

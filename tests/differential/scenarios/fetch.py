"""Fetch (1)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session, Topic, frame
from tests.gateway.records import batch

API = 1
_BY_ID = 13
_OLD = 1_700_000_000_000


def _one(s: Session, topic: Topic, *offsets: tuple[int, int], **given: Any) -> dict[str, Any]:
    """What is wanted of a topic: pairs of a partition and an offset."""
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"topic": topic.name}
    rows = [
        {
            "partition": number,
            "fetch_offset": offset,
            "partition_max_bytes": given.get("partition_max_bytes", 1 << 20),
            "current_leader_epoch": given.get("epoch", -1),
            "last_fetched_epoch": given.get("last_fetched_epoch", -1),
            "log_start_offset": -1,
        }
        for number, offset in offsets
    ]
    return {**named, "partitions": rows}


async def _fetch(s: Session, *topics: dict[str, Any], **given: Any) -> Answer:
    return await s.ask(
        replica_id=given.get("replica", -1),
        max_wait=given.get("max_wait", 0),
        min_bytes=given.get("min_bytes", 0),
        max_bytes=given.get("max_bytes", 1 << 22),
        isolation_level=given.get("isolation", 0),
        session_id=given.get("session", 0),
        session_epoch=given.get("session_epoch", -1),
        topics=list(topics),
        rack_id="",
    )


async def _filled(s: Session, partitions: int = 1) -> Topic:
    """A topic with three batches of two records."""
    topic = await s.topic("t", partitions, retention_ms="-1")
    for number in range(3):
        values = [b"%d" % (2 * number + each) * 10 for each in range(2)]
        await s.produce(topic.name, batch(*values, at=_OLD))
    return topic


@scenario(API, 5, 7, 9, 10, 12, 13)
async def records_from_offsets(s: Session) -> None:
    topic = await _filled(s, 2)
    for offset in (0, 1, 2, 5, 6):
        await _fetch(s, _one(s, topic, (0, offset)))
    await _fetch(s, _one(s, topic, (1, 0)))
    await _fetch(s, _one(s, topic, (0, 4), (1, 0)))
    await _fetch(s)
    await _fetch(s, _one(s, topic))


@scenario(API)
async def offsets_out_of_range(s: Session) -> None:
    topic = await _filled(s)
    for offset in (7, -1, -2, 1 << 62):
        await _fetch(s, _one(s, topic, (0, offset)))
    await s.call(
        21,
        topics=[{"name": topic.name, "partitions": [{"partition_index": 0, "offset": 3}]}],
        timeout=10_000,
    )
    await _fetch(s, _one(s, topic, (0, 0)))
    await _fetch(s, _one(s, topic, (0, 2)))
    await _fetch(s, _one(s, topic, (0, 3)))


@scenario(API, 12)
async def where_there_is_no_partition(s: Session) -> None:
    topic = await _filled(s)
    await _fetch(s, _one(s, topic, (1, 0)))
    await _fetch(s, _one(s, topic, (-1, 0), (0, 0)))
    for name in (s.name("missing"), "a b", ""):
        await _fetch(s, _one(s, Topic(name, "AAAAAAAAAAAAAAAAAAAAEg", 0), (0, 0)))


@scenario(API, only=range(13, 19))
async def an_id_that_is_none(s: Session) -> None:
    topic = await _filled(s)
    await _fetch(s, _one(s, Topic("", "", 0), (0, 0)))
    missing = _one(s, Topic("", "AAAAAAAAAAAAAAAAAAAAEg", 0), (0, 0))
    await _fetch(s, missing, _one(s, topic, (0, 4)))


@scenario(API, only=range(9, 19))
async def epochs(s: Session) -> None:
    topic = await _filled(s)
    for epoch in (topic.epoch, topic.epoch + 1, topic.epoch + 1000, -2):
        await _fetch(s, _one(s, topic, (0, 4), epoch=epoch))
    await _fetch(s, _one(s, topic, (0, 4), epoch=topic.epoch, last_fetched_epoch=topic.epoch))
    for last in (topic.epoch + 1, topic.epoch + 1000):
        await _fetch(s, _one(s, topic, (0, 4), epoch=topic.epoch, last_fetched_epoch=last))


@scenario(API)
async def limits_on_bytes(s: Session) -> None:
    topic = await _filled(s, 2)
    await s.produce(topic.name, batch(b"other" * 10, at=_OLD), 1)
    for most in (1, 0, 120):
        await _fetch(s, _one(s, topic, (0, 0)), max_bytes=most)
        await _fetch(s, _one(s, topic, (0, 0), partition_max_bytes=most))
    await _fetch(s, _one(s, topic, (0, 0), (1, 0)), max_bytes=1)
    await _fetch(s, _one(s, topic, (0, 0), (1, 0), partition_max_bytes=1))
    await _fetch(s, _one(s, topic, (0, 6), (1, 0), partition_max_bytes=1))
    await _fetch(s, _one(s, topic, (0, 0), partition_max_bytes=-1))
    await _fetch(s, _one(s, topic, (0, 0)), max_bytes=-1)


@scenario(API)
async def waits(s: Session) -> None:
    topic = await _filled(s)
    await _fetch(s, _one(s, topic, (0, 0)), min_bytes=1, max_wait=10_000)
    await _fetch(s, _one(s, topic, (0, 6)), min_bytes=1, max_wait=50)
    await _fetch(s, _one(s, topic, (0, 0)), min_bytes=1 << 20, max_wait=50)
    await _fetch(s, _one(s, topic, (0, 6)), min_bytes=-1, max_wait=-1)
    await _fetch(s, _one(s, topic, (9, 6)), min_bytes=1, max_wait=10_000)


@scenario(API)
async def isolation_levels(s: Session) -> None:
    topic = await _filled(s)
    for level in (0, 1, 2, -1):
        await _fetch(s, _one(s, topic, (0, 4)), isolation=level)


@scenario(API, only=range(4, 15))
async def followers(s: Session) -> None:
    topic = await _filled(s)
    for replica in (-2, 0, 1, 5):
        await _fetch(s, _one(s, topic, (0, 4)), replica=replica)
    await _fetch(s, _one(s, topic, (0, 4)), replica=1, isolation=1)
    missing = Topic(s.name("missing"), "AAAAAAAAAAAAAAAAAAAAEg", 0)
    await _fetch(s, _one(s, missing, (0, 0)), replica=1)


@scenario(API, only=range(4, 11))
async def zstd_for_those_who_do_not_know_it(s: Session) -> None:
    topic = await s.topic("t", compression_type="zstd", retention_ms="-1")
    await s.produce(topic.name, batch(b"value" * 20, at=_OLD))
    await _fetch(s, _one(s, topic, (0, 0)))


@scenario(API, only=range(7, 19))
async def sessions(s: Session) -> None:
    topic = await _filled(s)
    wanted = _one(s, topic, (0, 4))
    await _fetch(s, wanted, session=0, session_epoch=-1)
    await _fetch(s, wanted, session=0, session_epoch=0)
    await _fetch(s, wanted, session=123_456, session_epoch=1)
    await _fetch(s, session=123_456, session_epoch=1)
    await _fetch(s, wanted, session=123_456, session_epoch=0)
    await _fetch(s, wanted, session=123_456, session_epoch=-1)
    await _fetch(s, wanted, session=0, session_epoch=5)


@scenario(API)
async def a_topic_twice(s: Session) -> None:
    topic = await _filled(s)
    await _fetch(s, _one(s, topic, (0, 4)), _one(s, topic, (0, 4)))
    await _fetch(s, _one(s, topic, (0, 4), (0, 4)))


@scenario(API)
async def what_is_compressed(s: Session) -> None:
    topic = await s.topic("t", retention_ms="-1")
    for codec in range(5):
        await s.produce(topic.name, batch(b"value" * 20, at=_OLD, codec=codec))
    await _fetch(s, _one(s, topic, (0, 0)))


@scenario(API)
async def requests_that_are_cut_off(s: Session) -> None:
    for cut in (b"", b"\0\0\0\0", b"\xff" * 16):
        await s.raw(frame(API, s.version, cut))

"""DeleteRecords (21)."""

from __future__ import annotations

from partstream.records.codec import encode
from tests.differential.scenario import scenario
from tests.differential.session import Session
from tests.gateway.records import batch

API = 21


async def _delete(s: Session, name: str, *rows: tuple[int, int]) -> None:
    partitions = [{"partition_index": number, "offset": offset} for number, offset in rows]
    await s.ask(topics=[{"name": name, "partitions": partitions}], timeout=10_000)


@scenario(API)
async def records_go(s: Session) -> None:
    topic = await s.topic("t", 2)
    for _ in range(3):
        await s.produce(topic.name, batch(b"a", b"b"))
    await _delete(s, topic.name, (0, 0), (1, 0))
    await _delete(s, topic.name, (0, 3))
    await _delete(s, topic.name, (0, 1))
    await _delete(s, topic.name, (0, -1), (1, -1))
    await _delete(s, topic.name, (0, 6))


@scenario(API)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("t")
    await s.produce(topic.name, batch(b"a", b"b"))
    for offset in (3, -2, 1 << 62):
        await _delete(s, topic.name, (0, offset))
    await _delete(s, topic.name, (1, 0), (-1, 0))
    await _delete(s, s.name("missing"), (0, 0), (1, -1))
    await _delete(s, "a b", (0, 0))
    await _delete(s, "", (0, 0))
    await s.ask(topics=[], timeout=10_000)
    await _delete(s, topic.name)


@scenario(API)
async def topics_that_are_compacted(s: Session) -> None:
    for policy in ("compact", "compact,delete"):
        topic = await s.topic(policy.replace(",", "-"), cleanup_policy=policy)
        await s.produce(topic.name, encode([(1_700_000_000_000, b"k", b"v", ())] * 2, 0))
        await _delete(s, topic.name, (0, 1))
        await _delete(s, topic.name, (0, 7))

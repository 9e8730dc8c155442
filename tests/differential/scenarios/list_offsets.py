"""ListOffsets (2)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session
from tests.gateway.records import batch

API = 2
_OLD = 1_700_000_000_000
"""A time that is over."""


async def _ask(s: Session, name: str, *rows: tuple[int, int], **given: Any) -> None:
    partitions = [
        {
            "partition_index": number,
            "timestamp": time,
            "current_leader_epoch": given.get("epoch", -1),
        }
        for number, time in rows
    ]
    await s.ask(
        replica_id=given.get("replica", -1),
        isolation_level=given.get("isolation", 0),
        topics=[{"name": name, "partitions": partitions}],
        timeout=5_000,
    )


@scenario(API, 4, 7, 8, 9)
async def places_in_a_log(s: Session) -> None:
    topic = await s.topic("t", 2, retention_ms="-1")
    for at in (1, 2, 3):
        await s.produce(topic.name, batch(b"a", b"b", at=_OLD + 10 * at))
    for place in range(-1, -7, -1):
        await _ask(s, topic.name, (0, place))
        await _ask(s, topic.name, (1, place))
    await _ask(s, topic.name, (0, -1), isolation=1)
    await s.call(
        21,
        topics=[{"name": topic.name, "partitions": [{"partition_index": 0, "offset": 3}]}],
        timeout=10_000,
    )
    await _ask(s, topic.name, (0, -2), (1, -2))


@scenario(API)
async def offsets_by_time(s: Session) -> None:
    topic = await s.topic("t", 2, retention_ms="-1")
    for at in (2, 1, 3):
        await s.produce(topic.name, batch(b"a", b"b", at=_OLD + 10 * at))
    for time in (
        0,
        _OLD,
        _OLD + 10,
        _OLD + 15,
        _OLD + 20,
        _OLD + 25,
        _OLD + 30,
        _OLD + 31,
        1 << 62,
    ):
        await _ask(s, topic.name, (0, time))
    await _ask(s, topic.name, (1, _OLD))


@scenario(API)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("t")
    for place in (-7, -100, -(1 << 63)):
        await _ask(s, topic.name, (0, place))
    await _ask(s, topic.name, (1, -1), (-1, -1), (0, -1))
    await _ask(s, topic.name, (0, -1), (0, -2))
    await _ask(s, topic.name, (0, -1), isolation=2)
    await _ask(s, s.name("missing"), (0, -1))
    await _ask(s, "a b", (0, -1))
    await _ask(s, "", (0, -1))
    await s.ask(replica_id=-1, topics=[])


@scenario(API, only=range(4, 12))
async def epochs(s: Session) -> None:
    topic = await s.topic("t")
    await _ask(s, topic.name, (0, -1), epoch=topic.epoch)
    await _ask(s, topic.name, (0, -1), epoch=topic.epoch + 1)
    await _ask(s, topic.name, (0, -1), epoch=-2)

"""OffsetForLeaderEpoch (23)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session
from tests.gateway.records import batch

API = 23


async def _ask(s: Session, name: str, *rows: tuple[int, int, int]) -> None:
    partitions = [
        {"partition": number, "current_leader_epoch": current, "leader_epoch": epoch}
        for number, current, epoch in rows
    ]
    await s.ask(replica_id=-1, topics=[{"topic": name, "partitions": partitions}])


@scenario(API)
async def ends_of_epochs(s: Session) -> None:
    topic = await s.topic("t", 2)
    await s.produce(topic.name, batch(b"a", b"b"))
    now = topic.epoch
    await _ask(s, topic.name, (0, now, now))
    await _ask(s, topic.name, (0, -1, now))
    await _ask(s, topic.name, (0, -1, now + 1))
    await _ask(s, topic.name, (0, -1, -1))
    await _ask(s, topic.name, (1, -1, now))
    await _ask(s, topic.name, (1, -1, now + 1))


@scenario(API)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("t")
    now = topic.epoch
    await _ask(s, topic.name, (0, now + 1, now))
    await _ask(s, topic.name, (0, -2, now))
    await _ask(s, topic.name, (1, -1, now), (-1, -1, now))
    await _ask(s, s.name("missing"), (0, -1, 0))
    await _ask(s, "a b", (0, -1, 0))
    await _ask(s, topic.name)
    await s.ask(replica_id=-1, topics=[])

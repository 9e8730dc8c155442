"""Clients whose leader epoch is an old one: Fetch (1), ListOffsets (2), OffsetForLeaderEpoch (23).

They are fenced (FENCED_LEADER_EPOCH, KIP-320).
"""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session, Topic
from tests.gateway.records import batch

FETCH, LIST_OFFSETS, EPOCH_ENDS = 1, 2, 23
_OLD = 1_700_000_000_000
"""A time that is over."""


async def _two_epochs(s: Session) -> tuple[Topic, Topic]:
    """A topic with two records of an old epoch and two of a newer one, as it was and as it is."""
    before = await s.topic("t", 1, retention_ms="-1")
    await s.produce(before.name, batch(b"a", b"b", at=_OLD))
    return before, await s.begin_epoch(before, batch(b"c", b"d", at=_OLD))


@scenario(FETCH, only=range(9, 19), epochs=True)
async def of_who_fetches(s: Session) -> None:
    before, now = await _two_epochs(s)
    named = {"topic": now.name} if s.version < 13 else {"topic_id": now.id}

    async def fetch(epoch: int, offset: int) -> None:
        row = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
        row |= {"current_leader_epoch": epoch, "last_fetched_epoch": -1, "log_start_offset": -1}
        limits: dict[str, Any] = {"max_wait": 0, "min_bytes": 0, "max_bytes": 1 << 22}
        session = {"session_id": 0, "session_epoch": -1}
        topics = [{**named, "partitions": [row]}]
        await s.ask(
            replica_id=-1, isolation_level=0, rack_id="", topics=topics, **limits, **session
        )

    await fetch(now.epoch, 0)
    for offset in (0, 2):  # what it has read is still there
        await fetch(before.epoch, offset)
    for offset in (3, 4, 5):  # it is not
        await fetch(before.epoch, offset)
    await fetch(now.epoch + 1, 0)


@scenario(LIST_OFFSETS, only=range(4, 12), epochs=True)
async def of_who_asks_for_offsets(s: Session) -> None:
    before, now = await _two_epochs(s)
    for epoch in (now.epoch, before.epoch, now.epoch + 1):
        for time in (-1, -2, _OLD):
            row = {"partition_index": 0, "timestamp": time, "current_leader_epoch": epoch}
            topics = [{"name": now.name, "partitions": [row]}]
            await s.ask(replica_id=-1, isolation_level=0, topics=topics, timeout=5_000)


@scenario(EPOCH_ENDS, epochs=True)
async def of_who_asks_for_the_end_of_one(s: Session) -> None:
    before, now = await _two_epochs(s)
    for current in (now.epoch, -1, before.epoch, now.epoch + 1):
        for epoch in (before.epoch, now.epoch):
            row = {"partition": 0, "current_leader_epoch": current, "leader_epoch": epoch}
            await s.ask(replica_id=-1, topics=[{"topic": now.name, "partitions": [row]}])

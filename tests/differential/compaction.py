"""The same histories of keys, cleaned by Apache Kafka and by the engine.

What Kafka has left of them is in `recordings/compaction.json`. To record it again, on a Kafka of
one node that looks for something to clean often (`log.cleaner.backoff.ms=200`):

    python -m tests.differential.compaction localhost:9092
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from tests.differential.session import Address, Session
from tests.engine.compacting import Update, updates
from tests.engine.logs import Producer

RECORDING = Path(__file__).with_name("recordings") / "compaction.json"
ALTER_CONFIGS, PRODUCE = 44, 0
PHASES = 3
_SETTLED_S = 3.0
_ALIGNED = 10_000
"""Milliseconds between batches: so long apart, each is a segment of its own for Kafka."""


class Case(NamedTuple):
    """A history, and what Kafka has left of it."""

    seed: int
    keys: int
    codec: int
    delete_retention_ms: int


CASES = [
    Case(1, 5, 0, 86_400_000),
    Case(2, 40, 0, 0),
    Case(3, 12, 1, 0),
    Case(4, 7, 2, 86_400_000),
    Case(5, 25, 3, 0),
    Case(6, 3, 4, 0),
]

Seen = list[list[object]]
"""Offset, key and value of each record, as text; None for a tombstone."""


def phases(case: Case, start_ms: int) -> list[list[bytes]]:
    """The batches of each phase. The last one of each is large: the segment being written."""
    rng = random.Random(case.seed)
    sequences = [0, 0]
    at, number = start_ms, 0
    found = []
    for phase in range(PHASES):
        batches = []
        for _ in range(12):
            pairs: list[Update] = []
            for _ in range(rng.randint(1, 9)):
                number += 1
                value = None if rng.random() < 0.2 else b"%d " % number + b"v" * rng.randint(0, 80)
                pairs.append((b"key %d" % rng.randrange(case.keys), value))
            by = None
            if rng.random() < 0.5:
                who = rng.randrange(2)
                by = Producer(1_000_000 + 10 * case.seed + who, 0, sequences[who])
                sequences[who] += len(pairs)
            batches.append(updates(*pairs, at=at, codec=case.codec, by=by))
            at += _ALIGNED
        batches.append(updates((b"closing %d" % phase, b"c" * 4_000), at=at))
        at += _ALIGNED
        found.append(batches)
    return found


def text(value: bytes | None) -> str | None:
    """A key or value as it stands in the recording."""
    return None if value is None else value.decode()


async def _record(address: Address, case: Case) -> list[Seen]:
    """What Kafka has left after each phase."""
    name = f"c{uuid.uuid4().hex[:10]}"
    start_ms = 1_700_000_000_000
    async with Session(address, PRODUCE, 9) as session:
        topic = await session.topic(
            name,
            1,
            cleanup_policy="compact",
            segment_ms="5000",
            min_cleanable_dirty_ratio="1",
            delete_retention_ms=str(case.delete_retention_ms),
        )
        found = []
        for batches in phases(case, start_ms):
            for batch in batches:
                await session.produce(topic.name, batch)
            before = await _read(address, topic.name)
            await _ratio(session, topic.name, "0")
            seen, settled = before, 0.0
            while settled < _SETTLED_S or seen == before:
                await asyncio.sleep(0.5)
                now = await _read(address, topic.name)
                settled = settled + 0.5 if now == seen else 0.0
                seen = now
            await _ratio(session, topic.name, "1")
            found.append(seen)
        return found


async def _ratio(session: Session, topic: str, ratio: str) -> None:
    config = {"name": "min.cleanable.dirty.ratio", "config_operation": 0, "value": ratio}
    await session.call(
        ALTER_CONFIGS,
        resources=[{"resource_type": 2, "resource_name": topic, "configs": [config]}],
        validate_only=False,
    )


async def _read(address: Address, topic: str) -> Seen:
    partition = KafkaPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=f"{address.host}:{address.port}")
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = (await consumer.end_offsets([partition]))[partition]
        found: Seen = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [[one.offset, text(one.key), text(one.value)] for one in records]
        return found
    finally:
        await consumer.stop()


async def main(bootstrap: str) -> None:
    """Record every case."""
    host, port = bootstrap.rsplit(":", 1)
    recorded = [await _record(Address(host, int(port)), case) for case in CASES]
    rows = ",\n".join(json.dumps(row) for row in recorded)
    await asyncio.to_thread(RECORDING.write_text, f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

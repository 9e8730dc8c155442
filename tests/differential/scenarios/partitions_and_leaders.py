"""ElectLeaders (43), ListPartitionReassignments (46) and DescribeProducers (61)."""

from __future__ import annotations

from partstream.records.codec import encode
from tests.differential.scenario import scenario
from tests.differential.session import Session

ELECT, REASSIGNMENTS, PRODUCERS = 43, 46, 61


@scenario(ELECT)
async def leaders_that_are_elected(s: Session) -> None:
    topic = await s.topic("t", 2)
    wanted = [{"topic": topic.name, "partitions": [0, 1]}]
    for kind in (0, 1) if s.version else (0,):
        await s.ask(election_type=kind, topic_partitions=wanted, timeout=5_000)
    bad = [
        {"topic": topic.name, "partitions": [7, -1]},
        {"topic": s.name("missing"), "partitions": [0]},
        {"topic": "a b", "partitions": [0]},
    ]
    for row in bad:
        await s.ask(election_type=0, topic_partitions=[row], timeout=5_000)
    await s.ask(election_type=0, topic_partitions=[], timeout=5_000)
    if s.version:
        await s.ask(election_type=2, topic_partitions=wanted, timeout=5_000)
    answer = await s.call(ELECT, s.version, topic_partitions=None, timeout=5_000)
    s.keep(answer["error_code"] if s.version else None)


@scenario(REASSIGNMENTS)
async def reassignments(s: Session) -> None:
    topic = await s.topic("t", 2)
    await s.ask(topics=None, timeout=5_000)
    await s.ask(topics=[], timeout=5_000)
    for name, numbers in (
        (topic.name, [0, 1]),
        (topic.name, [7, -1]),
        (s.name("x"), [0]),
        ("", []),
    ):
        await s.ask(topics=[{"name": name, "partition_indexes": numbers}], timeout=5_000)


@scenario(PRODUCERS)
async def producers(s: Session) -> None:
    topic = await s.topic("t", 2, retention_ms="-1")
    made = await s.call(22, transactional_id=None, transaction_timeout=60_000)
    producer = made["producer_id"]
    for sequence in (0, 1):
        rows = [(1_700_000_000_000, None, b"v", ())]
        numbered = encode(rows, 0, producer_id=producer, producer_epoch=0, base_sequence=sequence)
        await s.produce(topic.name, numbered)
    for name, numbers in (
        (topic.name, [0, 1]),
        (topic.name, [7, -1]),
        (s.name("missing"), [0]),
        ("a b", [0]),
        ("", [0]),
        (topic.name, []),
    ):
        await s.ask(topics=[{"name": name, "partition_indexes": numbers}])
    await s.ask(topics=[])

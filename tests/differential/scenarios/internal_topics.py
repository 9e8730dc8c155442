"""Kafka's internal topics: who asks for them, makes them, or writes to them."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session
from tests.gateway.records import batch

PRODUCE, METADATA, CREATE = 0, 3, 19
OFFSETS = "__consumer_offsets"


@scenario(METADATA, 1)
async def asked_for(s: Session) -> None:
    answer = await s.call(
        METADATA,
        s.version,
        topics=[{"name": OFFSETS, "topic_id": None}],
        allow_auto_topic_creation=True,
    )
    for topic in answer["topics"]:
        topic["partitions"] = bool(topic["partitions"])
    s.keep(answer)


@scenario(CREATE)
async def made(s: Session) -> None:
    for name in (OFFSETS, "__cluster_metadata"):
        for only_checked in (True, False):
            wanted = {"name": name, "num_partitions": 1, "replication_factor": 1}
            await s.ask(topics=[wanted], timeout=10_000, validate_only=only_checked)


@scenario(PRODUCE, only=range(3, 13))
async def written_to(s: Session) -> None:
    data = [{"name": OFFSETS, "partition_data": [{"index": 0, "records": batch(b"a")}]}]
    await s.ask(transactional_id=None, acks=-1, timeout=10_000, topic_data=data)

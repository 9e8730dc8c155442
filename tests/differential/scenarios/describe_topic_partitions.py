"""DescribeTopicPartitions (75)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 75


async def _ask(s: Session, *names: str, limit: int = 2_000, cursor: Any = None) -> None:
    topics = [{"name": name} for name in names]
    await s.ask(topics=topics, response_partition_limit=limit, cursor=cursor)


@scenario(API)
async def pages(s: Session) -> None:
    a, b = await s.topic("a", 3), await s.topic("b", 2)
    await _ask(s, a.name, b.name)
    await _ask(s, b.name, a.name, limit=2)
    for name, number in ((a.name, 2), (a.name, 3), (a.name, 9), (b.name, 0), ("a", 0), ("zz", 0)):
        cursor = {"topic_name": name, "partition_index": number}
        await _ask(s, a.name, b.name, limit=2, cursor=cursor)
    for limit in (0, -1, 3, 4, 5):
        await _ask(s, a.name, b.name, limit=limit)
    await _ask(s, a.name, a.name)


@scenario(API)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("a")
    await _ask(s, s.name("missing"))
    await _ask(s, "a b")
    await _ask(s, "")
    await _ask(s, topic.name, cursor={"topic_name": topic.name, "partition_index": -1})
    await _ask(s, topic.name, cursor={"topic_name": "", "partition_index": 0})

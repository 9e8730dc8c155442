"""DescribeLogDirs (35)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session
from tests.gateway.records import batch

API = 35


async def _ask(s: Session, topics: Any) -> None:
    answer = await s.call(API, s.version, topics=topics)
    for folder in answer["results"]:
        for size in ("total_bytes", "usable_bytes"):
            if size in folder:
                folder[size] = folder[size] > 0
        folder["topics"] = [topic for topic in folder["topics"] if s.mark in topic["name"]]
    s.keep(answer)


@scenario(API, 2)
async def sizes(s: Session) -> None:
    topic = await s.topic("t", 2, retention_ms="-1")
    await s.produce(topic.name, batch(b"a" * 100, at=1_700_000_000_000))
    await _ask(s, None)
    await _ask(s, [{"topic": topic.name, "partitions": [0]}])
    await _ask(s, [{"topic": topic.name, "partitions": [0, 1, 2, -1]}])


@scenario(API)
async def what_is_not_there(s: Session) -> None:
    await _ask(s, [])
    await _ask(s, [{"topic": s.name("missing"), "partitions": [0]}])
    await _ask(s, [{"topic": "a b", "partitions": []}])

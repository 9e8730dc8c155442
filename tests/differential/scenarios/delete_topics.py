"""DeleteTopics (20)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 20


async def _by_name(s: Session, *names: str) -> None:
    topics = [{"name": name, "topic_id": None} for name in names]
    await s.ask(topics=topics, topic_names=list(names), timeout=10_000)


@scenario(API, 5)
async def topics_by_name(s: Session) -> None:
    a, b = await s.topic("a"), await s.topic("b")
    await _by_name(s, a.name)
    await _by_name(s, a.name, b.name)
    await _by_name(s)


@scenario(API)
async def names_that_are_none(s: Session) -> None:
    await _by_name(s, "")
    await _by_name(s, "a b")
    await _by_name(s, "x" * 300)
    await _by_name(s, s.name("missing"))


@scenario(API)
async def a_name_twice(s: Session) -> None:
    a, b = await s.topic("a"), await s.topic("b")
    await _by_name(s, a.name, a.name)
    await _by_name(s, a.name, a.name, b.name)


@scenario(API, only=range(6, 7))
async def topics_by_id(s: Session) -> None:
    a, b = await s.topic("a"), await s.topic("b")
    await s.ask(topics=[{"name": None, "topic_id": a.id}], timeout=10_000)
    await s.ask(topics=[{"name": None, "topic_id": a.id}], timeout=10_000)
    await s.ask(topics=[{"name": b.name, "topic_id": b.id}], timeout=10_000)
    await s.ask(topics=[{"name": None, "topic_id": None}], timeout=10_000)
    await s.ask(topics=[{"name": None, "topic_id": b.id}] * 2, timeout=10_000)
    await s.ask(
        topics=[{"name": None, "topic_id": b.id}, {"name": b.name, "topic_id": None}],
        timeout=10_000,
    )


@scenario(API)
async def no_time(s: Session) -> None:
    topic = await s.topic("t")
    names = [{"name": topic.name, "topic_id": None}]
    await s.ask(topics=names, topic_names=[topic.name], timeout=0)

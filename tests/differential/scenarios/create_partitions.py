"""CreatePartitions (37)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 37


async def _grow(
    s: Session,
    name: str,
    count: int,
    nodes: list[list[int]] | None = None,
    *,
    validate_only: bool = False,
    times: int = 1,
) -> None:
    assignments = None if nodes is None else [{"broker_ids": ids} for ids in nodes]
    wanted = {"name": name, "count": count, "assignments": assignments}
    await s.ask(topics=[wanted] * times, timeout=10_000, validate_only=validate_only)


@scenario(API)
async def a_topic_grows(s: Session) -> None:
    topic = await s.topic("t", 2)
    await _grow(s, topic.name, 4, validate_only=True)
    await _grow(s, topic.name, 3)
    await _grow(s, topic.name, 4, [[1]])
    await s.ask(topics=[], timeout=10_000, validate_only=False)
    await s.ask_until(
        lambda one: len(one["topics"][0]["partitions"]) == 4,
        3,
        9,
        topics=[{"name": topic.name}],
    )


@scenario(API)
async def bad_numbers(s: Session) -> None:
    topic = await s.topic("t", 2)
    for count in (2, 1, 0, -1, -5):
        await _grow(s, topic.name, count)


@scenario(API)
async def no_time(s: Session) -> None:
    topic = await s.topic("t")
    wanted = {"name": topic.name, "count": 2, "assignments": None}
    await s.ask(topics=[wanted], timeout=0, validate_only=False)


@scenario(API)
async def bad_topics(s: Session) -> None:
    topic = await s.topic("t", 2)
    await _grow(s, s.name("missing"), 3)
    await _grow(s, "", 3)
    await _grow(s, "a b", 3)
    await _grow(s, topic.name, 3, times=2)


@scenario(API)
async def bad_assignments(s: Session) -> None:
    topic = await s.topic("t", 2)
    wrong: list[list[list[int]]] = [[[1]], [[1], [1], [1]], [[], []], [[1, 1], [1]], []]
    for nodes in (*wrong, [[99], [99]], [[-1], [1]]):
        await _grow(s, topic.name, 4, nodes)
    await _grow(s, topic.name, 3, [[1, 1]])
    await _grow(s, topic.name, 3, [[99]])
    await _grow(s, topic.name, 3, [[]])

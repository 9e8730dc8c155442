"""Metadata (3)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 3


@scenario(API, 1, 4, 9, 10, 12)
async def topics_by_name(s: Session) -> None:
    topic = await s.topic("t", 2)
    await s.ask(topics=[{"name": topic.name, "topic_id": None}])


@scenario(API, 1)
async def no_topics(s: Session) -> None:
    if s.version:  # version 0 has no way to ask for none
        await s.ask(topics=[])


@scenario(API, 1)
async def all_topics(s: Session) -> None:
    topic = await s.topic("t")
    answer = await s.call(API, s.version, topics=None if s.version else [])
    s.keep([row for row in answer["topics"] if row["name"] == topic.name])


@scenario(API, only=range(10, 14))
async def topics_by_id(s: Session) -> None:
    topic = await s.topic("t", 2)
    await s.ask(topics=[{"name": None, "topic_id": topic.id}])
    await s.ask(topics=[{"name": None, "topic_id": "AAAAAAAAAAAAAAAAAAAAEg"}])
    await s.ask(topics=[{"name": None, "topic_id": None}])
    await s.ask(topics=[{"name": topic.name, "topic_id": topic.id}])


@scenario(API, 4)
async def names_that_no_topic_can_have(s: Session) -> None:
    for name in ("", ".", "..", "a b", "x" * 250, "ä"):
        await s.ask(topics=[{"name": name, "topic_id": None}])


@scenario(API, 3, 4)
async def a_topic_that_is_not_there(s: Session) -> None:
    wanted = [{"name": s.name("new"), "topic_id": None}]
    if s.version >= 4:
        await s.ask(topics=wanted, allow_auto_topic_creation=False)
    await s.ask(topics=wanted, allow_auto_topic_creation=True)
    await s.ask_until(
        lambda one: one["topics"][0]["error_code"] == "NONE", API, s.version, topics=wanted
    )


@scenario(API)
async def a_topic_twice(s: Session) -> None:
    topic = await s.topic("t")
    await s.ask(topics=[{"name": topic.name, "topic_id": None}] * 2)


@scenario(API, only=range(8, 14))
async def what_a_client_may_do(s: Session) -> None:
    topic = await s.topic("t")
    wanted = [{"name": topic.name, "topic_id": None}]
    await s.ask(
        topics=wanted,
        include_topic_authorized_operations=True,
        include_cluster_authorized_operations=True,
    )
    missing = [{"name": s.name("missing"), "topic_id": None}]
    await s.ask(
        topics=missing,
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=True,
    )

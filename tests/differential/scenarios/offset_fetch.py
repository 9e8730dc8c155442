"""OffsetFetch (9)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session, Topic

API = 9
_COMMIT, _HEARTBEAT = 8, 68
_MANY, _BY_ID = 8, 10
_NOBODY = "AAAAAAAAAAAAAAAAAAAAEg"


async def commit_two(s: Session, topic: Topic, group: str = "g") -> None:
    rows = [
        {
            "partition_index": number,
            "committed_offset": 5 + number,
            "committed_leader_epoch": -1,
            "committed_metadata": "note",
        }
        for number in range(2)
    ]
    answer = await s.call(
        _COMMIT,
        9,
        group_id=s.name(group),
        member_id="",
        topics=[{"name": topic.name, "partitions": rows}],
    )
    codes = {row["error_code"] for row in answer["topics"][0]["partitions"]}
    if codes != {"NONE"}:
        raise AssertionError(f"offsets could not be committed: {codes}")


async def _ask(s: Session, topics: list[tuple[Topic, list[int]]] | None, **given: Any) -> None:
    group = given.get("group", s.name("g"))
    rows = None
    if topics is not None:
        by_id = s.version >= _BY_ID
        rows = [
            {
                **({"topic_id": topic.id} if by_id else {"name": topic.name}),
                "partition_indexes": numbers,
            }
            for topic, numbers in topics
        ]
    if s.version < _MANY:
        await s.ask(group_id=group, topics=rows, require_stable=given.get("stable", False))
        return
    wanted = {"group_id": group, "topics": rows}
    member = {"member_id": given.get("member"), "member_epoch": given.get("epoch", -1)}
    await s.ask(groups=[{**wanted, **member}], require_stable=given.get("stable", False))


@scenario(API, 2, 7, 8)
async def what_was_committed(s: Session) -> None:
    topic = await s.topic("t", 3)
    await commit_two(s, topic)
    await _ask(s, [(topic, [0, 1])])
    await _ask(s, [(topic, [2, 3, -1])])
    if s.version >= 2:
        await _ask(s, None)
    await _ask(s, [])
    await _ask(s, [(topic, [])])
    if s.version >= 7:
        await _ask(s, [(topic, [0])], stable=True)


@scenario(API, 8, 9)
async def topics_and_groups_that_are_none(s: Session) -> None:
    topic = await s.topic("t", 2)
    await commit_two(s, topic)
    for name in (s.name("missing"), "a b", ""):
        await _ask(s, [(Topic(name, _NOBODY, 0), [0])])
    await _ask(s, [(topic, [0])], group=s.name("missing"))
    await _ask(s, [(topic, [0])], group="")
    if s.version >= 2:
        await _ask(s, None, group=s.name("missing"))


@scenario(API, only=range(8, 11))
async def several_groups(s: Session) -> None:
    topic = await s.topic("t", 2)
    await commit_two(s, topic, "g")
    await commit_two(s, topic, "h")
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    rows = [{**named, "partition_indexes": [0]}]
    none = {"member_id": None, "member_epoch": -1}
    groups = [
        {"group_id": s.name("g"), "topics": rows, **none},
        {"group_id": s.name("h"), "topics": None, **none},
        {"group_id": s.name("missing"), "topics": None, **none},
    ]
    await s.ask(groups=groups)
    await s.ask(groups=[])


@scenario(API, only=range(9, 11))
async def members_of_consumer_groups(s: Session) -> None:
    topic = await s.topic("t", 2)
    joined = await s.call_until(
        lambda one: one["error_code"] == "NONE" and one["assignment"] is not None,
        _HEARTBEAT,
        group_id=s.name("g"),
        member_id="member-1",
        member_epoch=0,
        rebalance_timeout=60_000,
        subscribed_topic_names=[topic.name],
        topic_partitions=[],
    )
    epoch = joined["member_epoch"]
    for given in (epoch, epoch + 1, epoch - 1, -1):
        await _ask(s, [(topic, [0])], member="member-1", epoch=given)
    await _ask(s, [(topic, [0])], member="nobody", epoch=epoch)
    await _ask(s, [(topic, [0])], member="", epoch=epoch)
    await _ask(s, [(topic, [0])])
    await _ask(s, [(topic, [0])], group=s.name("missing"), member="nobody", epoch=1)

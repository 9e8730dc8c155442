"""OffsetDelete (47)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.scenarios.offset_fetch import commit_two
from tests.differential.session import Session

API = 47
_OFFSET_FETCH, _HEARTBEAT = 9, 68


async def _delete(s: Session, group: str, name: str, *numbers: int) -> None:
    rows = [{"partition_index": number} for number in numbers]
    await s.ask(group_id=group, topics=[{"name": name, "partitions": rows}])


@scenario(API)
async def offsets_go(s: Session) -> None:
    topic = await s.topic("t", 3)
    await commit_two(s, topic)
    await _delete(s, s.name("g"), topic.name, 0)
    await _delete(s, s.name("g"), topic.name, 0, 2)
    group = {"group_id": s.name("g"), "topics": None, "member_id": None, "member_epoch": -1}
    await s.ask_other(_OFFSET_FETCH, 8, groups=[group])
    await _delete(s, s.name("g"), topic.name, 1)
    await s.ask_other(_OFFSET_FETCH, 8, groups=[group])


@scenario(API)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("t", 2)
    await _delete(s, s.name("missing"), topic.name, 0)
    await _delete(s, "", topic.name, 0)
    await commit_two(s, topic)
    await _delete(s, s.name("g"), topic.name, 7, -1)
    await _delete(s, s.name("g"), s.name("missing"), 0)
    await _delete(s, s.name("g"), "a b", 0)
    await _delete(s, s.name("g"), topic.name)
    await s.ask(group_id=s.name("g"), topics=[])
    await s.ask(group_id=s.name("missing"), topics=[])


@scenario(API)
async def topics_that_members_read(s: Session) -> None:
    topic, other = await s.topic("t", 2), await s.topic("u", 2)
    await commit_two(s, topic)
    await commit_two(s, other)
    await s.call_until(
        lambda one: one["error_code"] == "NONE",
        _HEARTBEAT,
        group_id=s.name("g"),
        member_id="member-1",
        member_epoch=0,
        rebalance_timeout=60_000,
        subscribed_topic_names=[topic.name],
        topic_partitions=[],
    )
    await _delete(s, s.name("g"), topic.name, 0)
    await _delete(s, s.name("g"), other.name, 0)

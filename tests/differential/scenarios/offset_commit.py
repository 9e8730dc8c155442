"""OffsetCommit (8), by clients that are no members, and by members of consumer groups."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session, Topic

API = 8
_OFFSET_FETCH, _DELETE_GROUPS, _HEARTBEAT = 9, 42, 68
_BY_ID = 10
_NOBODY = "AAAAAAAAAAAAAAAAAAAAEg"


async def _commit(s: Session, topic: Topic, *rows: tuple[int, int], **given: Any) -> None:
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    partitions = [
        {
            "partition_index": number,
            "committed_offset": offset,
            "committed_leader_epoch": given.get("epoch", -1),
            "committed_metadata": given.get("metadata", "note"),
        }
        for number, offset in rows
    ]
    await s.ask(
        group_id=given.get("group", s.name("g")),
        generation_id_or_member_epoch=given.get("member_epoch", -1),
        member_id=given.get("member", ""),
        group_instance_id=given.get("instance"),
        retention_time=-1,
        topics=[{**named, "partitions": partitions}],
    )


async def _read(s: Session) -> None:
    group = {"group_id": s.name("g"), "topics": None, "member_id": None, "member_epoch": -1}
    await s.ask_other(_OFFSET_FETCH, 8, groups=[group])


@scenario(API, 3, 8, 9)
async def offsets_without_a_member(s: Session) -> None:
    topic = await s.topic("t", 2)
    await _commit(s, topic, (0, 5), (1, 0))
    await _commit(s, topic, (0, 4), metadata=None, epoch=topic.epoch)
    await _commit(s, topic, (1, 1 << 40), metadata="")
    await _read(s)


@scenario(API, 9)
async def what_is_refused(s: Session) -> None:
    topic = await s.topic("t")
    await _commit(s, topic, (1, 5), (-1, 5), (0, 5))
    for name in (s.name("missing"), "a b", ""):
        await _commit(s, Topic(name, _NOBODY, 0), (0, 5))
    await _commit(s, topic, (0, 5), metadata="x" * 4096)
    await _commit(s, topic, (0, 5), metadata="x" * 4097)
    await s.ask(group_id=s.name("g"), member_id="", topics=[])
    await _commit(s, topic)
    await _read(s)


@scenario(API)
async def groups_and_members_that_are_none(s: Session) -> None:
    topic = await s.topic("t")
    await _commit(s, topic, (0, 5), member="nobody")
    await _commit(s, topic, (0, 5), member="nobody", member_epoch=1)
    await _commit(s, topic, (0, 5), member="", member_epoch=1)
    await _commit(s, topic, (0, 5))
    await _commit(s, topic, (0, 5), member="nobody", member_epoch=1)
    await _commit(s, topic, (0, 5), member="nobody", member_epoch=-1)
    if s.version >= 7:
        await _commit(s, topic, (0, 5), instance="i", member_epoch=1)


@scenario(API)
async def a_group_without_a_name(s: Session) -> None:
    topic = await s.topic("t")
    await _commit(s, topic, (0, 5), group="")
    await s.call(_DELETE_GROUPS, groups_names=[""])


@scenario(API)
async def negative_offsets(s: Session) -> None:
    topic = await s.topic("t")
    await _commit(s, topic, (0, -1))
    await _commit(s, topic, (0, -2))
    await _read(s)


@scenario(API, 8, 9)
async def members_of_consumer_groups(s: Session) -> None:
    topic = await s.topic("t")
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
    for given in (epoch, epoch + 1, epoch - 1, -1, 0):
        await _commit(s, topic, (0, 5), member="member-1", member_epoch=given)
    await _commit(s, topic, (0, 5), member="nobody", member_epoch=epoch)
    await _commit(s, topic, (0, 5))
    await s.call(_HEARTBEAT, group_id=s.name("g"), member_id="member-1", member_epoch=-1)
    await _commit(s, topic, (0, 5), member="member-1", member_epoch=epoch)
    await _commit(s, topic, (0, 5))

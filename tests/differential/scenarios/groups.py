"""ListGroups (16), DescribeGroups (15), DeleteGroups (42) and ConsumerGroupDescribe (69)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.scenarios.offset_fetch import commit_two
from tests.differential.session import Session, Topic

LIST, DESCRIBE, DELETE, CONSUMER_DESCRIBE = 16, 15, 42, 69
_HEARTBEAT = 68


async def _member(s: Session, topic: Topic, group: str, member: str, **given: Any) -> Any:
    """Join a consumer group, and take what is assigned."""
    who = {"group_id": s.name(group), "member_id": member}
    joined = await s.call(
        _HEARTBEAT,
        **who,
        member_epoch=0,
        rebalance_timeout=60_000,
        subscribed_topic_names=[topic.name],
        topic_partitions=[],
        **given,
    )
    owned = joined["assignment"]["topic_partitions"]
    await s.call(_HEARTBEAT, **who, member_epoch=joined["member_epoch"], topic_partitions=owned)
    return joined


async def _three(s: Session) -> Topic:
    """A group with offsets only, one with a member, and one that a member has left."""
    topic = await s.topic("t", 2)
    await commit_two(s, topic, "offsets")
    await _member(s, topic, "busy", "member-1")
    await _member(s, topic, "left", "member-2")
    await s.call(_HEARTBEAT, group_id=s.name("left"), member_id="member-2", member_epoch=-1)
    return topic


@scenario(LIST, 4)
async def listed(s: Session) -> None:
    await _three(s)
    filters: list[dict[str, Any]] = [{}]
    if s.version >= 4:
        filters += [
            {"states_filter": states}
            for states in (["Empty"], ["stable"], ["Stable", "Empty"], ["Dead"], ["nonsense"], [""])
        ]
    if s.version >= 5:
        filters += [
            {"types_filter": types}
            for types in (
                ["classic"],
                ["Consumer"],
                ["consumer", "classic"],
                ["share"],
                ["x"],
                [""],
            )
        ]
        filters.append({"states_filter": ["Empty"], "types_filter": ["consumer"]})
    for given in filters:
        answer = await s.call(LIST, s.version, **given)
        answer["groups"] = [row for row in answer["groups"] if s.mark in row["group_id"]]
        s.keep(answer)


@scenario(DESCRIBE, 5)
async def described_as_classic_ones(s: Session) -> None:
    await _three(s)
    for label in ("offsets", "busy", "left", "missing"):
        await s.ask(groups=[s.name(label)])
    await s.ask(groups=[s.name("offsets"), s.name("missing")])
    await s.ask(groups=[s.name("offsets")] * 2)
    await s.ask(groups=[])
    await s.ask(groups=[""])
    if s.version >= 3:
        for label in ("offsets", "missing"):
            await s.ask(groups=[s.name(label)], include_authorized_operations=True)


@scenario(CONSUMER_DESCRIBE)
async def described_as_consumer_groups(s: Session) -> None:
    topic = await _three(s)
    for label in ("offsets", "busy", "left", "missing"):
        await s.ask(group_ids=[s.name(label)], include_authorized_operations=False)
    await s.ask(group_ids=[s.name("busy")], include_authorized_operations=True)
    await s.ask(group_ids=[s.name("missing")], include_authorized_operations=True)
    await s.ask(group_ids=[s.name("busy"), s.name("missing")])
    await s.ask(group_ids=[""])
    await s.ask(group_ids=[])
    await _member(s, topic, "static", "member-3", instance_id="one", rack_id="r")
    await s.ask(group_ids=[s.name("static")])


@scenario(DELETE)
async def deleted(s: Session) -> None:
    await _three(s)
    await s.ask(groups_names=[s.name("busy")])
    await s.ask(groups_names=[s.name("offsets"), s.name("left"), s.name("missing")])
    await s.ask(groups_names=[s.name("offsets")])
    await s.ask(groups_names=[""])
    await s.ask(groups_names=[])
    await s.ask(groups_names=[s.name("missing")] * 2)

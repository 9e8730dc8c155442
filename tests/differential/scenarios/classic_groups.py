"""Classic groups as administrators see them, and offsets that their members commit."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.differential.members import (
    JOIN,
    LEAVE,
    SYNC,
    enter,
    join,
    joining,
    leaving,
    syncing,
    until_state,
)
from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session, Topic
from tests.engine.classic_members import subscription

COMMIT, FETCH, DESCRIBE, LIST, DELETE, OFFSET_DELETE, CONSUMER_DESCRIBE = 8, 9, 15, 16, 42, 47, 69
_BY_ID = 10
"""The version of OffsetCommit and OffsetFetch since which topics go by their ids."""
_STATES = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead")


async def _each_state(s: Session) -> asyncio.Task[Answer]:
    """A group in each state; the one that waits in the last is to be awaited."""
    gone = await enter(s, named="gone", group_id=s.name("empty"))
    await s.call(LEAVE, **leaving(s, (gone["member_id"], None), group_id=s.name("empty")))
    await enter(s, named="one", group_id=s.name("stable"), group_instance_id="first")
    await enter(s, named="worker", group_id=s.name("workers"), protocol_type="connect")
    await join(s, named="two", group_id=s.name("completing"))
    await s.call(JOIN, **joining(s, group_id=s.name("pending")))
    await enter(s, named="leader")
    waiting = asyncio.create_task(join(s.beside(), named="follower"))
    await until_state(s, "PreparingRebalance", 2)
    return waiting


async def _end(s: Session, waiting: asyncio.Task[Answer]) -> None:
    """Let the member that waits have its answer."""
    described = await s.call(DESCRIBE, groups=[s.name("g")])
    named = [row["member_id"] for row in described["groups"][0]["members"]]
    await s.call(LEAVE, **leaving(s, *((member, None) for member in named)))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@scenario(DESCRIBE, 4, 5)
async def described(s: Session) -> None:
    waiting = await _each_state(s)
    for label in ("empty", "stable", "workers", "completing", "pending", "g"):
        await s.ask(groups=[s.name(label)], include_authorized_operations=False)
    if s.version >= 3:
        await s.ask(groups=[s.name("stable")], include_authorized_operations=True)
    await _end(s, waiting)


@scenario(CONSUMER_DESCRIBE)
async def described_as_consumer_groups(s: Session) -> None:
    waiting = await _each_state(s)
    for label in ("empty", "stable", "g"):
        await s.ask(group_ids=[s.name(label)], include_authorized_operations=True)
    await _end(s, waiting)


@scenario(LIST, 4)
async def listed(s: Session) -> None:
    waiting = await _each_state(s)
    filters: list[dict[str, Any]] = [{}]
    if s.version >= 4:
        filters += [{"states_filter": [state]} for state in _STATES]
        filters += [{"states_filter": ["STABLE", "preparingrebalance", "Assigning"]}]
    if s.version >= 5:
        filters += [{"types_filter": [kind]} for kind in ("classic", "CLASSIC", "consumer")]
        filters.append({"states_filter": ["Stable"], "types_filter": ["classic"]})
    for given in filters:
        answer = await s.call(LIST, s.version, **given)
        answer["groups"] = [row for row in answer["groups"] if s.mark in row["group_id"]]
        s.keep(answer)
    await _end(s, waiting)


@scenario(DELETE)
async def deleted(s: Session) -> None:
    waiting = await _each_state(s)
    for label in ("stable", "completing", "g", "empty", "pending", "pending"):
        await s.ask(groups_names=[s.name(label)])
    await s.ask(groups_names=[s.name("workers"), s.name("empty"), s.name("missing")])
    await _end(s, waiting)


async def _commit(s: Session, topic: Topic, member: str, generation: int, **given: Any) -> None:
    row = {
        "partition_index": 0,
        "committed_offset": 5,
        "committed_leader_epoch": -1,
        "committed_metadata": "note",
    }
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    values = {
        "group_id": s.name("g"),
        "generation_id_or_member_epoch": generation,
        "member_id": member,
        "group_instance_id": None,
        "topics": [{**named, "partitions": [row]}],
    }
    await s.ask(**{**values, **given})


@scenario(COMMIT, 7, 8, 9)
async def commits_of_members(s: Session) -> None:
    topic = await s.topic("t")
    joined = await join(s, named="leader")
    member, generation = joined["member_id"], joined["generation_id"]
    await _commit(s, topic, member, generation)
    await s.call(SYNC, **syncing(s, joined))
    await _commit(s, topic, member, generation)
    for wrong in (generation + 1, generation - 1, -1, -2):
        await _commit(s, topic, member, wrong)
    await _commit(s, topic, "nobody", generation)
    await _commit(s, topic, "", generation)
    await _commit(s, topic, "", -1)
    other = s.beside()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(join(other, named="follower"))
        await until_state(s, "PreparingRebalance", 2)
        await _commit(s, topic, member, generation)
        await s.call(JOIN, **joining(s, member))
    await _commit(s, topic, member, generation)
    await _commit(s, topic, member, generation + 1)
    await s.call(LEAVE, **leaving(s, (member, None)))
    await _commit(s, topic, member, generation + 1)


@scenario(COMMIT, 8, 9, only=range(7, 11))
async def commits_of_static_members(s: Session) -> None:
    topic = await s.topic("t")
    joined = await enter(s, named="leader", group_instance_id="one")
    member, generation = joined["member_id"], joined["generation_id"]
    await _commit(s, topic, member, generation, group_instance_id="one")
    await _commit(s, topic, member, generation, group_instance_id="two")
    await _commit(s, topic, "nobody", generation, group_instance_id="one")
    await _commit(s, topic, member, generation + 1, group_instance_id="one")
    await _commit(s, topic, "", -1, group_instance_id="one")


@scenario(COMMIT, 9)
async def commits_to_a_group_that_has_gone(s: Session) -> None:
    topic = await s.topic("t")
    joined = await enter(s, named="leader")
    member, generation = joined["member_id"], joined["generation_id"]
    await s.call(LEAVE, **leaving(s, (member, None)))
    await _commit(s, topic, member, generation)
    await _commit(s, topic, "", -1)
    await _commit(s, topic, "nobody", -1)
    await s.call(DELETE, groups_names=[s.name("g")])
    await _commit(s, topic, member, generation)


async def _fetch(s: Session, topic: Topic, member: str | None, epoch: int) -> None:
    named = {"topic_id": topic.id} if s.version >= _BY_ID else {"name": topic.name}
    wanted = {"topics": [{**named, "partition_indexes": [0]}]}
    await s.ask(
        groups=[{"group_id": s.name("g"), "member_id": member, "member_epoch": epoch, **wanted}],
        require_stable=False,
    )


@scenario(FETCH, only=range(9, 11))
async def offsets_for_members(s: Session) -> None:
    topic = await s.topic("t")
    joined = await enter(s, named="leader")
    member, generation = joined["member_id"], joined["generation_id"]
    for epoch in (generation, generation + 1, -1, 0):
        await _fetch(s, topic, member, epoch)
    await _fetch(s, topic, "nobody", generation)
    await _fetch(s, topic, None, -1)


@scenario(OFFSET_DELETE)
async def offsets_that_members_need(s: Session) -> None:
    topic, other = await s.topic("t"), await s.topic("u")

    async def delete(group: str, name: str) -> None:
        rows = [{"partition_index": 0}]
        await s.ask(group_id=s.name(group), topics=[{"name": name, "partitions": rows}])

    mine = {"protocols": [{"name": "range", "metadata": subscription(topic.name)}]}
    await enter(s, named="leader", **mine)
    await delete("g", topic.name)
    await delete("g", other.name)
    await enter(s, named="worker", group_id=s.name("w"), protocol_type="connect", **mine)
    await delete("w", topic.name)
    odd = {"protocols": [{"name": "range", "metadata": b"odd"}]}
    await enter(s, named="odd", group_id=s.name("o"), **odd)
    await delete("o", topic.name)

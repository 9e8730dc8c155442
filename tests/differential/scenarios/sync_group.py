"""SyncGroup (14)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.differential.members import (
    JOIN,
    NO_ANSWER,
    SYNC,
    beating,
    enter,
    join,
    joining,
    syncing,
    two,
    until_state,
)
from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session

_STATIC = range(3, 6)


async def _ask(s: Session, joined: Answer, **given: Any) -> Answer:
    return await s.ask(**syncing(s, joined, **given))


@scenario(SYNC, 4)
async def groups_that_are_none(s: Session) -> None:
    await _ask(s, NO_ANSWER, group_id="")
    await _ask(s, NO_ANSWER)
    await _ask(s, {**NO_ANSWER, "member_id": "nobody", "generation_id": 1})


@scenario(SYNC, 4)
async def a_member_alone(s: Session) -> None:
    joined = await join(s, named="leader")
    for given in (
        {"member_id": "nobody"},
        {"member_id": ""},
        {"generation_id": 0},
        {"generation_id": 2},
        {"generation_id": -1},
    ):
        await _ask(s, joined, **given)
    await _ask(s, joined)
    await _ask(s, joined)
    await _ask(s, joined, assignments=[{"member_id": joined["member_id"], "assignment": b"new"}])
    await _ask(s, joined, generation_id=0)
    again = await s.call(JOIN, **joining(s, joined["member_id"]))
    await _ask(s, joined)
    await _ask(s, again, assignments=[])
    await _ask(s, again)


@scenario(SYNC)
async def assignments_of_nobody(s: Session) -> None:
    joined = await join(s, named="leader")
    rows = [
        {"member_id": "nobody", "assignment": b"lost"},
        {"member_id": joined["member_id"], "assignment": b"first"},
        {"member_id": joined["member_id"], "assignment": b"second"},
    ]
    await _ask(s, joined, assignments=rows)


@scenario(SYNC, only=range(5, 6))
async def protocols_that_are_others(s: Session) -> None:
    joined = await join(s, named="leader")
    for given in (
        {"protocol_type": None},
        {"protocol_name": None},
        {"protocol_type": "connect"},
        {"protocol_name": "roundrobin"},
        {"protocol_type": "", "protocol_name": ""},
        {"protocol_type": None, "protocol_name": None, "member_id": "nobody"},
        {"protocol_type": None, "protocol_name": None, "group_id": ""},
        {"protocol_type": "connect", "generation_id": 7},
        {"protocol_type": "connect", "member_id": "nobody"},
        {},
    ):
        await _ask(s, joined, **given)


@scenario(SYNC)
async def a_leader_and_a_follower(s: Session) -> None:
    other = s.beside()
    leader, follower = await two(s, other)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(other.call(SYNC, s.version, **syncing(s, follower)))
        await s.pause()
        answer = await s.call(SYNC, s.version, **syncing(s, leader))
    s.keep(answer)
    s.keep(waiting.result())
    await _ask(s, follower)
    await s.ask_other(12, **beating(s, follower["member_id"], follower["generation_id"]))


@scenario(SYNC)
async def a_rebalance_begins(s: Session) -> None:
    first = await enter(s, named="leader")
    other = s.beside()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(join(other, named="follower"))
        await until_state(s, "PreparingRebalance", 2)
        await _ask(s, first)
        await _ask(s, first, generation_id=first["generation_id"] + 1)
        await _ask(s, first, member_id="nobody")
        again = await s.call(JOIN, **joining(s, first["member_id"]))
    s.keep(again)
    s.keep(waiting.result())


@scenario(SYNC)
async def a_follower_that_waits_while_another_joins(s: Session) -> None:
    other, third = s.beside(), s.beside()
    leader, follower = await two(s, other)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(other.call(SYNC, s.version, **syncing(s, follower)))
        await s.pause()
        coming = tasks.create_task(join(third, named="third"))
        answer = await waiting
        s.keep(answer)
        back = tasks.create_task(other.call(JOIN, **joining(s, follower["member_id"])))
        await s.call(JOIN, **joining(s, leader["member_id"]))
    s.keep(back.result())
    s.keep(coming.result())


@scenario(SYNC, only=_STATIC)
async def static_members(s: Session) -> None:
    first = await join(s, named="leader", group_instance_id="one")
    await _ask(s, first, group_instance_id="two")
    await _ask(s, first, group_instance_id="one", member_id="nobody")
    await _ask(s, first, group_instance_id="one", generation_id=9)
    await _ask(s, first, group_instance_id="one")
    await _ask(s, first)


@scenario(SYNC)
async def an_assignment_that_is_large(s: Session) -> None:
    joined = await join(s, named="leader")
    row = {"member_id": joined["member_id"], "assignment": b"x" * (2 << 20)}
    answer = await s.call(SYNC, s.version, **syncing(s, joined, assignments=[row]))
    answer["assignment"] = len(answer["assignment"])
    s.keep(answer)

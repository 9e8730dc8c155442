"""Heartbeat (12)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.differential.members import (
    BEAT,
    JOIN,
    LEAVE,
    SYNC,
    beating,
    enter,
    join,
    joining,
    leaving,
    syncing,
    until_state,
)
from tests.differential.scenario import scenario
from tests.differential.scenarios.offset_fetch import commit_two
from tests.differential.session import Session


async def _ask(s: Session, member: str, generation: int, **given: Any) -> None:
    await s.ask(**beating(s, member, generation, **given))


@scenario(BEAT)
async def groups_that_are_none(s: Session) -> None:
    await _ask(s, "nobody", 1, group_id="")
    await _ask(s, "", -1, group_id="")
    await _ask(s, "nobody", 1)
    await _ask(s, "", -1)
    await commit_two(s, await s.topic("t", 2))
    await _ask(s, "nobody", 1)
    await _ask(s, "", -1)
    await _ask(s, "", 0)


@scenario(BEAT)
async def a_life(s: Session) -> None:
    joined = await join(s, named="leader")
    member, generation = joined["member_id"], joined["generation_id"]
    await _ask(s, member, generation)
    await s.call(SYNC, **syncing(s, joined))
    await _ask(s, member, generation)
    for wrong in (generation + 1, generation - 1, -1, -2):
        await _ask(s, member, wrong)
    await _ask(s, "nobody", generation)
    await _ask(s, "", generation)
    await s.call(LEAVE, **leaving(s, (member, None)))
    await _ask(s, member, generation)
    await _ask(s, member, generation + 1)


@scenario(BEAT)
async def a_rebalance_begins(s: Session) -> None:
    first = await enter(s, named="leader")
    other = s.beside()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(join(other, named="follower"))
        await until_state(s, "PreparingRebalance", 2)
        await _ask(s, first["member_id"], first["generation_id"])
        await _ask(s, first["member_id"], first["generation_id"] + 1)
        again = await s.call(JOIN, **joining(s, first["member_id"]))
    await _ask(s, first["member_id"], first["generation_id"])
    await _ask(s, first["member_id"], again["generation_id"])
    await _ask(s, waiting.result()["member_id"], again["generation_id"])


@scenario(BEAT, only=range(3, 5))
async def static_members(s: Session) -> None:
    first = await enter(s, named="leader", group_instance_id="one")
    member, generation = first["member_id"], first["generation_id"]
    await _ask(s, member, generation, group_instance_id="one")
    await _ask(s, member, generation)
    await _ask(s, member, generation, group_instance_id="two")
    await _ask(s, "nobody", generation, group_instance_id="one")
    await _ask(s, member, generation + 1, group_instance_id="one")
    await _ask(s, "", generation, group_instance_id="one")

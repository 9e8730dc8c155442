"""LeaveGroup (13)."""

from __future__ import annotations

import asyncio

from tests.differential.members import (
    BEAT,
    DESCRIBE,
    JOIN,
    LEAVE,
    beating,
    enter,
    join,
    joining,
    leaving,
    two,
    until_state,
)
from tests.differential.scenario import scenario
from tests.differential.scenarios.offset_fetch import commit_two
from tests.differential.session import Session

_MANY = range(3, 6)
"""The versions in which several members can leave at once."""


async def _ask(s: Session, *members: tuple[str, str | None], group: str | None = None) -> None:
    await s.ask(**leaving(s, *members, group_id=s.name("g") if group is None else group))


async def _described(s: Session) -> None:
    await s.ask_other(DESCRIBE, groups=[s.name("g")])


@scenario(LEAVE)
async def groups_that_are_none(s: Session) -> None:
    await _ask(s, ("nobody", None), group="")
    await _ask(s, ("nobody", None))
    await _ask(s, ("", None))
    await _ask(s)
    await commit_two(s, await s.topic("t", 2))
    await _ask(s, ("nobody", None))
    await _ask(s, ("", None))
    await _ask(s)


@scenario(LEAVE)
async def a_member_leaves(s: Session) -> None:
    joined = await enter(s, named="leader")
    await _ask(s, ("nobody", None))
    await _described(s)
    await _ask(s, (joined["member_id"], None))
    await _described(s)
    await _ask(s, (joined["member_id"], None))
    await s.ask_other(JOIN, **joining(s, joined["member_id"]))


@scenario(LEAVE)
async def a_leader_leaves_in_the_midst(s: Session) -> None:
    other = s.beside()
    leader, follower = await two(s, other)
    await _ask(s, (leader["member_id"], None))
    await _described(s)
    await s.ask_other(BEAT, **beating(s, follower["member_id"], follower["generation_id"]))
    await s.ask_other(JOIN, **joining(s, follower["member_id"]))


@scenario(LEAVE)
async def a_follower_waits_for_one_that_leaves(s: Session) -> None:
    first = await enter(s, named="leader")
    other = s.beside()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(join(other, named="follower"))
        await until_state(s, "PreparingRebalance", 2)
        await _ask(s, (first["member_id"], None))
    s.keep(waiting.result())
    await _described(s)


@scenario(LEAVE, only=range(4, 6))
async def one_that_has_an_id_and_never_came(s: Session) -> None:
    answer = await s.call(JOIN, **joining(s))
    s.names.call(answer["member_id"], "pending")
    await _ask(s, (answer["member_id"], None))
    await s.ask_other(JOIN, **joining(s, answer["member_id"]))
    await _described(s)


@scenario(LEAVE, only=_MANY)
async def several_leave(s: Session) -> None:
    other = s.beside()
    leader, follower = await two(s, other)
    await _ask(s)
    await _ask(
        s,
        ("nobody", None),
        (follower["member_id"], None),
        (follower["member_id"], None),
        ("", None),
    )
    await _ask(s, (leader["member_id"], "one"), (leader["member_id"], None))
    await _described(s)


@scenario(LEAVE, only=_MANY)
async def static_members(s: Session) -> None:
    first = await enter(s, named="leader", group_instance_id="one")
    await _ask(s, ("nobody", "one"))
    await _ask(s, (first["member_id"], "two"))
    await _ask(s, ("", "two"))
    await _ask(s, ("", ""))
    await _described(s)
    await _ask(s, ("", "one"))
    await _described(s)
    await _ask(s, ("", "one"))
    await enter(s, named="second", group_instance_id="one")
    await _ask(s, ("", "one"), ("", "one"))

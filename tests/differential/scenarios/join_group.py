"""JoinGroup (11)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.differential.members import (
    BEAT,
    DESCRIBE,
    JOIN,
    MEMBER_ID_REQUIRED,
    RANGE,
    ROUND,
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

_STATIC = range(5, 10)
"""The versions that know static members (KIP-345)."""


async def _ask(s: Session, member: str = "", **given: Any) -> Answer:
    return await s.ask(**joining(s, member, **given))


async def _entered(s: Session, **given: Any) -> Answer:
    """Join at the scenario's version, by a second request if an id is required; all is kept."""
    answer = await _ask(s, **given)
    if answer["error_code"] == MEMBER_ID_REQUIRED:
        answer = await _ask(s, answer["member_id"], **given)
    return answer


@scenario(JOIN, 3, 4, 7, 8)
async def a_member_alone(s: Session) -> None:
    joined = await _entered(s)
    await _ask(s, joined["member_id"])
    await s.call(SYNC, **syncing(s, joined))
    again = await _ask(s, joined["member_id"], reason="because")
    await s.call(SYNC, **syncing(s, again))
    other = await _ask(s, joined["member_id"], protocols=[ROUND])
    await _ask(s, joined["member_id"], protocols=[ROUND, RANGE])
    await s.ask_other(BEAT, **beating(s, joined["member_id"], other["generation_id"] + 1))


@scenario(JOIN, 3, 4, 6, 7)
async def what_is_refused(s: Session) -> None:
    await _ask(s, group_id="")
    for session in (0, -1, 5_999, 1_800_001, 2**31 - 1, -(2**31)):
        await _ask(s, session_timeout=session)
    await _ask(s, "nobody")
    await _ask(s, "nobody", group_id="")
    await _ask(s, protocol_type="")
    await _ask(s, protocols=[])
    await _ask(s, "nobody", protocols=[])
    await s.ask_other(DESCRIBE, groups=[s.name("g")])


@scenario(JOIN)
async def timeouts_at_their_limits(s: Session) -> None:
    for session in (6_000, 1_800_000):
        await _entered(s, session_timeout=session, group_id=s.name(f"g{session}"))
    for number, rebalance in enumerate((0, -1, 2**31 - 1)):
        await _ask(s, "nobody", rebalance_timeout=rebalance, group_id=s.name(f"h{number}"))


@scenario(JOIN, 4, 7)
async def what_a_group_with_a_member_refuses(s: Session) -> None:
    await enter(s, named="leader")
    await _ask(s, "nobody")
    await _ask(s, protocol_type="connect")
    await _ask(s, protocols=[ROUND])
    await _ask(s, protocols=[])
    await _ask(s, protocol_type="")
    await _ask(s, "nobody", protocols=[ROUND])
    await _ask(s, session_timeout=1)


@scenario(JOIN, 4, 7)
async def a_member_that_asks_for_other_things(s: Session) -> None:
    first = await enter(s, named="leader")
    await _ask(s, first["member_id"], protocol_type="connect")
    await _ask(s, first["member_id"], protocols=[])
    await _ask(s, first["member_id"], session_timeout=1)
    await s.ask_other(BEAT, **beating(s, first["member_id"], first["generation_id"]))


@scenario(JOIN, 3, 4, 7)
async def two_members(s: Session) -> None:
    first = await enter(s, named="leader")
    other = s.beside()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(
            join(other, other.version, named="follower", protocols=[ROUND, RANGE])
        )
        await until_state(s, "PreparingRebalance", 2)
        await s.ask_other(BEAT, **beating(s, first["member_id"], first["generation_id"]))
        again = await s.call(JOIN, s.version, **joining(s, first["member_id"]))
    s.keep(again)
    s.keep(waiting.result())
    # Who is told once is told again, as long as nothing is assigned.
    await _ask(s, first["member_id"])
    await s.ask_other(
        JOIN, s.version, **joining(s, waiting.result()["member_id"], protocols=[ROUND, RANGE])
    )


@scenario(JOIN, 7)
async def a_follower_comes_back(s: Session) -> None:
    other = s.beside()
    leader, follower = await two(s, other)
    await s.call(SYNC, **syncing(s, leader))
    # Nothing is new: it hears of the same generation.
    await _ask(s, follower["member_id"])
    await s.ask_other(SYNC, **syncing(s, follower, assignments=[]))


@scenario(JOIN, 7, only=_STATIC)
async def static_members(s: Session) -> None:
    mine: dict[str, Any] = {"group_instance_id": "one"}
    await _ask(s, "nobody", **mine)
    first = await _ask(s, **mine)
    await s.call(SYNC, **syncing(s, first, group_instance_id="one"))
    await _ask(s, "nobody", **mine)
    await _ask(s, first["member_id"], group_instance_id="two")
    await _ask(s, "nobody", group_instance_id="two")
    # It has lost its id: it takes its own place, and the old id is fenced.
    second = await _ask(s, **mine)
    await _ask(s, first["member_id"], **mine)
    for version in (3, 4):
        values = beating(s, first["member_id"], first["generation_id"], **mine)
        await s.ask_other(BEAT, version, **values)
    again = await _ask(s, second["member_id"], **mine)
    await s.call(SYNC, **syncing(s, again, group_instance_id="one"))
    await s.ask_other(DESCRIBE, groups=[s.name("g")])
    await _ask(s, protocols=[ROUND], **mine)
    await s.ask_other(DESCRIBE, groups=[s.name("g")])


@scenario(JOIN, 7, only=_STATIC)
async def a_static_member_without_a_name(s: Session) -> None:
    await _ask(s, group_instance_id="")
    await s.ask_other(DESCRIBE, groups=[s.name("g")])


@scenario(JOIN, only=range(4, 10))
async def an_id_that_was_given(s: Session) -> None:
    given = await _ask(s)
    await s.ask_other(DESCRIBE, groups=[s.name("g")])
    await s.ask_other(BEAT, **beating(s, given["member_id"], 0))
    await s.ask_other(BEAT, **beating(s, given["member_id"], -1))
    await _ask(s, given["member_id"] + "x")
    await _ask(s, given["member_id"], protocols=[ROUND])
    await _ask(s, given["member_id"])

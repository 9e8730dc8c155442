"""Members of classic groups, as scenarios need them: who joins, and what each of them asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.differential.session import Answer, Session
from tests.engine.classic_members import subscription

JOIN, BEAT, LEAVE, SYNC, DESCRIBE = 11, 12, 13, 14, 15
MEMBER_ID_REQUIRED = "MEMBER_ID_REQUIRED"

RANGE = {"name": "range", "metadata": subscription("t")}
ROUND = {"name": "roundrobin", "metadata": subscription("t")}
NO_ANSWER: Answer = {"generation_id": -1, "member_id": "", "members": []}


def joining(s: Session, member: str = "", **given: Any) -> dict[str, Any]:
    """The values of a JoinGroup."""
    return {
        "group_id": s.name("g"),
        "session_timeout": 30_000,
        "rebalance_timeout": 60_000,
        "member_id": member,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocols": [RANGE],
        "reason": None,
        **given,
    }


def syncing(s: Session, joined: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The values of a SyncGroup: a leader gives itself something else than the others."""
    leader = joined["member_id"]
    return {
        "group_id": s.name("g"),
        "generation_id": joined["generation_id"],
        "member_id": joined["member_id"],
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [
            {
                "member_id": row["member_id"],
                "assignment": b"mine" if row["member_id"] == leader else b"yours",
            }
            for row in joined["members"]
        ],
        **given,
    }


def beating(s: Session, member: str, generation: int, **given: Any) -> dict[str, Any]:
    """The values of a Heartbeat."""
    return {
        "group_id": s.name("g"),
        "generation_id": generation,
        "member_id": member,
        "group_instance_id": None,
        **given,
    }


def leaving(s: Session, *members: tuple[str, str | None], **given: Any) -> dict[str, Any]:
    """The values of a LeaveGroup, by id and instance; versions before 3 know the first id only."""
    return {
        "group_id": s.name("g"),
        "member_id": members[0][0] if members else "",
        "members": [
            {"member_id": member, "group_instance_id": instance, "reason": None}
            for member, instance in members
        ],
        **given,
    }


async def join(s: Session, version: int | None = None, *, named: str = "", **given: Any) -> Answer:
    """Join as a client does it that has no id yet; the answer is not kept.

    Args:
        version: of JoinGroup; None: the newest.
        named: what the member is called in the answers that are kept.
    """
    answer = await s.call(JOIN, version, **joining(s, **given))
    if answer["error_code"] == MEMBER_ID_REQUIRED:
        given["member"] = answer["member_id"]
        if named:
            s.names.call(answer["member_id"], named)
        answer = await s.call(JOIN, version, **joining(s, **given))
    if answer["error_code"] != "NONE":
        raise AssertionError(f"a member could not join: {answer}")
    if named:
        s.names.call(answer["member_id"], named)
    return answer


async def enter(s: Session, *, named: str, **given: Any) -> Answer:
    """Join, and be assigned something; no answer is kept. Only for one who is alone."""
    joined = await join(s, named=named, **given)
    same: dict[str, Any] = {
        name: given[name] for name in ("group_id", "group_instance_id") if name in given
    }
    same.update(protocol_type=joined["protocol_type"], protocol_name=joined["protocol_name"])
    synced = await s.call(SYNC, **syncing(s, joined, **same))
    if synced["error_code"] != "NONE":
        raise AssertionError(f"a member could not sync: {synced}")
    return joined


async def until_state(s: Session, state: str, members: int | None = None) -> None:
    """Wait until the group is in a state."""

    def there(answer: Answer) -> bool:
        row = answer["groups"][0]
        return row["group_state"] == state and members in (None, len(row["members"]))

    answer = await s.call_until(there, DESCRIBE, groups=[s.name("g")])
    if not there(answer):
        raise AssertionError(f"the group is {answer['groups'][0]}, and not {state}")


async def two(s: Session, other: Session, **given: Any) -> tuple[Answer, Answer]:
    """A leader and a follower who have both joined, and assigned nothing yet; nothing is kept."""
    first = await enter(s, named="leader")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(join(other, named="follower", **given))
        await until_state(s, "PreparingRebalance", 2)
        again = await s.call(JOIN, **joining(s, first["member_id"]))
    return again, waiting.result()

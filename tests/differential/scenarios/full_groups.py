"""Groups that have as many members as there may be, which is one: GROUP_MAX_SIZE_REACHED."""

from __future__ import annotations

from tests.differential.members import JOIN, MEMBER_ID_REQUIRED, enter, joining
from tests.differential.scenario import scenario
from tests.differential.session import Session

HEARTBEAT = 68
SETTINGS = {"group.max.size": "1", "group.consumer.max.size": "1"}


@scenario(JOIN, 3, 4, settings=SETTINGS)
async def of_classic_members(s: Session) -> None:
    first = await enter(s, named="first")
    other = s.beside()
    answer = await other.ask(**joining(s))
    if answer["error_code"] == MEMBER_ID_REQUIRED:
        await other.ask(**joining(s, answer["member_id"]))
    await other.ask(**joining(s, "nobody"))
    if s.version >= 5:
        await other.ask(**joining(s, group_instance_id="i"))
    await s.ask(**joining(s, first["member_id"]))


@scenario(HEARTBEAT, settings=SETTINGS)
async def of_members_whom_brokers_assign(s: Session) -> None:
    topic = await s.topic("t")
    values = {
        "group_id": s.name("g"),
        "member_epoch": 0,
        "rebalance_timeout": 60_000,
        "topic_partitions": [],
        "subscribed_topic_names": [topic.name],
    }
    first = await s.call(HEARTBEAT, s.version, member_id="first", **values)
    s.keep(first["error_code"])
    await s.ask(member_id="second", **values)
    await s.ask(member_id="third", instance_id="i", **values)
    again = await s.call(HEARTBEAT, s.version, member_id="first", **values)
    s.keep(again["error_code"])

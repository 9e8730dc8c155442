"""Configs of single groups: DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44),
ListConfigResources (74), and what members hear of them (KIP-848, KIP-1142)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

DESCRIBE, ALTER, INCREMENTAL, LIST, HEARTBEAT, DELETE_GROUPS = 32, 33, 44, 74, 68, 42
TOPIC, GROUP = 2, 32
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)
_OWN = 8
"""The source of a config that was set for the group."""

SESSION, INTERVAL = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
ASSIGNMENT = "consumer.assignment.interval.ms"


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"resource_type": GROUP, "resource_name": name, **more}


async def _change(s: Session, name: str, *changes: Any, **given: Any) -> None:
    rows = [
        {"name": key, "config_operation": operation, "value": value}
        for key, operation, value in changes
    ]
    wanted = _named(name, configs=rows)
    asked = {"resources": [wanted], "validate_only": given.get("validate_only", False)}
    if s.api == INCREMENTAL:
        await s.ask(**asked)
    else:
        await s.ask_other(INCREMENTAL, **asked)


async def _replace(s: Session, name: str, *configs: Any, **given: Any) -> None:
    rows = [{"name": key, "value": value} for key, value in configs]
    await s.ask(
        resources=[_named(name, configs=rows)], validate_only=given.get("validate_only", False)
    )


def _own(answer: Any) -> dict[str, str]:
    rows = answer["results"][0]["configs"]
    return {row["name"]: row["value"] for row in rows if row["config_source"] == _OWN}


async def _shown(s: Session, name: str, **expected: str) -> None:
    """Keep what is set for a group, once it is: Kafka's broker hears of it from its controller."""
    wanted = {key.replace("_", "."): value for key, value in expected.items()}
    answer = await s.call_until(
        lambda answer: _own(answer) == wanted,
        DESCRIBE,
        resources=[_named(name, configuration_keys=None)],
    )
    s.keep(_own(answer))


@scenario(DESCRIBE, only=range(1, 5))
async def all_of_a_group(s: Session) -> None:
    group = s.name("g")
    asked = {"resources": [_named(group, configuration_keys=None)], "include_synonyms": True}
    answer = await s.call(DESCRIBE, s.version, **asked)
    configs = answer["results"][0].pop("configs")
    s.keep({one["name"]: one for one in configs if one["name"].startswith("consumer.")})
    s.keep(answer)
    await _change(s, group, (SESSION, _SET, "50000"), (ASSIGNMENT, _SET, "0"))
    await _shown(s, group, consumer_session_timeout_ms="50000", consumer_assignment_interval_ms="0")
    answer = await s.call(DESCRIBE, s.version, **asked)
    configs = answer["results"][0].pop("configs")
    s.keep({one["name"]: one for one in configs if one["name"].startswith("consumer.")})
    for keys in ([SESSION], [INTERVAL, "no.such"], ["no.such"]):
        wanted = [_named(group, configuration_keys=keys)]
        await s.ask(resources=wanted, include_synonyms=True)
        await s.ask(resources=wanted, include_documentation=True)


@scenario(INCREMENTAL)
async def single_ones_changed(s: Session) -> None:
    group = s.name("g")
    await _change(s, group, (SESSION, _SET, "50000"), validate_only=True)
    await _shown(s, group)
    await _change(s, group, (SESSION, _SET, " 50000 "))
    await _shown(s, group, consumer_session_timeout_ms="50000")
    await _change(s, group, (INTERVAL, _SET, "+6000"), (SESSION, _SET, "60000"))
    await _shown(
        s, group, consumer_session_timeout_ms="60000", consumer_heartbeat_interval_ms="6000"
    )
    await _change(s, group, (SESSION, _DELETE, "x"), validate_only=True)
    await _change(s, group, (SESSION, _DELETE, None), (ASSIGNMENT, _SET, "15000"))
    await _shown(
        s, group, consumer_heartbeat_interval_ms="6000", consumer_assignment_interval_ms="15000"
    )
    await _change(s, group, (SESSION, _DELETE, None))
    await _change(s, group, (INTERVAL, _DELETE, None), (ASSIGNMENT, _DELETE, None))
    await _shown(s, group)
    await _change(s, group)


@scenario(ALTER)
async def all_replaced(s: Session) -> None:
    group = s.name("g")
    await _replace(s, group, (SESSION, "50000"), validate_only=True)
    await _shown(s, group)
    await _replace(s, group, (SESSION, "50000"), (INTERVAL, "6000"))
    await _shown(
        s, group, consumer_session_timeout_ms="50000", consumer_heartbeat_interval_ms="6000"
    )
    await _replace(s, group, (ASSIGNMENT, "500"))
    await _shown(s, group, consumer_assignment_interval_ms="500")
    await _replace(s, group)
    await _shown(s, group)


_BAD = (
    ("no.such", "1"),
    ("", "1"),
    ("session.timeout.ms", "50000"),
    ("group.consumer.session.timeout.ms", "50000"),
    (SESSION, "44999"),
    (SESSION, "60001"),
    (SESSION, "-1"),
    (SESSION, "0"),
    (SESSION, "soon"),
    (SESSION, "50000.0"),
    (SESSION, ""),
    (SESSION, "99999999999"),
    (INTERVAL, "4999"),
    (INTERVAL, "15001"),
    (INTERVAL, "0"),
    (ASSIGNMENT, "-1"),
    (ASSIGNMENT, "15001"),
)


@scenario(INCREMENTAL)
async def changes_that_are_refused(s: Session) -> None:
    group = s.name("g")
    for key, value in _BAD:
        await _change(s, group, (key, _SET, value))
        await _change(s, group, (key, _SET, value), validate_only=True)
    await _change(s, group, (INTERVAL, _SET, "6000"), (SESSION, _SET, "1"))
    for operation in (_SET, _APPEND, _SUBTRACT):
        await _change(s, group, (SESSION, operation, None))
    for operation in (_APPEND, _SUBTRACT):
        await _change(s, group, (SESSION, operation, "50000"))
        await _change(s, group, ("no.such", operation, "50000"))
    await _change(s, group, ("no.such", _DELETE, None))
    await _change(s, group, (SESSION, _SET, "50000"), (SESSION, _SET, "50001"))
    await _change(s, "", (SESSION, _SET, "50000"))
    await _change(s, "", ("no.such", _SET, "50000"))
    await _change(s, "")
    rows = [{"name": SESSION, "config_operation": _SET, "value": "50000"}]
    twice = [_named(group, configs=rows)] * 2
    await s.ask(resources=twice, validate_only=False)
    await _shown(s, group)


@scenario(ALTER)
async def replacements_that_are_refused(s: Session) -> None:
    group = s.name("g")
    for pair in (*_BAD, (SESSION, None), ("no.such", None)):
        await _replace(s, group, pair)
    await _replace(s, group, (SESSION, "50000"), (SESSION, "50001"))
    await _replace(s, "", (SESSION, "50000"))
    await _replace(s, "")
    await _shown(s, group)


@scenario(INCREMENTAL)
async def configs_of_other_kinds_of_groups(s: Session) -> None:
    for key, value in (
        ("share.session.timeout.ms", "50000"),
        ("streams.num.standby.replicas", "1"),
    ):
        await _change(s, s.name("g"), (key, _SET, value))


@scenario(LIST, only=range(1, 2))
async def which_groups_have_some(s: Session) -> None:
    topic = await s.topic("t")
    group, other = s.name("g"), s.name("other")
    await s.call(HEARTBEAT, member_id="m", **_join(other, topic.name))

    async def listed(*expected: str) -> None:
        def ours(answer: Any) -> list[str]:
            rows = answer["config_resources"]
            return sorted(row["resource_name"] for row in rows if s.mark in row["resource_name"])

        answer = await s.call_until(
            lambda answer: ours(answer) == sorted(expected), LIST, s.version, resource_types=[GROUP]
        )
        s.keep({"error_code": answer["error_code"], "groups": ours(answer)})

    await listed()
    await _change(s, group, (SESSION, _SET, "50000"))
    await _change(s, other, (INTERVAL, _SET, "6000"))
    await listed(group, other)
    await _change(s, group, (SESSION, _DELETE, None))
    await listed(other)
    await _change(s, other, (INTERVAL, _DELETE, None))
    await listed()


def _join(group: str, topic: str) -> dict[str, Any]:
    return {
        "group_id": group,
        "member_epoch": 0,
        "rebalance_timeout": 60_000,
        "topic_partitions": [],
        "subscribed_topic_names": [topic],
    }


@scenario(HEARTBEAT)
async def what_members_hear(s: Session) -> None:
    topic = await s.topic("t")
    group = s.name("g")
    await _change(s, group, (INTERVAL, _SET, "10000"))
    await _shown(s, group, consumer_heartbeat_interval_ms="10000")
    joined = await s.ask(member_id="m", **_join(group, topic.name))
    rest = {"group_id": group, "member_id": "m"}
    await s.ask(member_epoch=joined["member_epoch"], **rest)
    await _change(s, group, (INTERVAL, _SET, "7000"), (SESSION, _SET, "50000"))
    await _shown(
        s, group, consumer_heartbeat_interval_ms="7000", consumer_session_timeout_ms="50000"
    )
    await s.ask(member_epoch=joined["member_epoch"], **rest)
    await _change(s, group, (INTERVAL, _DELETE, None))
    await _shown(s, group, consumer_session_timeout_ms="50000")
    await s.ask(member_epoch=joined["member_epoch"], **rest)
    await s.ask(member_epoch=-1, **rest)
    # They do not go with the group.
    await s.ask_until(
        lambda answer: answer["results"][0]["error_code"] == "NONE",
        DELETE_GROUPS,
        groups_names=[group],
    )
    await _shown(s, group, consumer_session_timeout_ms="50000")
    await _change(s, group, (INTERVAL, _SET, "8000"))
    await _shown(
        s, group, consumer_heartbeat_interval_ms="8000", consumer_session_timeout_ms="50000"
    )
    await s.ask(member_id="m", **_join(group, topic.name))

"""DescribeConfigs (32), AlterConfigs (33) and IncrementalAlterConfigs (44)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

DESCRIBE, ALTER, INCREMENTAL = 32, 33, 44
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)
_DEFAULT_CONFIG = 5


async def _describe(s: Session, kind: int, name: str, **given: Any) -> None:
    keys = given.pop("keys", None)
    wanted = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    await s.ask_other(DESCRIBE, given.pop("version", None), resources=[wanted], **given)


@scenario(DESCRIBE, 2)
async def configs_of_a_topic(s: Session) -> None:
    topic = await s.topic("t", retention_ms="5000", segment_ms="2000000")
    for keys in (["retention.ms"], ["retention.ms", "segment.ms", "max.message.bytes"]):
        await _describe(s, TOPIC, topic.name, keys=keys, version=s.version)
        await _describe(s, TOPIC, topic.name, keys=keys, version=s.version, include_synonyms=True)
    await _describe(s, TOPIC, topic.name, keys=["no.such.config"], version=s.version)
    if s.version >= 3:
        await _describe(
            s,
            TOPIC,
            topic.name,
            keys=["retention.ms"],
            version=s.version,
            include_documentation=True,
        )


@scenario(DESCRIBE, only=range(3, 5))
async def types_of_configs(s: Session) -> None:
    topic = await s.topic("t")
    wanted = {"resource_type": TOPIC, "resource_name": topic.name, "configuration_keys": None}
    answer = await s.call(DESCRIBE, s.version, resources=[wanted], include_synonyms=True)
    found = {}
    for row in answer["results"][0]["configs"]:
        synonyms = [(one["name"], one["source"]) for one in row["synonyms"]]
        values = {"value": "VALUE", "synonyms": [list(one) for one in synonyms]}
        found[row["name"]] = {**row, **values}
    s.keep(found)


@scenario(DESCRIBE)
async def configs_of_what_is_none(s: Session) -> None:
    topic = await s.topic("t")
    for kind, name in (
        (TOPIC, s.name("missing")),
        (TOPIC, ""),
        (TOPIC, "a b"),
        (BROKER, "99"),
        (BROKER, "abc"),
        (BROKER, "-1"),
        (LOGGER, "99"),
        (LOGGER, ""),
        (METRICS, ""),
        (GROUP, ""),
        (0, topic.name),
        (1, topic.name),
        (3, topic.name),
        (127, topic.name),
    ):
        await _describe(s, kind, name, keys=["retention.ms"], version=s.version)
    await s.ask(resources=[])
    wanted = {"resource_type": TOPIC, "resource_name": topic.name, "configuration_keys": []}
    answer = await s.call(DESCRIBE, s.version, resources=[wanted, wanted])
    s.keep([[row["error_code"], bool(row["configs"])] for row in answer["results"]])


@scenario(DESCRIBE)
async def configs_of_a_broker(s: Session) -> None:
    keys = ["auto.create.topics.enable", "message.max.bytes", "node.id"]
    await _describe(s, BROKER, "1", keys=keys, version=s.version)
    await _describe(s, BROKER, "1", keys=keys, version=s.version, include_synonyms=True)
    await _describe(s, BROKER, "", keys=keys, version=s.version)


@scenario(DESCRIBE, only=range(3, 5))
async def types_of_broker_configs(s: Session) -> None:
    wanted = {"resource_type": BROKER, "resource_name": "1", "configuration_keys": None}
    answer = await s.call(DESCRIBE, s.version, resources=[wanted])
    rows = answer["results"][0]["configs"]
    s.keep({row["name"]: [row["config_type"], row["is_sensitive"]] for row in rows})
    s.keep(
        {
            row["name"]: None if row["value"] is None else sorted(row["value"].split(","))
            for row in rows
            if row["config_source"] == _DEFAULT_CONFIG
        }
    )


async def _alter(s: Session, kind: int, name: str, configs: Any, **given: Any) -> None:
    rows = [{"name": key, "value": value} for key, value in configs]
    wanted = {"resource_type": kind, "resource_name": name, "configs": rows}
    await s.ask(resources=[wanted], validate_only=given.get("validate_only", False))


async def _shown(s: Session, name: str, version: int, *keys: str) -> None:
    """Keep the configs that were set, once they are there."""
    wanted = {"resource_type": TOPIC, "resource_name": name, "configuration_keys": list(keys)}
    values: list[Any] = []
    for _ in range(3):  # what Kafka's broker shows comes a little after its controller's answer
        answer = await s.call(DESCRIBE, version, resources=[wanted])
        now = [
            [row["name"], row["value"], row["config_source"]]
            for row in answer["results"][0]["configs"]
        ]
        if now == values:
            break
        values = now
        await s.pause()
    s.keep(sorted(values))


_BAD = (
    ("no.such.config", "1"),
    ("", "1"),
    ("retention.ms", "soon"),
    ("retention.ms", "-2"),
    ("retention.ms", ""),
    ("segment.bytes", "99999999999"),
    ("min.insync.replicas", "0"),
    ("compression.type", "brotli"),
    ("message.timestamp.type", "Never"),
    ("cleanup.policy", "keep"),
)


@scenario(ALTER)
async def all_configs_replaced(s: Session) -> None:
    topic = await s.topic("t", retention_ms="5000")
    keys = ("retention.ms", "segment.ms", "max.message.bytes")
    await _alter(s, TOPIC, topic.name, [("segment.ms", "2000000")], validate_only=True)
    await _shown(s, topic.name, 1, *keys)
    await _alter(s, TOPIC, topic.name, [("segment.ms", "2000000")])
    await _shown(s, topic.name, 1, *keys)
    await _alter(s, TOPIC, topic.name, [])
    await _shown(s, topic.name, 1, *keys)


@scenario(ALTER)
async def replacements_that_are_refused(s: Session) -> None:
    topic = await s.topic("t")
    for pair in (*_BAD, ("retention.ms", None)):
        await _alter(s, TOPIC, topic.name, [pair])
    await _alter(s, TOPIC, topic.name, [("retention.ms", "1"), ("retention.ms", "2")])
    for kind, name in ((TOPIC, s.name("missing")), (TOPIC, ""), (TOPIC, "a b"), (0, "t"), (3, "t")):
        await _alter(s, kind, name, [("retention.ms", "1000")])
    await _alter(s, BROKER, "99", [("log.retention.ms", "1000")])
    await s.ask(resources=[], validate_only=False)


async def _change(s: Session, kind: int, name: str, *changes: Any, **given: Any) -> None:
    rows = [
        {"name": key, "config_operation": operation, "value": value}
        for key, operation, value in changes
    ]
    wanted = {"resource_type": kind, "resource_name": name, "configs": rows}
    await s.ask(resources=[wanted], validate_only=given.get("validate_only", False))


@scenario(INCREMENTAL)
async def single_configs_changed(s: Session) -> None:
    topic = await s.topic("t", retention_ms="5000")
    keys = ("retention.ms", "segment.ms", "cleanup.policy")
    await _change(s, TOPIC, topic.name, ("segment.ms", _SET, "2000000"), validate_only=True)
    await _shown(s, topic.name, 1, *keys)
    await _change(s, TOPIC, topic.name, ("segment.ms", _SET, "2000000"))
    await _shown(s, topic.name, 1, *keys)
    await _change(s, TOPIC, topic.name, ("retention.ms", _DELETE, None))
    await _shown(s, topic.name, 1, *keys)
    await _change(s, TOPIC, topic.name, ("retention.ms", _DELETE, "x"))
    await _change(s, TOPIC, topic.name, ("cleanup.policy", _APPEND, "delete"))
    await _shown(s, topic.name, 1, *keys)
    await _change(s, TOPIC, topic.name)


@scenario(INCREMENTAL)
async def replicas_that_are_throttled(s: Session) -> None:
    topic = await s.topic("t", unclean_leader_election_enable="true")
    key = "leader.replication.throttled.replicas"
    keys = (key, "unclean.leader.election.enable", "segment.jitter.ms")
    for operation, value in (
        (_APPEND, "0:1"),
        (_APPEND, "1:1,0:1"),
        (_SUBTRACT, "0:1"),
        (_APPEND, "everywhere"),
        (_DELETE, None),
    ):
        await _change(s, TOPIC, topic.name, (key, operation, value))
        await _shown(s, topic.name, 1, *keys)
    await _change(s, TOPIC, topic.name, ("remote.storage.enable", _SET, "true"))
    await _change(s, TOPIC, topic.name, ("segment.jitter.ms", _SET, "5"))
    await _shown(s, topic.name, 1, *keys)


@scenario(INCREMENTAL)
async def changes_that_are_refused(s: Session) -> None:
    topic = await s.topic("t")
    for key, value in _BAD:
        await _change(s, TOPIC, topic.name, (key, _SET, value))
    for operation in (_SET, _APPEND, _SUBTRACT):
        await _change(s, TOPIC, topic.name, ("retention.ms", operation, None))
    await _change(s, TOPIC, topic.name, ("retention.ms", _APPEND, "1"))
    await _change(s, TOPIC, topic.name, ("retention.ms", _SUBTRACT, "1"))
    await _change(s, TOPIC, topic.name, ("retention.ms", 4, "1"))
    await _change(s, TOPIC, topic.name, ("retention.ms", -1, "1"))
    await _change(s, TOPIC, topic.name, ("no.such.config", _DELETE, None))
    twice = (("retention.ms", _SET, "1"), ("retention.ms", _SET, "2"))
    await _change(s, TOPIC, topic.name, *twice)
    set_one = ("retention.ms", _SET, "1000")
    for kind, name in ((TOPIC, s.name("missing")), (TOPIC, ""), (TOPIC, "a b"), (0, "t"), (3, "t")):
        await _change(s, kind, name, set_one)
    await _change(s, BROKER, "99", ("log.retention.ms", _SET, "1000"))
    await _change(s, BROKER, "abc", ("log.retention.ms", _SET, "1000"))
    await _change(s, BROKER, "1", ("num.partitions", _SET, "3"))
    row = {"resource_type": TOPIC, "resource_name": topic.name, "configs": []}
    await s.ask(resources=[row, row], validate_only=False)
    await s.ask(resources=[], validate_only=False)

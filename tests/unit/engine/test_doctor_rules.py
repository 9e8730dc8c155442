"""Doctor's rules, on made-up servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partstream.config.topic import TopicConfig
from partstream.engine.doctor.examine import examine
from partstream.engine.doctor.facts import Facts, NodeFacts
from partstream.engine.doctor.probe import parse_info
from partstream.engine.doctor.topic_rules import MOVABLE_BYTES
from partstream.model import Finding, PartitionDescription, Severity, TopicDescription

HEALTHY = NodeFacts(
    address="a:1",
    product="valkey",
    version=(9, 0, 0),
    info={
        "maxmemory_policy": "noeviction",
        "maxmemory": str(8 << 30),
        "used_memory": "1000000",
        "aof_enabled": "1",
        "connected_slaves": "1",
        "slave0": "ip=10.0.0.2,port=6379,state=online,offset=5,lag=0",
    },
    config={
        "maxmemory-clients": "5%",
        "appendfsync": "always",
        "min-replicas-to-write": "1",
        "timeout": "0",
        "save": "",
    },
)


def topic(size: int = 0, **config: Any) -> TopicDescription:
    configs = TopicConfig.from_overrides({k.replace("_", "."): v for k, v in config.items()})
    partition = PartitionDescription(0, "key", 1, "a:1", 0, 0, 5, size)
    return TopicDescription("orders", "id", (partition,), configs.as_strings(), "murmur3")


def found(
    node: NodeFacts, *topics: TopicDescription, is_cluster: bool = False, uncovered: int = 0
) -> dict[str, Finding]:
    facts = Facts("ps", is_cluster, uncovered, (node,), topics)
    return {finding.name: finding for finding in examine(facts)}


def info(**changes: str) -> NodeFacts:
    return replace(HEALTHY, info={**HEALTHY.info, **changes})


def config(**changes: str) -> NodeFacts:
    dashed = {name.replace("_", "-"): text for name, text in changes.items()}
    return replace(HEALTHY, config={**HEALTHY.config, **dashed})


def test_nothing_to_remark() -> None:
    assert found(HEALTHY) == {}


@pytest.mark.parametrize(
    ("node", "name", "severity"),
    [
        (info(maxmemory_policy="allkeys-lru"), "eviction-policy", Severity.ERROR),
        (info(maxmemory_policy="volatile-ttl"), "eviction-policy", Severity.WARNING),
        (info(maxmemory="0"), "maxmemory", Severity.WARNING),
        (info(used_memory=str(7 << 30)), "memory-used", Severity.WARNING),
        (info(used_memory=str((8 << 30) - 5)), "memory-used", Severity.ERROR),
        (config(maxmemory_clients="0"), "maxmemory-clients", Severity.WARNING),
        (info(aof_enabled="0"), "persistence", Severity.ERROR),
        (replace(info(aof_enabled="0"), config={**HEALTHY.config, "save": "900 1"}),
         "persistence", Severity.WARNING),
        (info(aof_last_write_status="err"), "persistence-failing", Severity.ERROR),
        (info(rdb_last_bgsave_status="err"), "persistence-failing", Severity.ERROR),
        (config(appendfsync="no"), "appendfsync", Severity.WARNING),
        (config(appendfsync="everysec"), "appendfsync", Severity.INFO),
        (info(connected_slaves="0"), "replicas", Severity.WARNING),
        (info(slave0="ip=10.0.0.2,port=6379,state=online,offset=5,lag=60"),
         "replica-behind", Severity.WARNING),
        (info(slave0="ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0"),
         "replica-behind", Severity.WARNING),
        (config(min_replicas_to_write="0"), "min-replicas-to-write", Severity.WARNING),
        (config(timeout="300"), "timeout", Severity.WARNING),
        (replace(HEALTHY, clock_ahead_ms=-60_000), "clock", Severity.WARNING),
        (replace(HEALTHY, product="redis", version=(7, 0, 15)), "waitaof", Severity.INFO),
        (replace(HEALTHY, bell="NOPERM"), "bell-silent", Severity.WARNING),
        (replace(HEALTHY, refused={"SPUBLISH": "NOPERM"}), "bell-refused", Severity.WARNING),
        (replace(HEALTHY, refused={"XADD": "NOPERM"}), "command-refused", Severity.ERROR),
        (replace(HEALTHY, refused={"EVALSHA": "NOPERM"}), "scripts-refused", Severity.ERROR),
    ],
)  # fmt: skip
def test_servers(node: NodeFacts, name: str, severity: Severity) -> None:
    (only,) = found(node).values()
    assert (only.name, only.severity) == (name, severity)
    assert only.what
    assert only.why
    assert only.remedy


def test_eviction_without_a_limit_can_wait() -> None:
    finding = found(info(maxmemory_policy="allkeys-lru", maxmemory="0"))["eviction-policy"]
    assert finding.severity == Severity.WARNING


def test_a_service_that_tells_nothing() -> None:
    silent = NodeFacts("a:1", "redis", (7, 2, 0), info_refusal="NOPERM", config_refusal="ERR")
    assert list(found(silent)) == ["info-refused", "config-refused"]


def test_remedies_name_the_namespace() -> None:
    assert "&ps:*" in found(replace(HEALTHY, bell="NOPERM"))["bell-silent"].remedy


@pytest.mark.parametrize(
    ("node", "described", "name", "severity"),
    [
        (HEALTHY, topic(retention_bytes=-1), "retention-unlimited", Severity.WARNING),
        (HEALTHY, topic(retention_bytes=9 << 30), "retention-exceeds-memory", Severity.WARNING),
        (HEALTHY, topic(min_insync_replicas=3), "min-insync-replicas", Severity.ERROR),
        (replace(info(aof_enabled="0"), config={"save": "900 1"}), topic(flush_messages=1),
         "flush-messages", Severity.ERROR),
        (HEALTHY, topic(), "partitioner", Severity.INFO),
        (HEALTHY, topic(MOVABLE_BYTES + 1), "partition-size", Severity.INFO),
    ],
)  # fmt: skip
def test_topics(
    node: NodeFacts, described: TopicDescription, name: str, severity: Severity
) -> None:
    finding = found(node, described)[name]
    assert finding.severity == severity
    assert "orders" in finding.where + finding.what or name == "retention-exceeds-memory"


def test_a_large_partition_is_worse_on_a_cluster() -> None:
    large = found(HEALTHY, topic(MOVABLE_BYTES + 1), is_cluster=True)["partition-size"]
    assert large.severity == Severity.WARNING


def test_a_topic_that_asks_for_what_is_there() -> None:
    assert set(found(HEALTHY, topic(min_insync_replicas=2))) == {"partitioner"}


def test_the_worst_comes_first() -> None:
    names = list(found(info(aof_enabled="0", maxmemory="0"), topic()))
    assert names == ["persistence", "maxmemory", "partitioner"]


def test_slots_without_a_node() -> None:
    assert found(HEALTHY, uncovered=5)["slots-uncovered"].severity == Severity.ERROR


def test_info_is_parsed() -> None:
    answer = b"# Server\r\nredis_version:7.0.0\r\n\r\nslave0:ip=::1,port=1\r\n"
    assert parse_info(answer) == {"redis_version": "7.0.0", "slave0": "ip=::1,port=1"}

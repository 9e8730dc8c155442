"""Doctor's rules, on made-up servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from partstream.config.topic import TopicConfig
from partstream.embedded.movable import COMFORTABLE
from partstream.engine.doctor.examine import examine
from partstream.engine.doctor.facts import (
    ClusterFacts,
    Facts,
    NodeFacts,
    ReplicaFacts,
    parse_info,
)
from partstream.engine.doctor.probe import parse_nodes
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
        "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 "
        "pubsub 33554432 8388608 60",
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
        (config(client_output_buffer_limit="normal 0 0 0 pubsub 65536 0 0"),
         "output-buffer-pubsub", Severity.WARNING),
        (config(client_output_buffer_limit="pubsub 0 0 0"), "output-buffer-pubsub", Severity.INFO),
        (config(client_output_buffer_limit="normal 1048576 0 0 pubsub 33554432 8388608 60"),
         "output-buffer-normal", Severity.WARNING),
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
        (HEALTHY, topic(COMFORTABLE + 1), "partition-size", Severity.INFO),
    ],
)  # fmt: skip
def test_topics(
    node: NodeFacts, described: TopicDescription, name: str, severity: Severity
) -> None:
    finding = found(node, described)[name]
    assert finding.severity == severity
    assert "orders" in finding.where + finding.what or name == "retention-exceeds-memory"


def test_a_large_partition_is_worse_on_a_cluster() -> None:
    old = replace(HEALTHY, version=(8, 1, 0))
    large = found(old, topic(COMFORTABLE + 1), is_cluster=True)["partition-size"]
    assert large.severity == Severity.WARNING


def test_a_topic_that_asks_for_what_is_there() -> None:
    assert set(found(HEALTHY, topic(min_insync_replicas=2))) == {"partitioner"}


def test_the_worst_comes_first() -> None:
    names = list(found(info(aof_enabled="0", maxmemory="0"), topic()))
    assert names == ["persistence", "maxmemory", "partitioner"]


def test_slots_without_a_node() -> None:
    assert found(HEALTHY, uncovered=5)["slots-uncovered"].severity == Severity.ERROR


QUIET = ClusterFacts()
BESIDE = ReplicaFacts("10.0.0.2:1", "a:1", "valkey", (9, 0, 0), 0)


def deployment(
    *nodes: NodeFacts,
    topics: tuple[TopicDescription, ...] = (),
    replica: ReplicaFacts = BESIDE,
    cluster: ClusterFacts = QUIET,
    is_cluster: bool = True,
    by_sentinels: bool = False,
) -> dict[str, Finding]:
    facts = Facts(
        "ps", is_cluster, 0, nodes or (HEALTHY,), topics, by_sentinels, (replica,), cluster
    )
    return {finding.name: finding for finding in examine(facts) if finding.name != "partitioner"}


def test_a_deployment_without_remark() -> None:
    assert deployment() == {}


@pytest.mark.parametrize(
    ("found", "name", "severity", "words"),
    [
        (deployment(replica=replace(BESIDE, address="a:2")),
         "replica-same-host", Severity.WARNING, "a:2"),
        (deployment(replica=replace(BESIDE, refusal="timed out")),
         "replica-unreachable", Severity.WARNING, "timed out"),
        (deployment(replica=replace(BESIDE, version=(8, 1, 0))),
         "versions-differ", Severity.WARNING, "valkey 8.1.0: 10.0.0.2:1"),
        (deployment(replica=replace(BESIDE, clock_ahead_ms=-9_000)),
         "clocks-differ", Severity.WARNING, "9 s"),
        (deployment(config(cluster_node_timeout="20000")),
         "node-timeout", Severity.WARNING, "20000"),
        (deployment(config(cluster_node_timeout="500")), "node-timeout", Severity.INFO, "500"),
        (deployment(cluster=ClusterFacts(failed=("b:1",))),
         "node-failed", Severity.WARNING, "failed"),
        (deployment(cluster=ClusterFacts(half_moved=(7, 8))),
         "slots-half-moved", Severity.WARNING, "slot 7"),
        (deployment(config(min_replicas_to_write="0"), by_sentinels=True, is_cluster=False),
         "min-replicas-to-write", Severity.WARNING, "commits"),
    ],
)  # fmt: skip
def test_deployments(found: dict[str, Finding], name: str, severity: Severity, words: str) -> None:
    (only,) = found.values()
    assert (only.name, only.severity) == (name, severity)
    assert words in only.what + only.why
    assert only.remedy


def test_a_replica_that_nobody_is_sent_to_need_not_be_reached() -> None:
    assert deployment(replica=replace(BESIDE, refusal="timed out"), is_cluster=False) == {}


def test_a_node_timeout_that_fits() -> None:
    for fits in ("2000", "5000", "15000"):
        assert deployment(config(cluster_node_timeout=fits)) == {}


def spread_topic(*nodes: str) -> TopicDescription:
    partitions = tuple(
        PartitionDescription(index, "key", index, node, 0, 0, 5, 0)
        for index, node in enumerate(nodes)
    )
    return TopicDescription("orders", "id", partitions, TopicConfig().as_strings(), "murmur3")


def test_partitions_on_few_nodes() -> None:
    other = replace(HEALTHY, address="b:1")
    uneven = deployment(HEALTHY, other, topics=(spread_topic(*["a:1"] * 10, *["b:1"] * 2),))
    assert "10 partitions, b:1 holds 2" in uneven["slots-uneven"].what
    even = deployment(HEALTHY, other, topics=(spread_topic(*["a:1"] * 7, *["b:1"] * 5),))
    assert even == {}
    added = deployment(
        HEALTHY,
        topics=(spread_topic(*["a:1"] * 6),),
        cluster=ClusterFacts(without_slots=("c:1",)),
    )
    assert "c:1 holds 0" in added["slots-uneven"].what


def test_a_partition_that_cannot_be_moved() -> None:
    described = topic(600 << 20)
    old = replace(HEALTHY, product="redis", version=(7, 0, 15))
    immovable = deployment(old, topics=(described,))["partition-immovable"]
    assert immovable.severity == Severity.WARNING
    assert "proto-max-bulk-len (512 MiB)" in immovable.what
    raised = replace(old, config={**old.config, "proto-max-bulk-len": str(1 << 30)})
    assert "partition-size" in deployment(raised, topics=(described,))
    at_once = deployment(HEALTHY, topics=(described,))["partition-immovable"]
    assert at_once.severity == Severity.INFO
    assert "CLUSTER MIGRATESLOTS" in at_once.remedy
    for version, pulled in (((8, 2, 3), False), ((8, 4, 0), True)):
        redis = replace(HEALTHY, product="redis", version=version)
        remedy = deployment(redis, topics=(described,))["partition-immovable"].remedy
        assert ("CLUSTER MIGRATION IMPORT" in remedy) == pulled


def test_a_partition_that_only_a_small_limit_keeps_from_being_moved() -> None:
    small = replace(
        config(**{"proto_max_bulk_len": str(64 << 20)}), product="redis", version=(7, 0, 15)
    )
    other = replace(HEALTHY, address="b:1", product="redis", version=(7, 0, 15))
    for nodes in ((small,), (small, other), (other, small)):
        assert "partition-immovable" not in deployment(*nodes, topics=(topic(50 << 20),))
        finding = deployment(*nodes, topics=(topic(70 << 20),))["partition-immovable"]
        assert finding.severity == Severity.WARNING
        assert "proto-max-bulk-len (64 MiB)" in finding.what
        assert finding.remedy.startswith("CONFIG SET proto-max-bulk-len 536870912 on every node")
        assert f"retention.bytes={32 << 20}" in finding.remedy
    # What the entries take beside the batches counts, too.
    assert "partition-immovable" in deployment(small, topics=(topic(63 << 20),))
    names = set(deployment(other, topics=(topic(70 << 20),)))
    assert not names & {"partition-immovable", "partition-size"}


def test_a_move_that_outlasts_the_clusters_patience() -> None:
    node = replace(config(cluster_node_timeout="5000"), product="redis", version=(7, 2, 0))
    finding = deployment(node, topics=(topic(400 << 20),))["partition-size"]
    assert "cluster-node-timeout (5000 ms)" in finding.why
    assert (
        "cluster-node-timeout"
        not in deployment(node, topics=(topic(200 << 20),))["partition-size"].why
    )


def test_nodes_are_parsed() -> None:
    answer = b"""\
aa 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-99 [93-<-bb] [94->-cc]
bb 10.0.0.2:6379@16379,host master,fail? - 0 0 2 connected 100-16383
cc 10.0.0.3:6379@16379 slave aa 0 0 1 connected
dd 10.0.0.4:6379@16379 master - 0 0 3 connected
"""
    assert parse_nodes(answer) == ClusterFacts(
        failed=("10.0.0.2:6379",), half_moved=(93, 94), without_slots=("10.0.0.4:6379",)
    )


def test_info_is_parsed() -> None:
    answer = b"# Server\r\nredis_version:7.0.0\r\n\r\nslave0:ip=::1,port=1\r\n"
    assert parse_info(answer) == {"redis_version": "7.0.0", "slave0": "ip=::1,port=1"}

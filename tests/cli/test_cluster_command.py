"""`partstream cluster`, on one server and on a cluster."""

from __future__ import annotations

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.sentinel import EmbeddedSentinel
from tests.cli.conftest import Cli
from tests.waiting import wait_until


def test_one_server(cli: Cli) -> None:
    cli.out("topics", "create", "orders", "-p", "3")
    shown = cli.json("cluster")
    assert (shown["kind"], shown["namespace"]) == ("standalone", cli.namespace)
    (node,) = shown["nodes"]
    assert node["partitions"] == ["orders-0", "orders-1", "orders-2"]
    assert node["used_memory"] > 100_000
    assert node["replicas"] == []
    head, row = cli.out("cluster").splitlines()[-2:]
    assert head.split() == ["NODE", "SERVER", "SLOTS", "PARTITIONS", "MEMORY", "LIMIT", "REPLICA",
                            "STATE", "LAG", "BEHIND"]  # fmt: skip
    assert " 16384 " in row
    assert row.split()[4] == "3"


def test_a_cluster(cluster: EmbeddedCluster, namespace: str) -> None:
    cli = Cli(cluster.url, namespace)
    cli.out("topics", "create", "orders", "-p", "12")
    nodes = cli.json("cluster")["nodes"]
    assert {node["address"] for node in nodes} == {
        f"{node.host}:{node.port}" for node in cluster.primaries()
    }
    assert sorted(name for node in nodes for name in node["partitions"]) == sorted(
        f"orders-{index}" for index in range(12)
    )
    assert all(3 <= len(node["partitions"]) <= 5 for node in nodes)
    for node in nodes:
        (replica,) = node["replicas"]
        assert replica["state"] == "online"
        assert replica["lag_s"] <= 10
        assert replica["lag_bytes"] >= 0
    assert len(cli.out("cluster").splitlines()) == 4 + 1 + 3


def test_a_replica_that_is_away(fresh_cluster: EmbeddedCluster) -> None:
    fresh_cluster.nodes[3].kill()
    cli = Cli(fresh_cluster.url, "ps")

    def away() -> bool:
        replicas = [one for node in cli.json("cluster")["nodes"] for one in node["replicas"]]
        assert len(replicas) == 3
        return [one["state"] for one in replicas].count("away") == 1

    wait_until(away, within=30)


def test_behind_sentinels(fresh_sentinel: EmbeddedSentinel) -> None:
    shown = Cli(fresh_sentinel.url, "ps").json("cluster")
    assert shown["kind"] == "sentinel"
    assert [one["state"] for one in shown["nodes"][0]["replicas"]] == ["online"]

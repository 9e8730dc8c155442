"""The cluster that other tests stand on: what it says it does, real servers do."""

from __future__ import annotations

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import SlotMove
from partstream.embedded.sentinel import EmbeddedSentinel

pytestmark = [pytest.mark.every_server, pytest.mark.faults]


def test_every_slot_is_served_and_every_primary_followed(cluster: EmbeddedCluster) -> None:
    primaries = cluster.primaries()
    assert sorted(node.index for node in primaries) == [0, 1, 2]
    for primary in primaries:
        followers = cluster.replicas_of(primary)
        assert [node.index for node in followers] == [primary.index + 3]
    assert cluster.owner_of(0).index == 0
    assert cluster.owner_of(16_383).index == 2


def test_a_replica_takes_over_from_a_killed_primary(fresh_cluster: EmbeddedCluster) -> None:
    slot = 12_182  # of the key "foo"
    old = fresh_cluster.owner_of(slot)
    assert old.command("SET", "foo", "bar") == b"OK"
    assert old.command("WAIT", 1, 5000) == 1

    old.kill()
    fresh_cluster.wait_taken_over(old)

    new = fresh_cluster.owner_of(slot)
    assert new.index == old.index + 3
    assert new.command("GET", "foo") == b"bar"

    old.start()
    fresh_cluster.wait_settled()
    assert not old.is_primary()


def test_a_failover_in_order_swaps_the_roles(fresh_cluster: EmbeddedCluster) -> None:
    fresh_cluster.failover(4)
    assert sorted(node.index for node in fresh_cluster.primaries()) == [0, 2, 4]
    assert not fresh_cluster.nodes[1].is_primary()


def test_sentinels_promote_the_replica(fresh_sentinel: EmbeddedSentinel) -> None:
    old = fresh_sentinel.primary()
    assert old is fresh_sentinel.servers[0]
    old.kill()
    assert fresh_sentinel.wait_taken_over(old) is fresh_sentinel.servers[1]


def test_a_node_is_added_while_a_slot_is_half_moved(fresh_cluster: EmbeddedCluster) -> None:
    source, target = fresh_cluster.primaries()[:2]
    slot = fresh_cluster.slots_of()[source.index][7]
    move = SlotMove(fresh_cluster, slot, target, source)
    move.begin()
    added = fresh_cluster.add_node()
    assert added.is_primary()
    move.finish()
    fresh_cluster.wait_settled()

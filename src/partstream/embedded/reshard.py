"""Moves slots between primaries in the steps of Redis's own protocol, so a test can stop between.

See https://redis.io/docs/latest/commands/cluster-setslot/ for why the order is this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from partstream.embedded.cluster import ClusterNode, EmbeddedCluster
from partstream.embedded.process import ServerProcess

_BATCH = 100
_MIGRATE_TIMEOUT_MS = 60_000


class SlotMove:
    """One slot on its way from its primary to another one."""

    def __init__(self, cluster: EmbeddedCluster, slot: int, target: ClusterNode) -> None:
        self._cluster = cluster
        self.slot = slot
        self.source: ClusterNode = cluster.owner_of(slot)
        self.target = target

    def begin(self) -> None:
        """Open the slot on both sides: from now on absent keys are asked for at the target."""
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source.node_id())
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target.node_id())

    def move_keys(self, limit: int | None = None) -> int:
        """Move keys over, all of them or at most `limit`; returns how many."""
        moved = 0
        while limit is None or moved < limit:
            count = _BATCH if limit is None else min(_BATCH, limit - moved)
            keys = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, count)
            assert isinstance(keys, list)
            if not keys:
                break
            self.source.command(
                "MIGRATE",
                self.target.host,
                self.target.port,
                "",
                0,
                _MIGRATE_TIMEOUT_MS,
                *(("AUTH", self.source.password) if self.source.password else ()),
                "KEYS",
                *(key for key in keys if isinstance(key, bytes)),
                timeout=_MIGRATE_TIMEOUT_MS / 1000 + 5,
            )
            moved += len(keys)
        return moved

    def finish(self) -> None:
        """Give the slot to the target, which must have all its keys.

        Raises:
            CommandRefused: keys are left at the source.
        """
        name = self.target.node_id()
        # The target first: if the source went first and then failed, nobody would own the slot.
        self.target.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)
        self.source.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)
        for node in self._cluster.primaries():
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)


def move_slots(cluster: EmbeddedCluster, slots: Iterable[int], target: ClusterNode) -> None:
    """Move slots with their keys to another primary, and wait until all nodes agree."""
    for slot in slots:
        move = SlotMove(cluster, slot, target)
        if move.source is target:
            continue
        move.begin()
        move.move_keys()
        move.finish()
    cluster.wait_settled()


def keys_in_slot(node: ServerProcess, slot: int) -> int:
    """How many keys of a slot a node holds."""
    count = node.command("CLUSTER", "COUNTKEYSINSLOT", slot)
    assert isinstance(count, int)
    return count


def slot_of(node: ServerProcess, key: str) -> int:
    """The slot of a key, as a server computes it."""
    slot = node.command("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return slot

"""Servers with replicas: a cluster, and a primary that Sentinels watch."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import Self

from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.process import ServerProcess, Settings
from partstream.embedded.reshard import SlotMove, move_at_once, move_slots
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.store.keys import Keys
from partstream.store.slots import partition_slot, slot_of
from tests.chaos.access import Entry
from tests.chaos.names import NAMESPACE, TOPIC
from tests.chaos.plan import Blow, Plan
from tests.chaos.servers import Servers, until

_BRIEFLY_S = 0.8
"""Less than the node timeout."""
_ASKED_S = 1.0
"""How long at the least all keys of a slot are at the target before it owns the slot. With what a
blow adds it is less than the shortest delivery timeout."""


def _kept(plan: Plan) -> dict[str, str | int]:
    """What makes a server come back with all that it had."""
    return {
        "appendonly": "yes",
        "appendfsync": plan.fsync,
        "auto-aof-rewrite-percentage": 0,
    }


class Cluster(Servers):
    """Three primaries with a replica each, which keep their data over restarts."""

    settings: Settings = {}
    """More lines of the nodes' config files."""

    def __init__(self, plan: Plan, binary: Path | None, entry: Entry) -> None:
        self.entry = entry
        self._plan = plan
        self._cluster = EmbeddedCluster(
            binary=binary,
            aclfile=entry.aclfile,
            tls=entry.tls,
            config={**_kept(plan), **self.settings},
        )

    async def __aenter__(self) -> Self:
        await self.in_thread(self._cluster.start)
        self.url = self.inner_url = self._cluster.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.in_thread(self._cluster.close)

    def processes(self) -> list[ServerProcess]:
        return list(self._cluster.nodes)

    def primaries(self) -> list[ServerProcess]:
        return list(self._cluster.primaries())

    async def _whole(self) -> None:
        """All agree, and every replica has caught up."""
        await self.in_thread(self._cluster.wait_settled)

    def _chosen(self, blow: Blow) -> ClusterNode:
        found = self._cluster.primaries()
        return found[blow.pick % len(found)]

    async def do_kill_primary(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        await self.in_thread(node.kill)
        await self.in_thread(self._cluster.wait_taken_over, node)
        await asyncio.sleep(blow.seconds)
        await self.in_thread(node.start)
        await self._whole()
        return f"node {node.index}"

    async def do_restart_primary(self, blow: Blow) -> str:
        """Down for less than a failover takes: it comes back with its file."""
        node = await asyncio.to_thread(self._chosen, blow)
        await self.in_thread(node.kill)
        await self.in_thread(node.start)
        await self._whole()
        return f"node {node.index}"

    async def do_kill_replica(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        replica = await self._replica_of(node)
        await self.in_thread(replica.kill)
        await asyncio.sleep(blow.seconds)
        await self.in_thread(replica.start)
        await self._whole()
        return f"node {replica.index}"

    async def do_failover(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        return await self._hand_over(node)

    async def do_failover_and_back(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        there = await self._hand_over(node)
        await self.in_thread(self._cluster.failover, node.index)
        return f"{there} and back"

    async def _hand_over(self, node: ClusterNode) -> str:
        replica = await self._replica_of(node)
        await self.in_thread(self._cluster.failover, replica.index)
        return f"node {node.index} to {replica.index}"

    async def _replica_of(self, node: ClusterNode) -> ClusterNode:
        """A replica of a primary. That an old primary follows it now is heard late by those who
        are asked, on a busy machine: after all agree on who serves which slots.
        """
        found: list[ClusterNode] = []

        def known() -> bool:
            found[:] = self._cluster.replicas_of(node)
            return bool(found)

        await until(known, f"a replica of node {node.index} to be known")
        return found[0]

    async def do_promote_in_rebalance(self, blow: Blow) -> str:
        """A group changes hands while its members come and go (the crew sees to that)."""
        group = self._plan.group_of(blow)
        slot = slot_of(Keys(NAMESPACE).group(group).group)
        node = await asyncio.to_thread(self._cluster.owner_of, slot)
        if blow.pick % 2:
            return f"group {group}, planned, {await self._hand_over(node)}"
        await self.in_thread(node.kill)
        await self.in_thread(self._cluster.wait_taken_over, node)
        await self.in_thread(node.start)
        await self._whole()
        return f"group {group}, killed, node {node.index}"

    async def do_pause_primary(self, blow: Blow) -> str:
        """Frozen until another took over, and then it goes on, and does not know."""
        node = await asyncio.to_thread(self._chosen, blow)
        node.pause()
        try:
            await self.in_thread(self._cluster.wait_taken_over, node)
        finally:
            node.resume()
        await self._whole()
        return f"node {node.index}"

    async def do_pause_primary_briefly(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        seconds = min(blow.seconds, _BRIEFLY_S)
        await self.pause(node, seconds)
        await self._whole()
        return f"node {node.index} for {seconds} s"

    async def do_cut_replicas(self, blow: Blow) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        for _ in range(3):
            await self.in_thread(node.command, "CLIENT", "KILL", "TYPE", "replica")
            await asyncio.sleep(blow.seconds / 3)
        await self._whole()
        return f"of node {node.index}"

    async def do_move_slots(self, blow: Blow) -> str:
        """Key by key, with keys in both places for a while, and then all at the target."""
        slot, target = await asyncio.to_thread(self._journey, blow)
        move = SlotMove(self._cluster, slot, target)
        await self.in_thread(move.begin)
        for most in (2, 2, 2, None):
            await asyncio.sleep(blow.seconds / 3)
            # On a busy machine a node may be taken for down for a moment.
            await until(partial(self._moved, move, most), f"keys of slot {slot} to move")
        await asyncio.sleep(_ASKED_S + blow.seconds)
        await self.in_thread(self._finish, move)
        await self._whole()
        return f"{slot} from node {move.source.index} to {target.index}"

    def _moved(self, move: SlotMove, most: int | None) -> bool:
        move.move_keys(most)
        return True

    def _finish(self, move: SlotMove) -> None:
        # Keys may have been made at the source between the last look and this.
        for _ in range(100):
            with contextlib.suppress(resp.CommandRefused):
                move.move_keys()
                move.finish()
                return

    async def do_move_slots_at_once(self, blow: Blow) -> str:
        slot, target = await asyncio.to_thread(self._journey, blow)
        try:
            await self.in_thread(move_at_once, self._cluster, [slot], target)
        except resp.CommandRefused:
            return "this server cannot"
        await self._whole()
        return f"{slot} to node {target.index}"

    def _journey(self, blow: Blow) -> tuple[int, ClusterNode]:
        """A slot that is used, and a primary that does not have it."""
        keys = Keys(NAMESPACE)
        slots = self._partition_slots()
        slots += [slot_of(keys.group(group).group) for group in self._plan.groups]
        slots.append(slot_of(keys.meta.topics))
        slot = slots[blow.pick % len(slots)]
        owner = self._cluster.owner_of(slot)
        others = [node for node in self._cluster.primaries() if node is not owner]
        return slot, others[blow.pick // len(slots) % len(others)]

    def _partition_slots(self) -> list[int]:
        return [partition_slot(TOPIC, index) for index in range(self._plan.partitions)]

    async def do_add_and_remove(self, blow: Blow) -> str:
        """A fourth primary comes, gets slots that are used, and goes again."""
        slots = self._partition_slots()
        homes = {slot: await asyncio.to_thread(self._cluster.owner_of, slot) for slot in slots}
        node = await asyncio.to_thread(self._cluster.add_node)
        await self.entry.admit(node)
        await self.in_thread(move_slots, self._cluster, slots[: 1 + blow.pick % len(slots)], node)
        await asyncio.sleep(blow.seconds)
        for slot, home in homes.items():
            await self.in_thread(move_slots, self._cluster, [slot], home)
        await self.in_thread(self._cluster.remove_node, node)
        await self._whole()
        return f"node {node.index}"

    async def do_rolling_restart(self, blow: Blow) -> str:
        """Every node, replicas first; primaries hand over before."""
        for node in self._cluster.nodes:
            if await asyncio.to_thread(node.is_primary):
                await self._hand_over(node)
            await self.in_thread(node.restart)
            await self._whole()
        return "all nodes"


class Sentinel(Servers):
    """A primary and a replica, and three Sentinels.

    A primary that was replaced learns of it late from Sentinels, and would take writes until then:
    min-replicas-to-write keeps it from that. With two replicas it would not be enough: for a moment
    one of them still follows the old primary, and confirms what the new one never gets. One that
    was killed is back before Sentinels have told it that it is a replica now, and may be made the
    primary anew: so it needs its append-only file.
    """

    def __init__(self, plan: Plan, binary: Path | None, entry: Entry) -> None:
        self.entry = entry
        entry.keeps_authority = True
        self._sentinel = EmbeddedSentinel(
            binary=binary,
            tls=entry.tls,
            config={**_kept(plan), "min-replicas-to-write": 1, **entry.settings},
        )

    async def __aenter__(self) -> Self:
        await self.in_thread(self._sentinel.start)
        self.url = self.inner_url = self._sentinel.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.in_thread(self._sentinel.close)

    def processes(self) -> list[ServerProcess]:
        return [*self._sentinel.servers, *self._sentinel.sentinels]

    def stores(self) -> list[ServerProcess]:
        return list(self._sentinel.servers)

    def primaries(self) -> list[ServerProcess]:
        return [self._sentinel.primary()]

    def _linked(self) -> bool:
        primary = self._sentinel.primary()
        states = [
            server.info("replication").get("master_link_status")
            for server in self._sentinel.servers
            if server is not primary
        ]
        return primary.info("replication")["role"] == "master" and set(states) == {"up"}

    async def _whole(self) -> None:
        await until(self._linked, "the old primary to follow the new one")

    async def do_kill_primary(self, blow: Blow) -> str:
        old = await asyncio.to_thread(self._sentinel.primary)
        await self.in_thread(old.kill)
        await self.in_thread(self._sentinel.wait_taken_over, old)
        await asyncio.sleep(blow.seconds)
        await self.in_thread(old.start)
        await self._whole()
        return f"port {old.port}"

    async def do_failover(self, blow: Blow) -> str:
        old = await asyncio.to_thread(self._sentinel.primary)
        # Refused for a while after the last one.
        await until(lambda: self._asked(old), "a failover to be taken up")
        await self.in_thread(self._sentinel.wait_taken_over, old)
        await self._whole()
        return f"from port {old.port}"

    def _asked(self, old: EmbeddedServer) -> bool:
        if self._sentinel.primary() is not old:
            return True
        self._sentinel.sentinels[0].command("SENTINEL", "FAILOVER", self._sentinel.name)
        return True

    async def do_pause_primary(self, blow: Blow) -> str:
        old = await asyncio.to_thread(self._sentinel.primary)
        old.pause()
        try:
            await self.in_thread(self._sentinel.wait_taken_over, old)
        finally:
            old.resume()
        await self._whole()
        return f"port {old.port}"

    async def do_pause_primary_briefly(self, blow: Blow) -> str:
        old = await asyncio.to_thread(self._sentinel.primary)
        await self.pause(old, min(blow.seconds, 0.5))
        return f"port {old.port}"

    async def do_cut_replicas(self, blow: Blow) -> str:
        old = await asyncio.to_thread(self._sentinel.primary)
        await self.in_thread(old.command, "CLIENT", "KILL", "TYPE", "replica")
        await self._whole()
        return f"of port {old.port}"

"""A cluster whose links go through proxies, so that it falls into parts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from partstream.embedded.cluster_node import ClusterNode
from tests.chaos.access import Entry
from tests.chaos.plan import Blow, Plan
from tests.chaos.replicated import Cluster
from tests.chaos.servers import lose_bytes, until
from tests.servers.proxy import Proxy

_SENDER = slice(40, 80)
"""Where a message of the cluster bus says which node sent it."""
_REPLICA = b"*1\r\n$4\r\nPING\r\n"
"""What a replica says first; no client of ours does."""


class Parted(Cluster):
    """Each node is known by the addresses of two proxies: one for clients and replicas, one for the
    cluster bus.

    What a node sends to itself goes nowhere near them, and what the conductor says to a node goes
    through its socket.
    """

    # A primary that was cut off goes on until the node timeout. What has no floor of its own,
    # commits and the state of groups, would be answered meanwhile, and lost.
    settings = {"min-replicas-to-write": 1}

    def __init__(self, plan: Plan, binary: Path | None, entry: Entry) -> None:
        super().__init__(plan, binary, entry)
        self._rng = random.Random(plan.seed)
        self._doors: dict[int, Proxy] = {}
        self._buses: dict[int, Proxy] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for node in self._cluster.nodes:
                door = await stack.enter_async_context(Proxy(_place(node, lambda n: n.port)))
                bus = await stack.enter_async_context(Proxy(_place(node, lambda n: n.bus_port)))
                self._doors[node.index], self._buses[node.index] = door, bus
                node.configure(
                    {
                        "cluster-announce-port": door.address[1],
                        "cluster-announce-bus-port": bus.address[1],
                    }
                )
            await super().__aenter__()
            self._proxies = stack.pop_all()
        hosts = ",".join(f"127.0.0.1:{door.address[1]}" for door in self._doors.values())
        self.url = f"redis+cluster://{hosts}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self._proxies.aclose()

    # Who is cut off from whom.

    def _part_bus(self, node: ClusterNode, name: bytes) -> None:
        """Nobody hears of a node, nor it of anybody."""
        for index, bus in self._buses.items():
            bus.part((lambda _: True) if index == node.index else (lambda h: h[_SENDER] == name))

    def _heal(self) -> None:
        for proxy in (*self._doors.values(), *self._buses.values()):
            proxy.part(None)

    async def do_part_clients(self, blow: Blow) -> str:
        """Clients do not reach one primary, which is well."""
        node = await asyncio.to_thread(self._chosen, blow)
        self._doors[node.index].part(lambda head: not _is_replica(head))
        await asyncio.sleep(blow.seconds)
        self._heal()
        return f"from node {node.index} for {blow.seconds} s"

    async def do_part_replica(self, blow: Blow) -> str:
        """A primary and its replica do not reach each other; nobody counts as down."""
        node = await asyncio.to_thread(self._chosen, blow)
        self._doors[node.index].part(_is_replica)
        await asyncio.sleep(blow.seconds)
        self._heal()
        await self._whole()
        return f"of node {node.index} for {blow.seconds} s"

    async def do_part_primary(self, blow: Blow) -> str:
        """A primary is cut off from all other nodes until one of them took over; clients still
        reach it, and it does not know.
        """
        return await self._cut_off(blow, _is_replica)

    async def do_part_node(self, blow: Blow) -> str:
        """The same, and clients do not reach it either."""
        return await self._cut_off(blow, lambda _: True)

    async def _cut_off(self, blow: Blow, whom: Callable[[bytes], bool]) -> str:
        node = await asyncio.to_thread(self._chosen, blow)
        name = (await asyncio.to_thread(node.node_id)).encode()
        self._part_bus(node, name)
        self._doors[node.index].part(whom)
        try:
            await until(lambda: self._is_replaced(node), f"node {node.index} to be replaced")
            await asyncio.sleep(blow.seconds)
        finally:
            self._heal()
        await self._whole()
        return f"node {node.index}"

    def _is_replaced(self, old: ClusterNode) -> bool:
        """Whether all others see somebody else serve its slots."""
        name = old.node_id()
        others: Iterable[ClusterNode] = (node for node in self._cluster.live() if node is not old)
        return all(
            not (words[0] == name and len(words) > 8) for other in others for words in other.lines()
        )

    async def do_lose_bytes(self, blow: Blow) -> str:
        """Connections to one primary break, of clients and replicas, with bytes in them."""
        node = await asyncio.to_thread(self._chosen, blow)
        cuts = await lose_bytes(self._doors[node.index], self._rng, max(1.0, blow.seconds))
        await self._whole()
        return f"{cuts} at node {node.index}"


def _is_replica(head: bytes) -> bool:
    return head.startswith(_REPLICA)


def _place(node: ClusterNode, port: Callable[[ClusterNode], int]) -> Callable[[], tuple[str, int]]:
    """Where a node listens; it finds its ports only when it starts."""
    return lambda: (node.host, port(node))

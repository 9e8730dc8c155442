"""The replica barriers of all nodes, and the keys that they write."""

from __future__ import annotations

import asyncio
import secrets

from partstream.errors import NotEnoughReplicasAfterAppend, StoreUnavailable
from partstream.metrics.hooks import Observer
from partstream.store.barrier import Barrier, BarrierKey
from partstream.store.keys import Keys
from partstream.store.node import Node
from partstream.store.replies import MOVED
from partstream.store.router import Router
from partstream.store.slots import slot_of


class Barriers:
    """One barrier a node, for as long as the node holds slots."""

    def __init__(
        self, router: Router, keys: Keys, *, max_lag_ms: int, timeout_ms: int, observer: Observer
    ) -> None:
        """`max_lag_ms`, `timeout_ms`: as for each `Barrier`."""
        self._router = router
        self._keys = keys
        self._max_lag_ms = max_lag_ms
        self._timeout_ms = timeout_ms
        self._observer = observer
        self._barriers: dict[Node, Barrier] = {}
        router.on_leave = self._left

    def of(self, key: str) -> Barrier:
        """The barrier of the node that has a key.

        Raises:
            StoreUnavailable: no node holds the key's slot.
        """
        node, slot = self._router.holder(key), slot_of(key)
        barrier = self._barriers.get(node)
        if barrier is None:
            owns = self._router.asked(key) is None
            barrier = self._barriers[node] = Barrier(
                node,
                BarrierKey(self._keys.barrier(slot)) if owns else self._key_on(node, slot),
                max_lag_ms=self._max_lag_ms,
                timeout_ms=self._timeout_ms,
                elsewhere=self._elsewhere,
                replicas_known=self._router.replicas_of,
                observer=self._observer,
            )
        return barrier

    async def close(self) -> None:
        """Fail whoever waits, and close every connection."""
        await asyncio.gather(*(barrier.close() for barrier in self._barriers.values()))

    async def _left(self, node: Node) -> None:
        """A node that holds no slots confirms nothing more: who took over has to."""
        barrier = self._barriers.pop(node, None)
        if barrier is not None:
            await barrier.close(
                NotEnoughReplicasAfterAppend(
                    f"Redis at {node.address} was replaced before its replicas confirmed the write"
                )
            )

    async def _elsewhere(self, node: Node, key: str, error: BaseException) -> BarrierKey:
        """Another key for the barrier of a node: the slot of the one it had is on the move."""
        if isinstance(error, MOVED):
            self._router.moved(error, node)
            await self._router.refresh()
        return self._key_on(node, slot_of(key))

    def _key_on(self, node: Node, avoided: int) -> BarrierKey:
        """A key that a node takes a write to, in another slot than that one if it can be."""
        try:
            return BarrierKey(self._keys.barrier(self._router.any_slot(node, other_than=avoided)))
        except StoreUnavailable:
            slot = self._router.slot_coming_to(node)
            if slot is None:
                raise
        # Its first slot is on its way to it. MIGRATE would fail if both had a key of that name.
        return BarrierKey(self._keys.barrier(slot, secrets.token_hex(4)), asking=True)

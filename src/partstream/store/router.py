"""Slot to node: a map that is learnt at the start and mended by what the servers answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from partstream.errors import ClosedClient, StoreUnavailable
from partstream.metrics.hooks import Observer
from partstream.store.announcements import Announcements
from partstream.store.dial import Dialer
from partstream.store.node import Node
from partstream.store.replies import ASK, MOVED
from partstream.store.slots import SLOTS, ranges_text, slot_of
from partstream.store.target import Address, Kind, Target
from partstream.store.topology import discover


class Placement(NamedTuple):
    """Where a slot is: its primary, and the replicas known of."""

    address: Address
    replicas: tuple[Address, ...]


class Router:
    """Knows the node of every slot."""

    def __init__(
        self, target: Target, dialer: Dialer, *, timeout: float, observer: Observer
    ) -> None:
        self.is_cluster = False
        self.on_change: Callable[[], None] | None = None
        """Called when slots are found to be elsewhere than was known."""
        self.on_leave: Callable[[Node], Awaitable[None]] | None = None
        """Called with a node that is used no more."""
        self._target = target
        self._dialer = dialer
        self._timeout = timeout
        self._observer = observer
        self._nodes: dict[Address, Node] = {}
        self._by_slot: list[Node | None] = [None] * SLOTS
        self._replicas: dict[Address, tuple[Address, ...]] = {}
        self._asked: dict[str, Node] = {}
        """Keys whose slot is half moved, and the node that its owner has named (ASK)."""
        self._refreshing: asyncio.Task[None] | None = None
        self._announcements = Announcements(lambda: self._by_slot, observer)

    def node(self, slot: int) -> Node:
        """The primary of a slot, as far as is known.

        Raises:
            StoreUnavailable: no node holds the slot.
        """
        node = self._by_slot[slot]
        if node is None:
            raise StoreUnavailable(f"no node of the cluster holds slot {slot}")
        return node

    def asked(self, key: str) -> Node | None:
        """The node that has a key already, though its slot is another's yet."""
        return self._asked.get(key)

    def holder(self, key: str) -> Node:
        """The node that has a key, as far as is known: mostly the primary of its slot.

        Raises:
            StoreUnavailable: no node holds the slot.
        """
        return self._asked.get(key) or self.node(slot_of(key))

    def found(self, key: str, node: Node | None) -> None:
        """Note which node has a key, where the primary of its slot has named another (ASK).

        Args:
            node: None if it is the primary again, or if nobody knows.
        """
        if node is not None:
            self._asked[key] = node
        elif self._asked:
            self._asked.pop(key, None)

    @property
    def primaries(self) -> tuple[Node, ...]:
        """Every node that holds slots, each once."""
        return tuple({id(node): node for node in self._by_slot if node is not None}.values())

    def replicas_of(self, node: Node) -> int:
        """How many replicas the cluster says that a node has."""
        return len(self._replicas.get(node.address, ()))

    def placement(self, slot: int) -> Placement:
        """Where a slot is."""
        address = self.node(slot).address
        return Placement(address, self._replicas.get(address, ()))

    def any_slot(self, node: Node, *, other_than: int) -> int:
        """Some slot that a node holds.

        Raises:
            StoreUnavailable: it holds no other one (any more).
        """
        slots = [slot for slot, holder in enumerate(self._by_slot) if holder is node]
        choices = [slot for slot in slots if slot != other_than]
        if not choices:
            raise StoreUnavailable(f"Redis at {node.address} holds no slots any more")
        return random.choice(choices)

    def slot_coming_to(self, node: Node) -> int | None:
        """A slot that is on its way to a node, if one is known."""
        return next((slot_of(key) for key, asked in self._asked.items() if asked is node), None)

    async def refresh(self) -> None:
        """Learn the map anew; callers at the same time share one look."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._learn())
            # Whoever waits may have given up when it fails.
            self._refreshing.add_done_callback(lambda done: done.cancelled() or done.exception())
        refreshing = self._refreshing
        await asyncio.wait((refreshing,))
        if refreshing.cancelled():  # by `close`: it is not this caller who was cancelled
            raise ClosedClient("the store is closed")
        refreshing.result()

    def moved(self, error: MOVED, asked: Node) -> None:
        """Note that one slot is elsewhere than on the node that was asked."""
        self._by_slot[error.slot_id] = self.pointed_to(error, asked)
        self._arrived()
        self._announcements.changed()
        if self.on_change is not None:
            self.on_change()

    def pointed_to(self, error: ASK, asked: Node) -> Node:
        """The node that a MOVED or an ASK names; an empty host is the one that was asked."""
        return self._at(Address(error.host or asked.address.host, error.port))

    async def close(self) -> None:
        """Close every link."""
        if self._refreshing is not None and not self._refreshing.done():
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await self._announcements.close()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    def _slots_text(self, node: Node) -> str:
        held = [slot for slot, holder in enumerate(self._by_slot) if holder is node]
        return f"slots {ranges_text(held)}" if held else "no slots"

    async def _learn(self) -> None:
        known = tuple(node.address for node in self.primaries)
        layout = await discover(self._target, self._dialer, known if self.is_cluster else ())
        by_slot: list[Node | None] = [None] * SLOTS
        replicas: dict[Address, tuple[Address, ...]] = {}
        for first, last, address, behind in layout.ranges:
            node = self._at(address)
            replicas[address] = behind
            by_slot[first : last + 1] = [node] * (last - first + 1)
        changed = by_slot != self._by_slot
        self._by_slot, self._replicas = by_slot, replicas
        self._arrived()
        if changed:
            self._announcements.changed()
        if changed and self.on_change is not None:
            self.on_change()
        self.is_cluster = layout.is_cluster
        # A new primary is in use before its first slot is its own.
        kept = {*replicas, *(node.address for node in self._asked.values())}
        for address in [address for address in self._nodes if address not in kept]:
            node = self._nodes.pop(address)
            if self.on_leave is not None:
                await self.on_leave(node)
            await node.close()

    def _arrived(self) -> None:
        """Forget what was half moved, and is not any more."""
        for key, node in tuple(self._asked.items()):
            if self._by_slot[slot_of(key)] is node:
                del self._asked[key]

    def _at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            # A primary that was killed and started again takes writes until the sentinels have made
            # it a replica, and then they are thrown away: they are asked first.
            ask = self.refresh if self._target.kind is Kind.SENTINEL else None
            node = self._nodes[address] = Node(
                address,
                self._dialer,
                timeout=self._timeout,
                before_reopening=ask,
                slots=self._slots_text,
                observer=self._observer,
            )
        return node

"""Which gateways there are, and which of them leads a partition or coordinates a group.

Each says in Redis that it lives, and learns of the others by the same call. Who comes or goes rings
a bell, and the others look at once: one tells clients of it, another has to know it, too.

Leadership is advice: any gateway serves any request, and these rules only spread the load.
Rendezvous hashing moves nothing but what a gateway that comes or goes had or gets.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import mmh3

from partstream.config.listeners import Listener
from partstream.errors import ConfigError, PartstreamError
from partstream.store.bells import Watch
from partstream.store.scripts import Script
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_REGISTER = Script("gateway/register")
_LEAVE = Script("gateway/leave")
_MEMORY_MS = 7 * 86_400_000
"""How long the address of a gateway that is gone keeps its node id."""
_GOODBYE_S = 1.0
"""How long it may take to tell the others of the end: without a word they notice, too."""
_ANY = ""
"""In place of a listener's name: the first address of each gateway."""
_MOST_RANKS = 100_000
"""Keys whose order of gateways is remembered: clients make names of groups up."""


class Node(NamedTuple):
    """A gateway, as clients are told of it: a broker."""

    id: int
    host: str
    port: int
    rack: str | None


class Peers:
    """The gateways that can be reached on one listener, and who of them leads what."""

    def __init__(self, nodes: tuple[Node, ...], most_replicas: int) -> None:
        self.nodes = nodes
        """In the order of their ids."""
        self._most_replicas = most_replicas
        self._ranks: dict[str, tuple[Node, ...]] = {}

    def replicas(self, topic_id: str, index: int) -> tuple[Node, ...]:
        """The gateways of a partition, its leader first."""
        return self._ranked(f"{topic_id}:{index}")[: self._most_replicas]

    def coordinator(self, key: str) -> Node:
        """The gateway of a group."""
        return self._ranked(f"group:{key}")[0]

    def _ranked(self, key: str) -> tuple[Node, ...]:
        if len(self.nodes) == 1:
            return self.nodes
        ranked = self._ranks.get(key)
        if ranked is None:
            if len(self._ranks) >= _MOST_RANKS:
                self._ranks.clear()
            ranked = tuple(
                sorted(
                    self.nodes,
                    key=lambda node: (mmh3.hash(key, node.id, signed=False), node.id),
                    reverse=True,
                )
            )
            self._ranks[key] = ranked
        return ranked


class Registry:
    """This gateway's place among those of the namespace."""

    def __init__(
        self,
        store: Store,
        *,
        wanted: int | None,
        addresses: Mapping[str, tuple[str, int]],
        rack: str | None,
        interval_ms: int,
        session_ms: int,
        most_replicas: int = 3,
        instance: str | None = None,
    ) -> None:
        """Prepare; nothing is said yet.

        Args:
            wanted: the node id; None: the one that the address had, or a free one.
            addresses: what clients are told, for each listener; the first is what keeps the id.
            rack: see `broker_rack`.
            interval_ms, session_ms: how often to say so, and after how long silence is death.
            most_replicas: how many gateways are shown as replicas of a partition.
            instance: what the processes behind one address have in common.
        """
        self.cluster_id = ""
        """22 characters of URL-safe base64, one for each namespace."""
        self._addresses = dict(addresses)
        self.me = Node(-1 if wanted is None else wanted, *next(iter(addresses.values())), rack)
        self.nodes: tuple[Node, ...] = ()
        """All that live, this one among them, in the order of their ids."""
        self.on_change: Callable[[], None] = lambda: None
        self.heard_at = 0.0
        """When Redis last answered; the loop's clock."""
        self._store = store
        self._instance = instance or uuid.uuid4().hex
        self._interval = interval_ms / 1000
        self._session_ms = session_ms
        self._most_replicas = most_replicas
        self._rows: dict[int, str] = {}
        self._peers: dict[str, Peers] = {}
        self._task: asyncio.Task[None] | None = None
        self._watch: Watch | None = None
        self._rung = asyncio.Event()

    @property
    def is_heard(self) -> bool:
        """Whether the others have heard of this gateway within its session."""
        age = asyncio.get_running_loop().time() - self.heard_at
        return bool(self.nodes) and age < self._session_ms / 1000

    @property
    def told(self) -> tuple[Listener, ...]:
        """The address of each listener that clients are told."""
        return tuple(Listener(name, *address) for name, address in self._addresses.items())

    def on(self, listener: str) -> Peers:
        """The gateways that clients of a listener can reach; this one is always among them."""
        peers = self._peers.get(listener)
        if peers is None:
            reached = (_node(node, row, listener) for node, row in self._rows.items())
            nodes = tuple(sorted(node for node in reached if node is not None))
            peers = self._peers[listener] = Peers(nodes or self.nodes, self._most_replicas)
        return peers

    async def start(self) -> None:
        """Register, and go on saying that this gateway lives.

        Raises:
            ConfigError: another gateway that lives has the node id.
            StoreUnavailable: Redis cannot be reached.
        """
        wanted = self.me.id
        self._watch = await self._store.bells.watch(
            self._store.keys.meta.gateways_bell, self._rung.set
        )
        await self._register()
        if self.me.id < 0:
            raise ConfigError(f"node_id={wanted}: another gateway that lives elsewhere has it")
        self._task = asyncio.create_task(self._run(), name="gateway registry")

    async def close(self) -> None:
        """Tell the others that this gateway ends."""
        if self._watch is not None:
            self._watch.cancel()
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        meta = self._store.keys.meta
        words = (self.me.id, self._instance, meta.gateways_bell, self._session_ms)
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._store.run(_LEAVE, [meta.gateways], words, idempotent=True)
        except (PartstreamError, TimeoutError) as error:
            _logger.debug("the others will miss this gateway: %s", error)

    def replicas(self, topic_id: str, index: int) -> tuple[Node, ...]:
        """The gateways of a partition, its leader first, whatever they listen on."""
        return self.on(_ANY).replicas(topic_id, index)

    def coordinator(self, key: str) -> Node:
        """The gateway of a group, whatever it listens on."""
        return self.on(_ANY).coordinator(key)

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._rung.wait()
            self._rung.clear()
            try:
                await self._register()
            except PartstreamError as error:
                _logger.warning("this gateway could not say that it lives: %s", error)

    async def _register(self) -> None:
        meta = self._store.keys.meta
        candidate = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        me = self.me
        told = (f"{name} {host} {port}" for name, (host, port) in self._addresses.items())
        node_id, cluster, *rows = await self._store.run(
            _REGISTER,
            [meta.gateways],
            [
                me.id,
                self._instance,
                f"{me.host}|{me.port}",
                "|".join((me.rack or "", *told)),
                candidate,
                self._session_ms,
                _MEMORY_MS,
                meta.gateways_bell,
            ],
            idempotent=True,
        )
        if node_id < 0 and me.id >= 0 and self.nodes:
            _logger.error("another gateway has taken node id %d", me.id)
            return
        self.cluster_id = cluster.decode()
        self.me = me._replace(id=node_id)
        self.heard_at = asyncio.get_running_loop().time()
        found = {node: row.decode() for node, row in zip(rows[::2], rows[1::2], strict=True)}
        if found != self._rows:
            self._rows = found
            self._peers.clear()
            nodes = (_node(node, row, _ANY) for node, row in found.items())
            self.nodes = tuple(sorted(node for node in nodes if node is not None))
            self.on_change()


def _node(node_id: int, row: str, listener: str) -> Node | None:
    """A gateway with its address on a listener, if it has that."""
    host, port, rack, *told = row.split("|")
    if listener == _ANY:
        return Node(node_id, host, int(port), rack or None)
    for one in told:
        name, host, port = one.split(" ")
        if name == listener:
            return Node(node_id, host, int(port), rack or None)
    return None

"""Which gateways there are, and which of them leads a partition or coordinates a group.

Each says in Redis that it lives, and learns of the others by the same call. Leadership is advice:
any gateway serves any request, and these rules only spread the load. Rendezvous hashing moves
nothing but what a gateway that comes or goes had or gets.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import NamedTuple

import mmh3

from partstream.errors import ConfigError, PartstreamError
from partstream.store.scripts import Script
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_REGISTER = Script("gateway/register")
_LEAVE = Script("gateway/leave")
_MEMORY_MS = 7 * 86_400_000
"""How long the address of a gateway that is gone keeps its node id."""
_REPLICAS = 3
"""How many gateways are shown as replicas of a partition, the leader first."""


class Node(NamedTuple):
    """A gateway, as clients are told of it: a broker."""

    id: int
    host: str
    port: int
    rack: str | None


class Registry:
    """This gateway's place among those of the namespace."""

    def __init__(
        self,
        store: Store,
        *,
        wanted: int | None,
        address: tuple[str, int],
        rack: str | None,
        interval_ms: int,
        session_ms: int,
    ) -> None:
        self.cluster_id = ""
        """22 characters of URL-safe base64, one for each namespace."""
        self.me = Node(-1 if wanted is None else wanted, *address, rack)
        self.nodes: tuple[Node, ...] = ()
        """All that live, this one among them, in the order of their ids."""
        self.on_change: Callable[[], None] = lambda: None
        self._store = store
        self._instance = uuid.uuid4().hex
        self._interval = interval_ms / 1000
        self._session_ms = session_ms
        self._ranks: dict[str, tuple[Node, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register, and go on saying that this gateway lives.

        Raises:
            ConfigError: another gateway that lives has the node id.
            StoreUnavailable: Redis cannot be reached.
        """
        wanted = self.me.id
        await self._register()
        if self.me.id < 0:
            raise ConfigError(f"node_id={wanted}: another gateway that lives elsewhere has it")
        self._task = asyncio.create_task(self._run(), name="gateway registry")

    async def close(self) -> None:
        """Tell the others that this gateway ends."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        key = self._store.keys.meta.gateways
        try:
            await self._store.run(_LEAVE, [key], [self.me.id, self._instance], idempotent=True)
        except PartstreamError as error:
            _logger.debug("the others will miss this gateway: %s", error)

    def replicas(self, topic_id: str, index: int) -> tuple[Node, ...]:
        """The gateways of a partition, its leader first."""
        return self._ranked(f"{topic_id}:{index}")[:_REPLICAS]

    def coordinator(self, key: str) -> Node:
        """The gateway of a group."""
        return self._ranked(f"group:{key}")[0]

    def _ranked(self, key: str) -> tuple[Node, ...]:
        if len(self.nodes) == 1:
            return self.nodes
        ranked = self._ranks.get(key)
        if ranked is None:
            ranked = tuple(
                sorted(
                    self.nodes,
                    key=lambda node: (mmh3.hash(key, node.id, signed=False), node.id),
                    reverse=True,
                )
            )
            self._ranks[key] = ranked
        return ranked

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._register()
            except PartstreamError as error:
                _logger.warning("this gateway could not say that it lives: %s", error)

    async def _register(self) -> None:
        key = self._store.keys.meta.gateways
        candidate = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        me = self.me
        node_id, cluster, *rows = await self._store.run(
            _REGISTER,
            [key],
            [
                me.id,
                self._instance,
                f"{me.host}|{me.port}",
                me.rack or "",
                candidate,
                self._session_ms,
                _MEMORY_MS,
            ],
            idempotent=True,
        )
        if node_id < 0 and me.id >= 0 and self.nodes:
            _logger.error("another gateway has taken node id %d", me.id)
            return
        self.cluster_id = cluster.decode()
        self.me = me._replace(id=node_id)
        pairs = zip(rows[::2], rows[1::2], strict=True)
        nodes = tuple(sorted(_node(node, row.decode()) for node, row in pairs))
        if nodes != self.nodes:
            self.nodes = nodes
            self._ranks.clear()
            self.on_change()


def _node(node_id: int, row: str) -> Node:
    host, port, rack = row.split("|", 2)
    return Node(node_id, host, int(port), rack or None)

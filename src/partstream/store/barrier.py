"""The replica barrier: waits until the replicas have what a node has answered so far.

WAIT on the shared link would hold up everything behind it, so each node has a connection of its own
for it. One small write and one WAIT confirm all that was answered before the write: whoever comes
while a round is under way shares the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from redis.exceptions import RedisError

from partstream.errors import (
    ClosedClient,
    NotEnoughReplicasAfterAppend,
    PartstreamError,
    StoreUnavailable,
)
from partstream.metrics.hooks import REPLICAS, Observer
from partstream.store.link import Link
from partstream.store.node import Node, reload_scripts
from partstream.store.replies import ASK, SCRIPT_MISSING, TRY_AGAIN, translate
from partstream.store.scripts import Script

_BARRIER = Script("store/barrier")
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What one round of the barrier established."""

    token: str
    """The primary's master_replid during the round; empty where INFO is refused."""
    replicas: int
    """How many replicas confirmed."""


class BarrierKey(NamedTuple):
    """What a barrier writes."""

    key: str
    asking: bool = False
    """Whether its slot is on its way to the node: a write has to say that it knows (ASKING)."""


class Barrier:
    """The barrier of one node."""

    def __init__(
        self,
        node: Node,
        key: BarrierKey,
        *,
        max_lag_ms: int,
        timeout_ms: int,
        elsewhere: Callable[[Node, str, BaseException], Awaitable[BarrierKey]],
        replicas_known: Callable[[Node], int],
        observer: Observer,
    ) -> None:
        """Make the barrier of a node.

        Args:
            key: what it writes; its slot must be on the node, or on its way there.
            max_lag_ms: a replica that has been silent for longer is not in sync.
            timeout_ms: how long the replicas may take.
            elsewhere: gives another key when the slot of this one is on the move.
            replicas_known: how many replicas the cluster says that a node has, for servers that
                refuse INFO: there all of them have to confirm.
            observer: told of every round.
        """
        self._node = node
        self._key, self._asking = key
        self._max_lag = max(1, max_lag_ms // 1000)
        self._timeout_ms = timeout_ms
        self._elsewhere = elsewhere
        self._replicas_known = replicas_known
        self._observer = observer
        self._link: Link | None = None
        self._spoken_of: Link | None = None
        """The link that is in the log, or that was there from the start."""
        self._waiting: dict[bool, asyncio.Future[Confirmed]] = {}
        self._task: asyncio.Task[None] | None = None
        self._end: PartstreamError | None = None

    async def confirm(
        self, *, token: str = "", least_replicas: int = 0, fsync: bool = False
    ) -> Confirmed:
        """Wait until every replica in sync has what this node answered before this call.

        Args:
            token: the master_replid under which the answer was given; empty to take any.
            least_replicas: how many must be in sync at the least (min.insync.replicas - 1).
            fsync: wait for the append-only file of the primary too (WAITAOF).

        Raises:
            NotEnoughReplicasAfterAppend: too few are in sync, they did not confirm, another
                history is written now, or the node was replaced.
            StoreUnavailable: the node cannot be reached.
        """
        if self._end is not None:
            raise self._ended()
        future = self._waiting.get(fsync)
        if future is None:
            future = self._waiting[fsync] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"barrier of {self._node.address}")
        confirmed = await asyncio.shield(future)
        if token and confirmed.token and confirmed.token != token:
            raise NotEnoughReplicasAfterAppend(
                f"Redis at {self._node.address} was restarted or demoted before its replicas "
                "confirmed the write"
            )
        if confirmed.replicas < least_replicas:
            raise NotEnoughReplicasAfterAppend(
                f"{confirmed.replicas} replicas of {self._node.address} are in sync, "
                f"min.insync.replicas asks for {least_replicas}"
            )
        return confirmed

    async def close(self, why: PartstreamError | None = None) -> None:
        """Fail whoever waits, and close the connection.

        Args:
            why: what they are told, and whoever comes later. Default: the store is closed.
        """
        self._end = why or ClosedClient("the store was closed")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for future in self._waiting.values():
            _settle(future, self._ended())
        if self._link is not None:
            await self._link.close()

    def _ended(self) -> PartstreamError:
        """What is said after the end; each who hears it gets one of their own."""
        end = self._end or ClosedClient("the store was closed")
        return type(end)(*end.args)

    async def _run(self) -> None:
        while self._waiting:
            fsync, future = next(iter(self._waiting.items()))
            # Taken out before the write: whoever calls from now on needs a later one.
            del self._waiting[fsync]
            began = time.monotonic()
            try:
                future.set_result(await self._round(fsync))
            except PartstreamError as error:
                _settle(future, error)
            except (RedisError, OSError) as error:
                _settle(future, translate(error, str(self._node.address)))
            except asyncio.CancelledError:
                _settle(future, self._ended())
                raise
            self._observer.barrier_waited(
                str(self._node.address),
                time.monotonic() - began,
                confirmed=future.exception() is None,
            )

    async def _round(self, fsync: bool) -> Confirmed:
        if self._link is None or self._link.lost:
            self._link = await self._node.open_link(REPLICAS)
        link = self._link
        token, in_sync = await self._write(link)
        if self._spoken_of is not link:
            if self._spoken_of is not None:
                self._node.tell_reconnected("wait for replicas", token.decode())
            self._spoken_of = link
        if in_sync < 0:
            in_sync = self._replicas_known(self._node)
        confirmed = 0
        if fsync:
            local, confirmed = await link.submit("WAITAOF", 1, in_sync, self._timeout_ms)
            if not local:
                raise NotEnoughReplicasAfterAppend(
                    f"Redis at {self._node.address} did not sync its append-only file "
                    f"within {self._timeout_ms} ms"
                )
        elif in_sync:
            confirmed = await link.submit("WAIT", in_sync, self._timeout_ms)
        if confirmed < in_sync:
            raise NotEnoughReplicasAfterAppend(
                f"{confirmed} of {in_sync} replicas of {self._node.address} confirmed "
                f"within {self._timeout_ms} ms"
            )
        return Confirmed(token.decode(), confirmed)

    async def _write(self, link: Link) -> tuple[bytes, int]:
        """Make the write, and ask who ought to have it."""
        for _ in range(_ATTEMPTS):
            try:
                submit = link.submit_asking if self._asking else link.submit
                token, in_sync = await submit("EVALSHA", _BARRIER.sha, 1, self._key, self._max_lag)
            except SCRIPT_MISSING:
                await reload_scripts(link)
            except (ASK, TRY_AGAIN) as error:  # MOVED too
                self._key, self._asking = await self._elsewhere(self._node, self._key, error)
            else:
                return token, in_sync
        raise StoreUnavailable(f"Redis at {self._node.address} takes no write for the barrier")


def _settle(future: asyncio.Future[Confirmed], error: PartstreamError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()

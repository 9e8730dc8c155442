"""Doorbells: shard channels that tell a sleeper that something happened, without polling.

Whoever hears a bell looks. A ring may say what is there to be seen, for those who have seen it by
then; and since one may be lost with a connection, every watcher is rung whenever its subscription
is (re-)established. One connection per node.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from partstream.errors import (
    ClosedClient,
    PartstreamError,
    StorePermissionDenied,
    StoreUnavailable,
)
from partstream.metrics.hooks import BELLS, Observer
from partstream.store.dial import Dialer, RedisConnection, ask_replication, hang_up
from partstream.store.node import Node
from partstream.store.replies import ASK, translate
from partstream.store.router import Router
from partstream.store.slots import slot_of
from partstream.store.wire import Wire

_logger = logging.getLogger(__name__)
_RETRY_S = 0.1
_RETRY_MAX_S = 2.0
_QUIET_S = 15.0


class Watch:
    """Callbacks on one channel, until it is cancelled."""

    def __init__(
        self,
        bells: Bells,
        channel: str,
        ring: Callable[[], None],
        hear: Callable[[bytes], None] | None,
    ) -> None:
        self._bells = bells
        self.channel = channel
        self._ring = ring
        self._hear = hear

    def rung(self, said: bytes) -> None:
        """The bell has rung, and said something or nothing."""
        if said and self._hear is not None:
            self._hear(said)
        else:
            self._ring()

    def cancel(self) -> None:
        """Hear nothing more; the last one to leave unsubscribes the channel."""
        self._bells._forget(self)


class _Line:
    """The subscription connection to one node, and the channels that are to be heard on it."""

    def __init__(self, node: Node, dialer: Dialer, bells: Bells) -> None:
        self.node = node
        self.wanted: set[str] = set()
        self.heard: set[str] = set()
        """Those of which the server has said that they are subscribed to."""
        self._leaving: Counter[str] = Counter()
        self._dialer = dialer
        self._bells = bells
        self._wire: Wire | None = None
        self._was_connected = False
        self._delay = _RETRY_S
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        """When the server last said something; the loop's clock."""
        self._task = asyncio.create_task(self._run(), name=f"bells of {node.address}")

    def join(self, channel: str) -> None:
        """Hear a channel from now on; a connection that is to come subscribes to all wanted."""
        self.wanted.add(channel)
        self._send("SSUBSCRIBE", channel)

    def leave(self, channel: str) -> None:
        """Hear a channel no more, unless somebody has come to want it meanwhile."""
        if channel not in self.wanted and self._wire is not None:
            self.heard.discard(channel)
            self._leaving[channel] += 1
            self._send("SUNSUBSCRIBE", channel)

    async def close(self) -> None:
        self._closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _send(self, verb: str, *channels: str) -> None:
        if self._wire is not None:
            # One a command: in a cluster several channels would have to share a slot.
            for channel in channels:
                self._wire.send((verb, channel))

    async def _run(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, PartstreamError, TimeoutError) as error:
                _logger.debug("bells of %s: %s", self.node.address, error)
            self._bells._place_all()
            await asyncio.sleep(self._delay)
            self._delay = min(self._delay * 2, _RETRY_MAX_S)

    async def _hear(self) -> None:
        """Connect, and hear what comes until the connection is lost."""
        connection = await self._connect()
        address, observer = str(self.node.address), self._bells.observer
        observer.link_opened(address, BELLS)
        over: asyncio.Future[str] = self._loop.create_future()
        try:
            self._wire = Wire(connection, take=self._take, end=over.set_result)
            self._send("SSUBSCRIBE", *self.wanted)
            await self._stay(self._wire, over)
        finally:
            wire, self._wire = self._wire, None
            if wire is not None:
                wire.stop()
            self.heard.clear()
            self._leaving.clear()
            observer.link_closed(address, BELLS, lost=not self._closing)
            await hang_up(connection)

    async def _connect(self) -> RedisConnection:
        connection = await self._dialer.dial(self.node.address)
        if not self._was_connected:
            self._was_connected = True
            return connection
        try:
            async with asyncio.timeout(_QUIET_S):
                replication = await ask_replication(connection)
        except BaseException:
            await hang_up(connection)
            raise
        self.node.tell_reconnected("hear doorbells", replication.get("master_replid", ""))
        return connection

    async def _stay(self, wire: Wire, over: asyncio.Future[str]) -> None:
        """Until it is over. A server that says nothing for long is asked whether it is there."""
        self._heard_at = self._loop.time()
        while not over.done():
            quiet = self._loop.time() - self._heard_at
            if quiet < _QUIET_S:
                await asyncio.wait([over], timeout=_QUIET_S - quiet)
                continue
            before = self._heard_at
            wire.send(("PING",))
            await asyncio.wait([over], timeout=_QUIET_S)
            if self._heard_at == before:
                break
        why = over.result() if over.done() else "it does not answer"
        raise StoreUnavailable(why)

    def _take(self, reply: Any) -> None:
        self._heard_at = self._loop.time()
        if isinstance(reply, ASK):  # MOVED is one too: it does not say which channel
            self._bells._place_all()
        elif isinstance(reply, RedisError):
            if not self._bells._refused(self, reply):
                raise reply
        elif isinstance(reply, list):  # PING is answered with a word where no channel is heard
            self._take_message(reply)

    def _take_message(self, reply: list[Any]) -> None:
        kind, channel = reply[0], reply[1].decode()
        if kind == b"smessage":
            self._bells._rung(channel, reply[2])
        elif kind == b"ssubscribe":
            self._delay = _RETRY_S
            if channel in self.wanted:
                self.heard.add(channel)
                self._bells._subscribed(channel)
        elif kind == b"sunsubscribe":
            if self._leaving[channel]:
                self._leaving[channel] -= 1
            else:  # not asked for: the slot has moved away
                self.heard.discard(channel)
                self.wanted.discard(channel)
                self._bells._place_all()


class Bells:
    """Every bell that this process listens to."""

    def __init__(self, router: Router, dialer: Dialer, observer: Observer) -> None:
        self.observer = observer
        self._router = router
        self._dialer = dialer
        self._lines: dict[Node, _Line] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._placing: asyncio.Task[None] | None = None
        self._astray = False
        self._closed = False
        router.on_change = self._place_all
        self.refusal: PartstreamError | None = None
        """Why a subscription was refused (an ACL without the channel), if one was."""

    async def watch(
        self,
        channel: str,
        ring: Callable[[], None],
        *,
        hear: Callable[[bytes], None] | None = None,
    ) -> Watch:
        """Call `ring` whenever the bell rings, or may have rung while it could not be heard.

        `hear` is called in its place with what a ring says, if it says anything: a partition's
        bell the id of the newest entry.

        Returns when the subscription stands: what happens from now on is heard. Where the server
        refuses the channel it returns too; `refusal` says why, and the caller has to look.

        Raises:
            ClosedClient: the store is closed, or was meanwhile.
        """
        if self._closed:
            raise ClosedClient("the store is closed")
        watch = Watch(self, channel, ring, hear)
        self._watches.setdefault(channel, []).append(watch)
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.get_running_loop().create_future()
            try:
                self._place(channel)
            except StoreUnavailable:
                self._place_all()
        try:
            await asyncio.shield(confirmed)
        except BaseException:
            watch.cancel()
            raise
        return watch

    async def close(self) -> None:
        """Hear nothing more at all."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(line.close() for line in self._lines.values()))
        for future in self._confirmed.values():
            if not future.done():
                future.set_exception(ClosedClient("the store was closed"))
                future.exception()
        self._watches.clear()

    def _place(self, channel: str) -> None:
        """Subscribe on the node that holds the channel's slot."""
        node = self._router.node(slot_of(channel))
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = _Line(node, self._dialer, self)
        if channel not in line.heard:
            line.join(channel)

    def _forget(self, watch: Watch) -> None:
        watches = self._watches.get(watch.channel, [])
        if watch not in watches:
            return
        watches.remove(watch)
        if watches:
            return
        del self._watches[watch.channel]
        confirmed = self._confirmed.pop(watch.channel, None)
        if confirmed is not None:
            confirmed.cancel()
        for line in self._lines.values():
            if watch.channel in line.wanted:
                line.wanted.discard(watch.channel)
                line.heard.discard(watch.channel)
                if not self._closed:
                    line.leave(watch.channel)

    def _rung(self, channel: str, said: bytes = b"") -> None:
        for watch in tuple(self._watches.get(channel, ())):
            watch.rung(said)

    def _subscribed(self, channel: str) -> None:
        future = self._confirmed.get(channel)
        if future is not None and not future.done():
            future.set_result(None)
            return
        self._rung(channel)

    def _refused(self, line: _Line, error: RedisError) -> bool:
        """A channel that an ACL forbids: nobody is to wait for it. True if it was that."""
        refusal = translate(error, f"SSUBSCRIBE on {line.node.address}")
        if not isinstance(refusal, StorePermissionDenied):
            return False
        if self.refusal is None:
            _logger.warning("doorbells are refused, readers will poll: %s", refusal)
            self.refusal = refusal
        for channel in line.wanted:
            self._subscribed(channel)
        return True

    def _place_all(self) -> None:
        """A line was lost or a slot moved: learn the map, subscribe where the slots are now."""
        self._astray = True
        if not self._closed and (self._placing is None or self._placing.done()):
            self._placing = asyncio.create_task(self._keep_placing())
            self._tasks.add(self._placing)
            self._placing.add_done_callback(self._tasks.discard)

    async def _keep_placing(self) -> None:
        delay = _RETRY_S
        while self._astray:
            self._astray = False
            try:
                await self._router.refresh()
                await self._place_each()
            except PartstreamError as error:
                _logger.debug("bells: %s", error)
                self._astray = True
            # The servers may take a while to agree on where a slot is.
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_MAX_S)

    async def _place_each(self) -> None:
        for channel in tuple(self._watches):
            node = self._router.node(slot_of(channel))
            for line in tuple(self._lines.values()):
                if line.node is not node and channel in line.wanted:
                    line.wanted.discard(channel)
                    line.leave(channel)
            self._place(channel)
        live = {id(node) for node in self._router.primaries}
        for node in [node for node in self._lines if id(node) not in live]:
            await self._lines.pop(node).close()

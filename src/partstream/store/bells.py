"""Doorbells: shard channels that tell a sleeper that something happened, without polling.

A bell carries no message. Whoever hears it looks; and since a ring may be lost with a connection,
every watcher is rung whenever its subscription is (re-)established. One connection per node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from partstream.errors import PartstreamError, StorePermissionDenied, StoreUnavailable
from partstream.store.dial import Dialer, RedisConnection, hang_up
from partstream.store.node import Node
from partstream.store.replies import ASK, translate
from partstream.store.router import Router
from partstream.store.slots import slot_of

_logger = logging.getLogger(__name__)
_RETRY_S = 0.1
_RETRY_MAX_S = 2.0


class Watch:
    """One callback on one channel, until it is cancelled."""

    def __init__(self, bells: Bells, channel: str, ring: Callable[[], None]) -> None:
        self._bells = bells
        self.channel = channel
        self.ring = ring

    def cancel(self) -> None:
        """Hear nothing more; the last one to leave unsubscribes the channel."""
        self._bells._forget(self)


class _Line:
    """The subscription connection to one node, and the channels that are to be heard on it."""

    def __init__(self, node: Node, dialer: Dialer, bells: Bells) -> None:
        self.node = node
        self.wanted: set[str] = set()
        self._dialer = dialer
        self._bells = bells
        self._connection: RedisConnection | None = None
        self._task = asyncio.create_task(self._run(), name=f"bells of {node.address}")

    async def send(self, verb: str, *channels: str) -> None:
        """Send on the connection if there is one; a new one subscribes to all that is wanted."""
        if self._connection is None or not channels:
            return
        try:
            # One a command: in a cluster several channels would have to share a slot.
            commands = self._connection.pack_commands([(verb, name) for name in channels])
            await self._connection.send_packed_command(commands, check_health=False)
        except (RedisError, OSError) as error:
            _logger.debug("bells of %s: %s", self.node.address, error)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        delay = _RETRY_S
        while True:
            try:
                self._connection = await self._dialer.dial(self.node.address)
                await self.send("SSUBSCRIBE", *self.wanted)
                await self._listen(self._connection)
            except (RedisError, OSError, PartstreamError) as error:
                _logger.debug("bells of %s: %s", self.node.address, error)
            finally:
                connection, self._connection = self._connection, None
                if connection is not None:
                    await hang_up(connection)
            self._bells._replace_all()
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_MAX_S)

    async def _listen(self, connection: RedisConnection) -> None:
        while True:
            try:
                reply: list[Any] = await connection.read_response(
                    disable_decoding=True, disconnect_on_error=False
                )
            except ASK:  # MOVED is one too
                self._bells._replace_all()
                continue
            except RedisError as error:
                if self._bells._refused(self, error):
                    continue
                raise
            kind, channel = reply[0], reply[1].decode()
            if kind == b"smessage":
                self._bells._rung(channel)
            elif kind == b"ssubscribe":
                self._bells._subscribed(channel)
            elif kind == b"sunsubscribe" and channel in self.wanted:
                # Not asked for: the slot has moved away.
                self.wanted.discard(channel)
                self._bells._replace_all()


class Bells:
    """Every bell that this process listens to."""

    def __init__(self, router: Router, dialer: Dialer) -> None:
        self._router = router
        self._dialer = dialer
        self._lines: dict[Node, _Line] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._placing: asyncio.Task[None] | None = None
        self._closed = False
        self.refusal: PartstreamError | None = None
        """Why a subscription was refused (an ACL without the channel), if one was."""

    async def watch(self, channel: str, ring: Callable[[], None]) -> Watch:
        """Call `ring` whenever the bell rings, or may have rung while it could not be heard.

        Returns when the subscription stands: what happens from now on is heard. Where the server
        refuses the channel it returns too; `refusal` says why, and the caller has to look.
        """
        watch = Watch(self, channel, ring)
        self._watches.setdefault(channel, []).append(watch)
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.get_running_loop().create_future()
            try:
                await self._place(channel)
            except StoreUnavailable:
                self._replace_all()
        try:
            await asyncio.shield(confirmed)
        except asyncio.CancelledError:
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
            future.cancel()
        self._watches.clear()

    async def _place(self, channel: str) -> None:
        """Subscribe on the node that holds the channel's slot."""
        node = self._router.node(slot_of(channel))
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = _Line(node, self._dialer, self)
        if channel not in line.wanted:
            line.wanted.add(channel)
            await line.send("SSUBSCRIBE", channel)

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
                if not self._closed:
                    self._spawn(line.send("SUNSUBSCRIBE", watch.channel))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _rung(self, channel: str) -> None:
        for watch in tuple(self._watches.get(channel, ())):
            watch.ring()

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

    def _replace_all(self) -> None:
        """A line was lost or a slot moved: learn the map, subscribe where the slots are now."""
        if not self._closed and (self._placing is None or self._placing.done()):
            self._placing = asyncio.create_task(self._replace())
            self._tasks.add(self._placing)
            self._placing.add_done_callback(self._tasks.discard)

    async def _replace(self) -> None:
        delay = _RETRY_S
        while not self._closed:
            try:
                await self._router.refresh()
                break
            except PartstreamError as error:
                _logger.debug("bells: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_S)
        for channel in tuple(self._watches):
            try:
                node = self._router.node(slot_of(channel))
            except StoreUnavailable:
                continue
            for line in self._lines.values():
                if line.node is not node and channel in line.wanted:
                    line.wanted.discard(channel)
                    await line.send("SUNSUBSCRIBE", channel)
            await self._place(channel)
        live = {id(node) for node in self._router.primaries}
        for node in [node for node in self._lines if id(node) not in live]:
            await self._lines.pop(node).close()

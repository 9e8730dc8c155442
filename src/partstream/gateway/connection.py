"""One client's connection: frames in, answers out, in order. It knows no API.

Requests are served one after the other, as Kafka does it, except that whoever serves a request may
hand back an answer that is still to come: then the next request is served meanwhile, and its answer
waits for its turn. So a producer's batches reach the log in order and are not held up by the one
before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from partstream.errors import InvalidRequest
from partstream.gateway.framing import FrameReader, Piece, frame, portions
from partstream.gateway.room import NoRoom, Room
from partstream.gateway.unsent import Share, Unsent

_logger = logging.getLogger(__name__)

Parts: TypeAlias = "list[Piece]"
"""The bytes of an answer, in pieces that are not copied together."""
Answer: TypeAlias = "Parts | Awaitable[Parts | None] | None"
"""What to send: now, later, or nothing."""

_AHEAD = 32
"""Requests of one connection that may be unanswered before the next is looked at."""
_QUEUED = 64
"""Frames of one connection that are held before reading pauses."""
_LINGER_S = 2.0
"""How long a client is listened to that was told that no more comes: else what is on its way to it
could be lost with the connection, where it has sent something that nobody read."""
_PREFIX = 4
"""Bytes of a frame's length."""
_AT_ONCE = 1 << 16
"""Bytes of answers after which those that follow wait for the next write."""
_JOINED = 64
"""An answer of more pieces, or smaller ones, is copied together: one long write is cheaper."""
_PORTION = 1 << 18
"""Bytes that are handed to the transport at a time: it copies what the client does not take."""
_PROGRESS = 1 << 14
"""Whoever takes fewer bytes in all the time that a connection may be idle takes nothing."""


class Refused(Exception):
    """The connection cannot go on: it is closed without an answer."""


class Connection(asyncio.BufferedProtocol):
    """A connection on the gateway's listener."""

    def __init__(
        self,
        serve: Callable[[Connection, bytes], Awaitable[Answer]],
        *,
        max_frame: int,
        room: Room,
        unsent: Unsent,
        opened: Callable[[Connection], bool],
        closed: Callable[[Connection], None],
        listener: str = "PLAINTEXT",
        secure: bool = False,
    ) -> None:
        """Prepare a connection.

        Args:
            serve: gives the answer to a frame, or raises `Refused`.
            max_frame: bytes of the longest frame.
            room: what all connections share for their requests.
            unsent: and for their answers.
            opened: told of a connection; False: there are too many.
            closed: told of its end.
            listener: the name of the listener that it came in on.
            secure: it speaks TLS.
        """
        self.listener = listener
        """The name of the listener that it came in on."""
        self.peer = "?"
        """The client's address."""
        self.label = "?"
        """The client's address and port."""
        self.memory: dict[Any, Any] = {}
        """What handlers remember of this connection; forgotten with it."""
        self.farewells: list[Callable[[], None]] = []
        """Called when the connection ends."""
        self.hurriers: list[Callable[[], None]] = []
        """Called when no request may wait any longer: the client sends no more, or the gateway
        ends."""
        self.share = Share(unsent)
        """The room for its answers."""
        self._secure = secure
        self._serve = serve
        self._reader = FrameReader(max_frame)
        self._room = room
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames: deque[bytes] = deque()
        self._owed: deque[asyncio.Future[Parts | None]] = deque()
        self._held = 0
        """Bytes that count in the room, and whole requests among them."""
        self._whole = 0
        self._serving = False
        self._draining = False
        self._lost = False
        self._deaf = False
        """Nothing that comes is looked at any more."""
        self._ended = False
        """The client sends no more."""
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._active_at = 0.0
        """When it was last heard of, or served; the loop's clock."""
        self._written = 0
        """Bytes that were given to the transport."""
        self._taken = 0
        """Bytes that had left it when it was last looked at, and when some last had."""
        self._taken_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else str(address)
        self.label = f"{self.peer}:{address[1]}" if isinstance(address, tuple) else self.peer
        self._active_at = self._taken_at = self._loop.time()
        if not self._opened(self):
            self._transport.abort()
            return
        _logger.debug("%s: connected to %s", self.label, self.listener)
        self._task = self._loop.create_task(self._run(), name=f"connection of {self.peer}")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._deaf:
            return
        self._active_at = self._loop.time()
        try:
            frames = self._reader.received(nbytes)
            self._held += nbytes
            self._whole += len(frames)
            has_room = self._room.take(nbytes, len(frames), self)
        except (InvalidRequest, NoRoom) as error:
            _logger.warning("%s: %s; disconnected", self.label, error)
            self.abort()
            return
        self._frames.extend(frames)
        if not has_room or len(self._frames) > _QUEUED:
            self._pause()
        if frames:
            self._wake()

    def eof_received(self) -> bool:
        """The client sends no more: what it sent is answered, then the connection ends."""
        self._draining = self._ended = True
        self._wake()
        self._hurry()
        # TLS knows no connection that is closed on one side only.
        return not (self._secure or self._deaf)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._lost = True
        for task in (self._task, self._sender):
            if task is not None:
                task.cancel()
        for owed in self._owed:
            owed.cancel()
        self._room.give(self._held, self._whole)
        self._room.leave(self)
        self.share.close()
        for farewell in self.farewells:
            farewell()
        self._closed(self)
        _logger.debug("%s: disconnected%s", self.label, "" if exc is None else f": {exc}")

    def pause_writing(self) -> None:
        """The client does not take its answers: no more are made."""
        self._writable = self._writable or self._loop.create_future()

    def resume_writing(self) -> None:
        """It takes them again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the server calls.

    def quiet_for(self, now: float) -> float:
        """For how many seconds the client has not done what is up to it: to take what it is sent,
        or else to ask for something.

        It compares with what it found when it was last called.
        """
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        taken = self._written - unsent
        if not unsent or taken - self._taken >= _PROGRESS:
            self._taken, self._taken_at = taken, now
        if unsent:
            return now - self._taken_at
        is_busy = self._serving or self._frames or self._owed
        return 0.0 if is_busy else now - self._active_at

    def resume(self) -> None:
        """Read on: there is room again."""
        if self._draining or self._transport is None:
            return
        if len(self._frames) <= _QUEUED:
            self._transport.resume_reading()

    def drain(self) -> None:
        """Take no more requests, answer those that are there, and close."""
        self._draining = True
        self._pause()
        self._wake()
        self._hurry()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # Serving.

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _hurry(self) -> None:
        for hurry in self.hurriers:
            hurry()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter
        self._waiter = None

    async def _run(self) -> None:
        try:
            while not (self._draining and not self._frames):
                if not self._frames or len(self._owed) >= _AHEAD:
                    await self._wait()
                    continue
                await self._next()
            while self._owed:
                await self._wait()
            self._hang_up()
        except Refused as error:
            _logger.warning("%s: %s; disconnected", self.label, error)
            self.abort()
        except Exception:
            _logger.exception("%s: a request could not be served; disconnected", self.label)
            self.abort()

    def _hang_up(self) -> None:
        """Everything is answered: end the connection so that the answers arrive."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._ended or self._secure or not transport.can_write_eof():
            transport.close()
            return
        self._deaf = True
        transport.write_eof()
        transport.resume_reading()
        self._loop.call_later(_LINGER_S, transport.abort)

    async def _next(self) -> None:
        data = self._frames.popleft()
        if len(self._frames) == _QUEUED // 2:
            self.resume()
        self._serving = True
        try:
            answer = await self._serve(self, data)
            if answer is None:
                self._done(len(data))
            elif isinstance(answer, list) and not self._owed:
                pieces = frame(answer)
                self.share.answered(_size(pieces))
                await self._write(pieces)
                self._done(len(data))
            else:
                self._owe(answer, len(data))
        finally:
            self._serving = False
            self._active_at = self._loop.time()

    def _done(self, size: int) -> None:
        if not self._lost:
            self._held -= size + _PREFIX
            self._whole -= 1
            self._room.give(size + _PREFIX, 1)

    def _owe(self, answer: Parts | Awaitable[Parts | None], size: int) -> None:
        """Send an answer when it is there, and those before it are sent."""
        if isinstance(answer, list):
            owed: asyncio.Future[Parts | None] = self._loop.create_future()
            owed.set_result(answer)
            self._there(owed, size)
        else:
            owed = asyncio.ensure_future(answer)
            owed.add_done_callback(lambda owed: self._there(owed, size))
        self._owed.append(owed)
        if self._sender is None or self._sender.done():
            self._sender = self._loop.create_task(self._pay(), name=f"answers to {self.peer}")

    def _there(self, owed: asyncio.Future[Parts | None], size: int) -> None:
        """An answer is there, or never will be."""
        self._done(size)
        if not owed.cancelled() and owed.exception() is None and (answer := owed.result()):
            self.share.answered(_size(answer) + _PREFIX)

    async def _pay(self) -> None:
        """Send answers in the order of their requests, those that are ready in one write."""
        try:
            while self._owed:
                await asyncio.wait((self._owed[0],))
                count, pieces = self._ready()
                await self._write(pieces)
                for _ in range(count):
                    self._owed.popleft()
                self._wake()
        except asyncio.CancelledError:
            raise
        except Refused as error:
            _logger.warning("%s: %s; disconnected", self.label, error)
            self.abort()
        except Exception:
            _logger.exception("%s: a request could not be answered; disconnected", self.label)
            self.abort()

    def _ready(self) -> tuple[int, list[Piece]]:
        """How many answers can go now, and their pieces; fails as the first one did."""
        count, size = 0, 0
        pieces: list[Piece] = []
        for owed in self._owed:
            if not owed.done() or size > _AT_ONCE or (count and owed.exception() is not None):
                break
            answer = owed.result()
            count += 1
            if answer is not None:
                framed = frame(answer)
                size += _size(framed)
                pieces += framed
        return count, pieces

    async def _write(self, pieces: list[Piece]) -> None:
        size = _size(pieces)
        if size <= _PORTION:
            await self._write_portion(pieces, size)
        else:
            for portion in portions(pieces, _PORTION):
                await self._write_portion(portion, _size(portion))
        self.share.sent(size)

    async def _write_portion(self, pieces: list[Piece], size: int) -> None:
        transport = self._transport
        if not pieces or transport is None or transport.is_closing():
            return
        self._written += size
        if len(pieces) > _JOINED or size < 16_384:
            transport.write(b"".join(pieces))
        else:
            transport.writelines(pieces)
        if self._writable is not None:
            await self._writable


def _size(pieces: list[Piece]) -> int:
    return sum(map(len, pieces))

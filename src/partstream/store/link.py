"""One pipelined connection to one node: commands go out in order, answers come back in order.

A link never reconnects. When it is lost, what had been sent fails with OutcomeUnknown, since it may
have been carried out; whoever needs the node again opens another link.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from hiredis import pack_command
from redis.exceptions import RedisError

from partstream.errors import OutcomeUnknown, StoreUnavailable
from partstream.store.dial import Identity, RedisConnection, hang_up
from partstream.store.replies import is_reply
from partstream.store.target import Address

Argument: TypeAlias = bytes | str | int | float

# Its stub takes only tuples of one.
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", pack_command)


class Link:
    """A FIFO of commands over one connection."""

    def __init__(
        self,
        connection: RedisConnection,
        address: Address,
        *,
        timeout: float,
        on_end: Callable[[Link, bool], None] | None = None,
    ) -> None:
        """Take over an open connection.

        Args:
            timeout: seconds of silence after which a server that owes an answer is given up.
            on_end: called when the link is no more, and whether it was lost rather than closed.
        """
        self.address = address
        self.lost = False
        self.identity: Identity | None = None
        """How the server calls this connection, if it says so."""
        self._connection = connection
        self._timeout = timeout
        self._on_end = on_end
        self._closing = False
        self._pending: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._outbox: list[bytes] = []
        self._work = asyncio.Event()
        self._hanging_up: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks = [
            self._loop.create_task(self._write(), name=f"link to {address}: write"),
            self._loop.create_task(self._read(), name=f"link to {address}: read"),
        ]
        self._watchdog = self._loop.call_later(timeout / 8, self._watch)

    def submit(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command behind all earlier ones; the future is its raw answer.

        The future fails with redis-py's error for an error reply, with OutcomeUnknown if the link
        is lost before the answer.

        Raises:
            StoreUnavailable: the link is lost already; nothing was sent.
        """
        if self.lost:
            raise StoreUnavailable(f"the connection to Redis at {self.address} is lost")
        packed = _pack(command)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append((future, self._loop.time()))
        self._outbox.append(packed)
        self._work.set()
        return future

    def submit_asking(self, *command: Argument) -> asyncio.Future[Any]:
        """The same for keys whose slot is on its way to the node, and not its own yet (ASKING)."""
        ignore(self.submit("ASKING"))
        return self.submit(*command)

    async def close(self) -> None:
        """Drop the connection and fail whatever is unanswered."""
        self._closing = True
        self._lose("it was closed")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._hanging_up is not None:
            await self._hanging_up

    async def _write(self) -> None:
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                chunks, self._outbox = self._outbox, []
                await self._connection.send_packed_command(chunks, check_health=False)
        except (RedisError, OSError) as error:
            self._lose(str(error))

    async def _read(self) -> None:
        read = self._connection.read_response
        pending = self._pending
        try:
            while True:
                error: RedisError | None = None
                reply = None
                try:
                    reply = await read(disable_decoding=True, disconnect_on_error=False)
                except RedisError as raised:
                    if not is_reply(raised):
                        raise
                    error = raised
                future, _ = pending.popleft()
                if future.done():
                    continue
                if error is None:
                    future.set_result(reply)
                else:
                    future.set_exception(error)
        except (RedisError, OSError) as lost:
            self._lose(str(lost))

    def _watch(self) -> None:
        """Give up on a server that has been silent for the timeout with an answer owing.

        It looks every eighth of it, and an eighth early rather than late: who waits has the
        timeout for everything.
        """
        silent = self._loop.time() - self._pending[0][1] if self._pending else 0.0
        if silent > self._timeout * 7 / 8:
            self._lose(f"no answer for {silent:.3g} s")
        else:
            self._watchdog = self._loop.call_later(self._timeout / 8, self._watch)

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        self._watchdog.cancel()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        text = f"the connection to Redis at {self.address} was lost: {why}"
        while self._pending:
            future, _ = self._pending.popleft()
            if not future.done():
                future.set_exception(OutcomeUnknown(text))
        if self._on_end is not None:
            self._on_end(self, not self._closing)
        self._hanging_up = self._loop.create_task(hang_up(self._connection))


def ignore(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for it, nor for what it failed with."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())

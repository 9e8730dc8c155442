"""One pipelined connection to one node: commands go out in order, answers come back in order.

A link never reconnects. When it is lost, what had been sent fails with OutcomeUnknown, since it may
have been carried out; whoever needs the node again opens another link.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.exceptions import InvalidResponse, RedisError

from partstream.errors import OutcomeUnknown, StoreUnavailable
from partstream.store.dial import Identity, RedisConnection, hang_up
from partstream.store.replies import is_reply
from partstream.store.target import Address
from partstream.store.wire import Argument, Wire


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

        Raises:
            StoreUnavailable: the server has hung up already.
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
        self._hanging_up: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._wire = Wire(connection, take=self._answered, end=self._lose)
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
        self._wire.send(command)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append((future, self._loop.time()))
        return future

    def submit_asking(self, *command: Argument) -> asyncio.Future[Any]:
        """The same for keys whose slot is on its way to the node, and not its own yet (ASKING)."""
        ignore(self.submit("ASKING"))
        return self.submit(*command)

    async def close(self) -> None:
        """Drop the connection and fail whatever is unanswered."""
        self._closing = True
        self._lose("it was closed")
        if self._hanging_up is not None:
            await self._hanging_up

    def _answered(self, reply: Any) -> None:
        is_error = isinstance(reply, RedisError)
        if is_error and not is_reply(reply):
            raise reply
        if not self._pending:
            raise InvalidResponse("an answer to nothing")
        future, _ = self._pending.popleft()
        if future.done():
            return
        if is_error:
            future.set_exception(reply)
        else:
            future.set_result(reply)

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
        self._wire.stop()
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

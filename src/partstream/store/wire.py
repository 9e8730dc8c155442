"""The bytes of one connection: commands out, once for each round of the loop, and replies in.

redis-py's own reading takes three coroutines for a reply, and three copies for every 64 KiB of it:
more than most of what is done with the reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from hiredis import Reader, pack_command
from redis.exceptions import InvalidResponse, RedisError

from partstream.store.dial import RedisConnection, error_reply, take_over

Argument: TypeAlias = bytes | str | int | float

_BUFFER = 1 << 16
"""Bytes that are read at a time. With more, the reader spends its time on moving what is left of
them to the front, after each reply of a kilobyte or longer."""
_KEPT = 1 << 20
"""Bytes of a reply's beginning for which the reader keeps memory, rather than ask for it anew."""
_MORE = object()
"""What the reader gives when the rest of a reply is still to come."""

# Its stub takes only tuples of one.
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", pack_command)


class Wire(asyncio.BufferedProtocol):
    """A connection that was taken over from redis-py, which opened it.

    It speaks RESP2, in which nothing comes but replies, and messages where channels are heard.
    """

    def __init__(
        self,
        connection: RedisConnection,
        *,
        take: Callable[[Any], None],
        end: Callable[[str], None],
    ) -> None:
        """Take it over.

        Args:
            take: given every reply, in order; an error reply as redis-py's exception. What it
                raises of redis-py's is the end of the connection.
            end: told why, once, when no more will come; not after `stop`.

        Raises:
            StoreUnavailable: the server has hung up already. `hang_up` is still to be called.
        """
        self._take = take
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=error_reply, notEnoughData=_MORE
        )
        self._reader.setmaxbuf(_KEPT)
        # Its stub knows nothing but bytes.
        self._feed = cast("Callable[[memoryview, int, int], None]", self._reader.feed)
        self._buffer = memoryview(bytearray(_BUFFER))  # a view, since TLS writes into slices of it
        self._outbox: list[bytes] = []
        self._sent = b""
        """What was written last. Kept until the next is: were it freed at once, with what the
        transport copied of it, malloc would return long commands' memory to the system each time,
        and to have it again page by page takes longer than to send the command."""
        self._is_flushing = False
        self._is_paused = False
        self._is_over = False
        self._transport, self._before = take_over(connection, self)

    def send(self, command: tuple[Argument, ...]) -> None:
        """Send a command, together with all others of this round of the loop.

        It never waits, and so bounds nothing: how much is held for a server that does not read is
        up to those who send. Producers have their `buffer_memory` for it, the gateway its room for
        requests, and nobody else sends much before there is an answer.
        """
        self._outbox.append(_pack(command))
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def stop(self) -> None:
        """Send nothing more, not even what waits to be sent, and hear nothing more."""
        self._is_over = True
        self._outbox.clear()
        self._sent = b""

    def _flush(self) -> None:
        if self._is_paused:
            return  # until the server reads: what is given up by then is not sent at all
        self._is_flushing = False
        if not self._is_over:
            chunks, self._outbox = self._outbox, []
            # Not `writelines`, which pauses nobody before Python 3.12.9 and 3.13.2; of a single
            # command this is no copy.
            self._sent = b"".join(chunks)
            self._transport.write(self._sent)

    def _over(self, why: str) -> None:
        if not self._is_over:
            self.stop()
            self._end(why)

    # What the transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        take, gets = self._take, self._reader.gets
        try:
            self._feed(self._buffer, 0, nbytes)
            while (reply := gets()) is not _MORE:
                if self._is_over:
                    return
                take(reply)
        except RedisError as error:
            self._over(str(error))

    def pause_writing(self) -> None:
        """The server reads slower than commands come."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It has read most of them."""
        self._is_paused = False
        if self._is_flushing:
            self._flush()

    def eof_received(self) -> None:
        """The server says no more. Not to wait for the end: it may not read either."""
        self._over("the server closed it")

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. redis-py's streams are to know of it: `hang_up` waits for them."""
        self._before.connection_lost(exc)
        self._over(str(exc) if exc else "the server closed it")

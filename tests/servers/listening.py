"""A server on the test's own loop that leaves no connection behind.

asyncio's own leaves one open whose handler had not begun when the test ended, or whose handler
returned without closing it; some other test then fails for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_TURNS = 5
"""Of the loop: what was accepted before the listener closed has become a connection by then."""


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[tuple[str, int]]:
    """Serve each connection by a task of its own; at the end all are cancelled and cut.

    A handler may be cancelled before it has begun. Its connection is cut when it returns.
    """
    tasks: set[asyncio.Task[None]] = set()
    ended = False

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if ended:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(_handle(handler, reader, writer))
        tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:
            tasks.discard(task)
            writer.transport.abort()

        task.add_done_callback(done)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield host, port
    finally:
        ended = True
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)


async def _handle(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await handler(reader, writer)

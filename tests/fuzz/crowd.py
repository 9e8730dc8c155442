"""Connections in great number that do little: silent ones, beginnings of requests, slow senders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fuzz.target import Target, most_files
from tests.gateway.gateways import Client, request

_AT_ONCE = 200
_SLOW = 20
_PAUSE_S = 0.02
"""Between two bytes of a slow sender."""
_SPARE = 1_000
"""Open files that are left for everything else."""
_QUESTION = request(3, 9, {"topics": []})
_BEGINNINGS = 20
"""So many bytes of a request are sent at most by whoever then falls silent; some send none."""


class Crowd:
    """Those who are there."""

    def __init__(self, target: Target) -> None:
        self.silent: list[Client] = []
        """They have sent nothing, or the beginning of a request."""
        self.answers = 0
        """That slow senders have got."""
        self._target = target

    async def come(self, count: int) -> None:
        """Connect so many."""
        while len(self.silent) < count:
            more = min(_AT_ONCE, count - len(self.silent))
            self.silent += await asyncio.gather(*(self._client() for _ in range(more)))
        for number, client in enumerate(self.silent):
            client.send(_QUESTION[: number % _BEGINNINGS])

    async def ask_slowly(self) -> None:
        """Ask one question after the other, byte by byte."""
        async with await self._client() as client:
            while True:
                for byte in _QUESTION:
                    client.send(bytes((byte,)))
                    await asyncio.sleep(_PAUSE_S)
                if not await client.frame():
                    raise AssertionError("a slow sender got no answer")
                self.answers += 1

    def leave(self) -> None:
        """Be gone without a word."""
        for client in self.silent:
            client.writer.transport.abort()

    async def _client(self) -> Client:
        return Client(*await asyncio.open_connection(*self._target.address))


@asynccontextmanager
async def crowd(target: Target, count: int) -> AsyncIterator[Crowd]:
    """So many silent connections, or as many as the limit on open files allows, and a few slow
    senders beside them."""
    crowd = Crowd(target)
    slow: list[asyncio.Task[None]] = []
    try:
        await crowd.come(min(count, most_files() - _SPARE))
        slow += [asyncio.create_task(crowd.ask_slowly()) for _ in range(_SLOW)]
        yield crowd
    finally:
        for task in slow:
            task.cancel()
        failures = await asyncio.gather(*slow, return_exceptions=True)
        crowd.leave()
    for failure in failures:
        if not isinstance(failure, asyncio.CancelledError):
            raise AssertionError("a slow sender was not served") from failure

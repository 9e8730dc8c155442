"""A TCP proxy in front of a server, which loses what it is told to lose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

from tests.servers.listening import listening

_CHUNK = 1 << 16
_HEAD = 512
"""Bytes by which a connection is told from others."""


class Fate(Enum):
    """What becomes of some bytes, and of the connection on which they came."""

    PASS = "pass"
    CUT = "cut"
    """They are not passed on, and the connection is cut."""
    PASS_AND_CUT = "pass and cut"
    HOLD = "hold"
    """Requests only: they are passed on when `release` is called, even if the client has gone."""


Judge = Callable[[bytes], Fate]
Place = tuple[str, int]


def _pass(_: bytes) -> Fate:
    return Fate.PASS


class Proxy:
    """Forwards connections to a server: of a `redis://` URL, or where a function says, each time
    anew. Lives on the test's loop.

    A cut ends the connection for the client at once. What had been passed on is still carried out
    by the server, which hears of an end in order; no answer to it gets through.
    """

    def __init__(self, target: str | Callable[[], Place]) -> None:
        self._target = target
        self._address: Place | None = None
        self._exits = AsyncExitStack()
        self._links: set[_Link] = set()
        self._to_lose = 0
        self._marker = b""
        self.judge_request: Judge = _pass
        """Asked of everything that clients send."""
        self.judge_answer: Judge = _pass
        """Asked of everything that the server sends."""
        self.refusing = False
        """Whether new connections are closed at once."""
        self._parted: Callable[[bytes], bool] | None = None
        self._released = asyncio.Event()
        self.holding = 0
        """How many connections hold a request back."""
        self.cuts = 0
        """How many connections were cut."""

    @property
    def url(self) -> str:
        """The URL for clients."""
        host, port = self.address
        return f"redis://{host}:{port}"

    @property
    def address(self) -> Place:
        """Host and port for clients."""
        assert self._address is not None
        return self._address

    def lose_answers(self, times: int = 1, *, to: bytes = b"EVALSHA") -> None:
        """The next requests that contain `to` reach the server, but their answers get lost."""
        self._to_lose, self._marker = times, to

    @property
    def to_lose(self) -> int:
        """How many of those answers are still to be lost."""
        return self._to_lose

    def cut(self) -> None:
        """Cut every connection."""
        for link in tuple(self._links):
            link.cut()

    def part(self, whom: Callable[[bytes], bool] | None) -> None:
        """Cut those connections, and from now on all like them; None lets everybody through.

        `whom` is asked with the first bytes that a client has sent.
        """
        self._parted = whom
        if whom is not None:
            for link in tuple(self._links):
                if whom(link.head):
                    link.cut()

    def release(self) -> None:
        """Pass on what is held back."""
        self._released.set()
        self._released.clear()

    async def __aenter__(self) -> Self:
        self._address = await self._exits.enter_async_context(listening(self._serve))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run(*self._place())
        finally:
            self._links.discard(link)

    def _place(self) -> Place:
        if not isinstance(self._target, str):
            return self._target()
        parts = urlsplit(self._target)
        return parts.hostname or "127.0.0.1", parts.port or 6379


class _Link:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._from_client = reader
        self._to_client = writer
        self._cut = False
        self._losing = False
        self.head = b""

    async def run(self, host: str, port: int) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(host, port)
        except OSError:
            self._to_client.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(to_server))
                both.create_task(self._answers(from_server))
        finally:
            self._to_client.transport.abort()
            to_server.transport.abort()

    def cut(self) -> None:
        if not self._cut:
            self._cut = True
            self._proxy.cuts += 1
            self._to_client.transport.abort()

    async def _requests(self, to_server: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        with suppress(OSError):
            while not self._cut and (data := await self._from_client.read(_CHUNK)):
                self.head += data[: _HEAD - len(self.head)]
                fate = proxy.judge_request(data)
                if fate is Fate.CUT or (proxy._parted is not None and proxy._parted(self.head)):
                    self.cut()
                    break
                if fate is Fate.HOLD:
                    await self._hold()
                if proxy._to_lose and not self._losing and proxy._marker in data:
                    proxy._to_lose -= 1
                    self._losing = True
                to_server.write(data)
                await to_server.drain()
                if fate is Fate.PASS_AND_CUT:
                    self.cut()
        # The server hears that there is no more, and answers what it got, to nobody.
        with suppress(OSError):
            to_server.write_eof()

    async def _hold(self) -> None:
        self._proxy.holding += 1
        try:
            await self._proxy._released.wait()
        finally:
            self._proxy.holding -= 1

    async def _answers(self, from_server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await from_server.read(_CHUNK):
                if self._cut:
                    continue
                fate = Fate.CUT if self._losing else self._proxy.judge_answer(data)
                if fate is not Fate.CUT:
                    self._to_client.write(data)
                    await self._to_client.drain()
                if fate in (Fate.CUT, Fate.PASS_AND_CUT):
                    self.cut()
        self._to_client.transport.abort()

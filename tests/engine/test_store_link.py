"""The link, on servers that answer in pieces, do not read, or hang up; on each kind of loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import uvloop
from redis.exceptions import ResponseError

from partstream.embedded.server import EmbeddedServer
from partstream.errors import OutcomeUnknown, StoreUnavailable
from partstream.store.dial import Dialer, hang_up
from partstream.store.link import Link
from partstream.store.target import Address, parse_target
from tests.servers.listening import Handler, listening
from tests.servers.tls import TlsServer
from tests.waiting import until

Run: TypeAlias = Callable[[Awaitable[None]], None]
_MANY = 40
_LONG = b"x" * (1 << 18)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of that kind; what nobody heard of fails the test."""

    def runs(work: Awaitable[None]) -> None:
        unheard: list[dict[str, Any]] = []

        async def heard() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: unheard.append(context))
            async with asyncio.timeout(30):
                await work

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(heard())
        assert not unheard

    return runs


@asynccontextmanager
async def _linked(url: str, timeout: float = 30.0, **options: object) -> AsyncIterator[Link]:
    target = parse_target(url)
    dialer = Dialer({**target.options, **options}, client_id="test", timeout=5.0)
    (address,) = target.addresses
    link = Link(await dialer.dial(address), address, timeout=timeout)
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def _linked_to(handler: Handler) -> AsyncIterator[Link]:
    """To a server that does nothing but what the handler does, after what redis-py says first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _command(reader) != [b"ECHO", b"begin"]:
            writer.write(b"+OK\r\n")
        await handler(reader, writer)

    async with listening(serve) as (host, port), _linked(f"redis://{host}:{port}") as link:
        link.submit("ECHO", "begin").add_done_callback(lambda done: done.exception())
        yield link


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    words = []
    for _ in range(int((await reader.readline())[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


def test_answers_in_pieces_and_errors_among_them(run: Run) -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = b"+begun\r\n:1\r\n-ERR no\r\n*2\r\n$3\r\na\r\n\r\n$-1\r\n+last\r\n"
        for at in range(len(answers)):
            writer.write(answers[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def works() -> None:
        async with _linked_to(handler) as link:
            asked = [link.submit("GET", number) for number in range(4)]
            one, error, pair, last = await asyncio.gather(*asked, return_exceptions=True)
            assert (one, pair, last) == (1, [b"a\r\n", None], b"last")
            assert type(error) is ResponseError
            assert str(error) == "no"

    run(works())


def test_a_server_that_does_not_read_holds_up_the_rest_in_order(run: Run) -> None:
    reads = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+begun\r\n")
        await reads.wait()
        for _ in range(_MANY):
            verb, number, _ = await _command(reader)
            assert verb == b"SET"
            writer.write(b"+%s\r\n" % number)
        await asyncio.Event().wait()

    async def works() -> None:
        async with _linked_to(handler) as link:
            asked = []
            for number in range(_MANY):
                asked.append(link.submit("SET", number, _LONG))
                await asyncio.sleep(0.001)
            held = link._wire._transport.get_write_buffer_size()
            assert 0 < held < _MANY * len(_LONG) / 2
            reads.set()
            assert await asyncio.gather(*asked) == [b"%d" % number for number in range(_MANY)]

    run(works())


def test_who_closes_while_a_server_does_not_read_sends_no_more(run: Run) -> None:
    reads = asyncio.Event()
    read: list[list[bytes]] = []
    at_end = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reads.wait()
        try:
            while True:
                read.append(await _command(reader))
        finally:
            at_end.set()

    async def works() -> None:
        async with _linked_to(handler) as link:
            asked = []
            for number in range(_MANY):
                asked.append(link.submit("SET", number, _LONG))
                await asyncio.sleep(0.001)
            await link.close()
            with pytest.raises(StoreUnavailable):
                link.submit("SET", "late", "x")
            for outcome in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(outcome, OutcomeUnknown)
            reads.set()
            await at_end.wait()
            assert 0 < len(read) < _MANY

    run(works())


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"", "the server closed it"),
        (b"+begun\r\n+1\r\n+2\r\n", "an answer to nothing"),
        (b"!what", "Protocol error"),
        (b"+begun\r\n-ERR max number of clients reached\r\n", "max number of clients reached"),
    ],
)
def test_the_end_of_a_link(run: Run, says: bytes, why: str) -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if says:
            await asyncio.Event().wait()

    async def works() -> None:
        async with _linked_to(handler) as link:
            if b"+1" in says:
                assert await link.submit("GET", "a") == b"1"
                await until(lambda: link.lost)
                return
            with pytest.raises(OutcomeUnknown, match=why):
                await link.submit("GET", "a")
            assert link.lost

    run(works())


def test_a_server_that_ends_but_does_not_read(run: Run) -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await asyncio.Event().wait()

    async def works() -> None:
        async with _linked_to(handler) as link:
            with pytest.raises(OutcomeUnknown, match="the server closed it"):
                await link.submit("SET", "a", _LONG * 40)

    run(works())


@pytest.mark.parametrize("says", [b"", b"+more\r\n"])
def test_a_server_that_hangs_up_or_speaks_before_the_link(run: Run, says: bytes) -> None:
    async def works() -> None:
        told = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(3):
                await _command(reader)
                writer.write(b"+OK\r\n")
            await told.wait()
            writer.write(says)
            if says:
                await asyncio.Event().wait()

        async with listening(serve) as (host, port):
            address = Address(host, port)
            connection = await Dialer({}, client_id="test", timeout=5.0).dial(address)
            told.set()
            reader = connection._reader
            assert reader is not None
            await until(lambda: bool(reader._buffer) or reader.at_eof())  # type: ignore[attr-defined]
            with pytest.raises(StoreUnavailable, match="hung up"):
                Link(connection, address, timeout=5.0)
            await hang_up(connection)

    run(works())


@pytest.mark.every_server
def test_long_answers(run: Run, redis_url: str, namespace: str) -> None:
    async def works() -> None:
        async with _linked(redis_url) as link:
            await _echoes(link)

    run(works())


def test_tls(run: Run, tls: TlsServer) -> None:
    async def works() -> None:
        async with _linked(tls.url, ssl_ca_certs=str(tls.ca_file)) as link:
            await _echoes(link)
            began = asyncio.get_running_loop().time()
            await link.close()
            took = asyncio.get_running_loop().time() - began
            assert took < 0.2, "the end of TLS was not heard of"

    run(works())


def test_a_unix_socket(run: Run, fresh_server: EmbeddedServer) -> None:
    async def works() -> None:
        async with _linked(f"unix://{fresh_server.socket}") as link:
            await _echoes(link)

    run(works())


async def _echoes(link: Link) -> None:
    """Longer and shorter than what is read at a time, and many at a time."""
    said = [bytes([number]) * (1 << number) for number in range(22)] + [b"-"] * 500
    asked = [link.submit("ECHO", word) for word in said]
    assert await asyncio.gather(*asked) == said

"""Opens connections: redis-py does sockets, TLS, AUTH and SELECT; nothing else asks it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from redis.asyncio.connection import (
    Connection,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import RedisError

from partstream.errors import ConfigError, PartstreamError, StoreTooOld, StoreUnavailable
from partstream.store.replies import is_reply, translate
from partstream.store.target import Address
from partstream.store.tls import Contexts

RedisConnection: TypeAlias = Connection | UnixDomainSocketConnection

_TLS_END_S = 0.25
_NO_DATABASE = ("DB index is out of range", "SELECT is not allowed in cluster mode")
_LEAST = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says of itself (HELLO)."""

    server: str
    """`redis` or `valkey`."""
    version: str
    mode: str
    """`standalone`, `cluster` or `sentinel`."""
    role: str
    """`master` or `replica`."""


class Identity(NamedTuple):
    """A connection as its server sees it."""

    client_id: str
    address: str
    """Ids begin again with the server; together with this one it is nobody else's."""


class Dialer:
    """Opens connections that share one set of credentials and TLS settings."""

    def __init__(self, options: dict[str, Any], *, client_id: str, timeout: float) -> None:
        self._options = dict(options)
        self._tls = self._options.pop("tls", False)
        self._options.pop("sentinel_password", None)  # is for the sentinels alone
        self._password_file: str | None = self._options.get("password_file")
        self._contexts = Contexts()
        self._client_id = client_id
        self._timeout = timeout
        _check_files(self._options)
        if self._options.pop("password_file", None):
            self._options.pop("password", None)  # of the URL: what is given beside it wins
        try:
            self._make(Address("localhost", 1))
        except TypeError as error:
            raise ConfigError(f"an option of the connection is not known: {error}") from error

    async def dial(self, address: Address) -> RedisConnection:
        """A connection that is open and logged in.

        Raises:
            StoreUnavailable: nothing answers there, or TLS fails.
            StoreAuthenticationFailed: wrong user name or password.
            ConfigError: the server has no database of that number.
        """
        connection = self._make(address)
        try:
            async with asyncio.timeout(self._timeout):
                if isinstance(connection, SSLConnection):
                    self._contexts.give(connection)
                await _connect(connection)
        except TimeoutError:
            await hang_up(connection)
            hint = "; if it does not speak TLS: redis://" if self._tls else ""
            raise StoreUnavailable(
                f"Redis at {address} did not answer within {self._timeout:g} s{hint}"
            ) from None
        except (RedisError, OSError) as error:
            await hang_up(connection)
            self._check_database(error, address)
            failure = translate(error, f"cannot connect to Redis at {address}")
            hint = self._hint(failure)
            raise (type(failure)(f"{failure}{hint}") if hint else failure) from error
        except BaseException:
            await hang_up(connection)
            raise
        return connection

    def _check_database(self, error: Exception, address: Address) -> None:
        """Name the database that a server does not have; its own answer leaves the number out."""
        if any(text in str(error) for text in _NO_DATABASE):
            raise ConfigError(
                f"database {self._options.get('db')}: Redis at {address} has none of that number "
                f"({error}); its `databases` setting says how many there are, a cluster has only 0"
            ) from error

    def _hint(self, failure: PartstreamError) -> str:
        """What a server that hangs up without a word may have meant."""
        words = str(failure).lower()
        if not any(word in words for word in ("reset", "closed", "broken pipe", "eof")):
            return ""
        if not self._tls:
            return "; if it speaks TLS only: rediss://"
        if "ssl_certfile" not in self._options:
            return "; if it wants to see a certificate: ssl_certfile and ssl_keyfile"
        return ""

    def _make(self, address: Address) -> RedisConnection:
        common: dict[str, Any] = {
            **self._options,
            **self._secret(),
            "protocol": 2,
            # Set here, so that a login name with spaces cannot make CLIENT SETNAME fail.
            "client_name": "".join(c if "!" <= c <= "~" else "-" for c in self._client_id),
            "socket_timeout": None,
            "socket_connect_timeout": self._timeout,
        }
        if not address.port:
            return UnixDomainSocketConnection(path=address.host, **common)
        common.update(host=address.host, port=address.port, socket_keepalive=True)
        return SSLConnection(**common) if self._tls else Connection(**common)

    def _secret(self) -> dict[str, str]:
        """The password as the file holds it now: it may have been changed."""
        if self._password_file is None:
            return {}
        try:
            text = Path(self._password_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"cannot read the password_file: {error}") from error
        return {"password": text.rstrip("\r\n")}


def _check_files(options: dict[str, Any]) -> None:
    """Name the file that is not there; the connection would only say that some file is not.

    Raises:
        ConfigError: there is no such file.
    """
    for name in ("password_file", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = options.get(name)
        if path and not Path(path).is_file():
            raise ConfigError(f"{name} {str(path)!r}: there is no such file")


_connect: Callable[[RedisConnection], Awaitable[None]] = Connection.connect


async def greet(connection: RedisConnection, address: Address) -> Greeting:
    """Ask a server what it is.

    Raises:
        StoreTooOld: it is older than Redis 7.0 or Valkey 7.2.
    """
    try:
        await connection.send_command("HELLO", "2")
        reply = await connection.read_response(disable_decoding=True)
    except (RedisError, OSError) as error:
        raise translate(error, str(address)) from error
    pairs = dict(zip(reply[::2], reply[1::2], strict=False))
    greeting = Greeting(
        server=pairs[b"server"].decode(),
        version=pairs[b"version"].decode(),
        mode=pairs[b"mode"].decode(),
        role=pairs[b"role"].decode(),
    )
    check_version(greeting, address)
    return greeting


async def identify(connection: RedisConnection) -> Identity | None:
    """Ask a server how it calls this connection; None if an ACL forbids that."""
    reply = await _ask(connection, "CLIENT", "INFO")
    if reply is None:
        return None
    fields = dict(word.split("=", 1) for word in reply.decode().split() if "=" in word)
    return Identity(fields["id"], fields["addr"])


async def ask_replication(connection: RedisConnection) -> dict[str, str]:
    """What a server says of its replication (INFO); empty if an ACL forbids that."""
    return info_fields(await _ask(connection, "INFO", "replication") or b"")


def info_fields(answer: bytes) -> dict[str, str]:
    """The lines of INFO."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


async def _ask(connection: RedisConnection, *command: str) -> bytes | None:
    """A server's answer; None if it refuses one."""
    try:
        await connection.send_command(*command)
        reply: bytes = await connection.read_response(disable_decoding=True)
    except RedisError as error:
        if is_reply(error):
            return None
        raise StoreUnavailable(str(error)) from error
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    return reply


def check_version(greeting: Greeting, address: Address) -> None:
    """Raise StoreTooOld for a server that lacks what partstream needs."""
    least = _LEAST.get(greeting.server)
    if least is None:
        return
    version = tuple(int(part) for part in greeting.version.split(".")[:2] if part.isdigit())
    if version < least:
        raise StoreTooOld(
            f"{greeting.server} {greeting.version} at {address}: partstream needs "
            "Redis 7.0 or Valkey 7.2, or later"
        )


def take_over(
    connection: RedisConnection, protocol: asyncio.BaseProtocol
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Have a protocol hear what comes on a connection from now on, instead of redis-py.

    Returns:
        The transport, and the protocol that was there: it has to be told of the end, for which
        `hang_up` waits.

    Raises:
        StoreUnavailable: the server has hung up, or said what nobody asked for.
    """
    reader, writer = _streams(connection)
    if reader is None or writer is None:
        raise StoreUnavailable("the connection was closed")
    transport = cast("asyncio.Transport", writer.transport)
    ended = reader.at_eof() or reader.exception() is not None or transport.is_closing()
    reader.feed_eof()  # now it is at its end, unless something lies in it
    if ended or not reader.at_eof():
        raise StoreUnavailable("Redis hung up when the connection had just been opened")
    before = transport.get_protocol()
    transport.set_protocol(protocol)
    return transport, before


def _streams(
    connection: RedisConnection,
) -> tuple[asyncio.StreamReader | None, asyncio.StreamWriter | None]:
    """What redis-py reads and writes on. It keeps them to itself, so this is the one place that
    reaches for them; a test says so when a newer redis-py calls them something else.
    """
    return connection._reader, connection._writer


error_reply: Callable[[str], Exception] = DefaultParser.parse_error
"""redis-py's exception for the text of an error reply."""


async def hang_up(connection: RedisConnection) -> None:
    """Close a connection, whatever state it is in."""
    _, writer = _streams(connection)  # redis-py forgets it without having waited for its end
    try:
        await connection.disconnect(nowait=True)
        if writer is not None and isinstance(connection, SSLConnection):
            await _end_tls(writer)
    except (RedisError, OSError, PartstreamError):
        return


async def _end_tls(writer: asyncio.StreamWriter) -> None:
    """Let the server answer the end of TLS, but not for long: asyncio waits half a minute."""
    try:
        async with asyncio.timeout(_TLS_END_S):
            await writer.wait_closed()
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()

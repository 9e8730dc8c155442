"""Just enough of the Redis protocol to look after a server: one command, one answer.

Starting and joining servers needs a dozen commands and no client library; everything else goes
through the store.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from partstream.errors import PartstreamError

Address: TypeAlias = "tuple[str, int] | Path"
"""A host and port, or the path of a unix socket."""

Reply: TypeAlias = "bytes | int | list[Reply] | None"


class CommandRefused(PartstreamError, name="COMMAND_REFUSED"):
    """The server answered a command with an error."""


def call(
    address: Address,
    *command: str | bytes | float,
    username: str | None = None,
    password: str | None = None,
    timeout: float = 5,
) -> Reply:
    """Send one command on a connection of its own, and return the answer.

    Args:
        address: where the server listens.
        command: the command and its arguments.
        username: whom to log in as. Default: the default user.
        password: of that user, if it has one.
        timeout: seconds for each step (connect, send, receive).

    Raises:
        CommandRefused: the server answered with an error.
        OSError: it cannot be reached, or does not answer in time.
    """
    (answer,) = call_many(address, [command], username=username, password=password, timeout=timeout)
    return answer


def call_many(
    address: Address,
    commands: Sequence[tuple[str | bytes | float, ...]],
    *,
    username: str | None = None,
    password: str | None = None,
    timeout: float = 5,
) -> list[Reply]:
    """Send commands all at once, on one connection, and return their answers.

    Raises as `call` does; the server goes on with the commands behind one that it refuses.
    """
    with _connect(address, timeout) as link, link.makefile("rb") as answers:
        if password:
            link.sendall(_encode("AUTH", *([username] if username else []), password))
            _decode(answers)
        link.sendall(b"".join(_encode(*command) for command in commands))
        return [_decode(answers) for _ in commands]


def text(reply: Reply) -> str:
    """A reply that is known to be a string."""
    if not isinstance(reply, bytes):
        raise TypeError(f"the server answered {reply!r} where a string was expected")
    return reply.decode()


def fields(reply: Reply) -> dict[str, str]:
    """The `name:value` lines of INFO and CLUSTER INFO."""
    lines = text(reply).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _connect(address: Address, timeout: float) -> socket.socket:
    if not isinstance(address, Path):
        return socket.create_connection(address, timeout)
    link = socket.socket(socket.AF_UNIX)
    try:
        link.settimeout(timeout)
        link.connect(str(address))
    except OSError:
        link.close()
        raise
    return link


def _encode(*command: str | bytes | float) -> bytes:
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def _decode(answers: BinaryIO) -> Reply:
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    match kind:
        case b"+":
            return rest
        case b":":
            return int(rest)
        case b"-":
            raise CommandRefused(rest.decode())
        case b"$":
            return answers.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        case b"*":
            return [_decode(answers) for _ in range(int(rest))] if int(rest) >= 0 else None
    raise ConnectionError(f"this is no Redis server: it answered {line!r}")

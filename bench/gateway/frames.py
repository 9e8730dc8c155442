"""Requests as bare frames, for what no client library does: a thousand idle connections, say."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from partstream.gateway import codec
from partstream.gateway.codec import Struct
from partstream.gateway.table import BY_KEY

FETCH, METADATA, API_VERSIONS = 1, 3, 18


def connect(address: str) -> socket.socket:
    """A connection to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 30)


def send(connection: socket.socket, key: int, version: int, values: Mapping[str, Any]) -> None:
    """Send one request."""
    api = BY_KEY[key]
    body = struct.pack(">hhih", key, version, 1, 5) + b"bench"
    if version >= api.flexible:
        body += b"\0"
    body += codec.request(api.name, version).encode(values)
    connection.sendall(struct.pack(">i", len(body)) + body)


def receive(connection: socket.socket) -> bytes:
    """One answer, without its length."""
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, length)


def ask(
    connection: socket.socket, key: int, version: int, values: Mapping[str, Any]
) -> tuple[Struct, float]:
    """An answer, and the milliseconds that it took."""
    began = time.perf_counter()
    send(connection, key, version, values)
    frame = receive(connection)
    took = (time.perf_counter() - began) * 1e3
    api = BY_KEY[key]
    at = 5 if version >= api.flexible and key != API_VERSIONS else 4
    return codec.response(api.name, version).decode(frame, at), took


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = connection.recv(min(left, 1 << 20))
        if not part:
            raise SystemExit("the broker hung up")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)

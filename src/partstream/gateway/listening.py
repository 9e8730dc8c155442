"""One listener of the gateway: takes connections, with TLS or without."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import NamedTuple

from partstream.config.listeners import Listener
from partstream.errors import ConfigError
from partstream.gateway.connection import Connection
from partstream.gateway.door import Door
from partstream.gateway.meter import Meter
from partstream.gateway.tls import Certificates

_logger = logging.getLogger(__name__)

_BACKLOG = 1_024
_HANDSHAKE_S = 10.0
"""How long a TLS handshake may take."""
_BREATH_S = 0.1
"""How long to wait where the system has no sockets left."""


class _Entrance(NamedTuple):
    """What a TLS connection passes."""

    make: Callable[[], Connection]
    door: Door
    meter: Meter
    certificates: Certificates


class Listening:
    """A socket that listens."""

    def __init__(self, listener: Listener, *, reuse_port: bool = False) -> None:
        """Take the address, without listening yet.

        Args:
            listener: where, and what is spoken there.
            reuse_port: other processes listen there, too; the system spreads connections.

        Raises:
            ConfigError: the address cannot be had.
        """
        self.listener = listener
        self._socket = bind(listener, reuse_port=reuse_port)
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the port that it got."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    async def start(
        self,
        make: Callable[[Listener, bool], Connection],
        door: Door,
        meter: Meter,
        certificates: Certificates | None,
    ) -> None:
        """Take connections.

        Args:
            make: makes a connection; False: it has to ask at the door itself.
            door: asked before a TLS handshake.
            certificates: for TLS.
        """
        loop = asyncio.get_running_loop()
        if certificates is None:
            self._server = await loop.create_server(
                lambda: make(self.listener, False), sock=self._socket, backlog=_BACKLOG
            )
            return
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        entrance = _Entrance(lambda: make(self.listener, True), door, meter, certificates)
        self._accepting = loop.create_task(self._accept(entrance), name=f"listener {self.listener}")

    def stop(self) -> None:
        """Take no more connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
        for task in (self._accepting, *self._handshakes):
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """Give the address up."""
        self.stop()
        tasks = [task for task in (self._accepting, *self._handshakes) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()

    async def _accept(self, entrance: _Entrance) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(self._socket)
            except OSError as error:
                _logger.warning("listener %s: %s", self.listener, error)
                await asyncio.sleep(_BREATH_S)
                continue
            if not entrance.door.enter(address[0], self.listener.name):
                client.close()
                continue
            task = loop.create_task(
                self._greet(entrance, client, address), name=f"handshake with {address[0]}"
            )
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _greet(
        self, entrance: _Entrance, client: socket.socket, address: tuple[str, int]
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                entrance.make,
                client,
                ssl=entrance.certificates.context,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except OSError as error:
            entrance.door.leave(address[0], self.listener.name)
            entrance.meter.problems["no TLS"] += 1
            _logger.warning("%s:%d: no TLS handshake: %s", *address[:2], _said(error))
        except asyncio.CancelledError:
            entrance.door.leave(address[0], self.listener.name)
            raise


def bind(listener: Listener, *, reuse_port: bool = False) -> socket.socket:
    """A socket on the listener's address.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections have it from here: a client's machine may be gone without a word.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((listener.host, listener.port))
    except OSError as error:
        bound.close()
        raise ConfigError(f"listen='{listener.host}:{listener.port}': {error}") from error
    return bound


def _said(error: OSError) -> str:
    """Why there is no connection; OpenSSL shouts."""
    reason: str = getattr(error, "reason", None) or ""
    plain = reason.replace("_", " ").lower()
    return plain or error.strerror or str(error) or type(error).__name__

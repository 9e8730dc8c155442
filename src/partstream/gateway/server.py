"""The gateway: its listener, its connections, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import re2

from partstream.config.gateway import GatewayConfig, host_and_port
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.log import Log
from partstream.engine.retention import Sweeper
from partstream.engine.topics import Topics
from partstream.errors import ConfigError
from partstream.gateway.broker import Broker
from partstream.gateway.connection import Connection, Room
from partstream.gateway.epochs import Epochs
from partstream.gateway.registry import Registry
from partstream.gateway.router import Router
from partstream.gateway.table import BY_KEY
from partstream.groups import patterns
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_BACKLOG = 1_024
_DRAIN_S = 10.0
"""How long requests under way may take when the gateway ends."""


class Gateway:
    """A gateway on one address, for one namespace."""

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.address = ("", 0)
        """Where it listens."""
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._room = Room(config.queued_max_request_bytes)
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._server: asyncio.Server | None = None
        self._broker: Broker | None = None
        self._router: Router | None = None
        self._idle: asyncio.Task[None] | None = None

    @property
    def broker(self) -> Broker:
        """What handlers work with, once it was started."""
        if self._broker is None:
            raise RuntimeError("the gateway was not started")
        return self._broker

    async def start(self) -> None:
        """Connect to Redis, register, and listen.

        Raises:
            ConfigError: the address cannot be listened on, or the node id is taken.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        config = self.config
        use_re2()
        listener = self._bind()
        self._closers.append(lambda: _close(listener))
        store = await Store.connect(**config.connection())
        self._closers.append(store.close)
        topics = Topics(store, max_age_ms=config.metadata_max_age_ms)
        self._closers.append(lambda: _close(topics))
        groups = ConsumerGroups(store, topics, max_size=config.group_consumer_max_size)
        self._closers.append(groups.close)
        sweeper = Sweeper(
            store,
            topics,
            interval_ms=config.log_retention_check_interval_ms,
            expire_offsets=groups.expire_offsets,
        )
        sweeper.start()
        self._closers.append(sweeper.close)
        registry = Registry(
            store,
            wanted=config.node_id,
            address=self._advertised(),
            rack=config.broker_rack,
            interval_ms=config.broker_heartbeat_interval_ms,
            session_ms=config.broker_session_timeout_ms,
        )
        self._closers.append(registry.close)
        await registry.start()
        log = Log(store)
        self._broker = Broker(config, store, topics, log, groups, registry, Epochs(log), BY_KEY)
        self._router = Router(self._broker)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listener, backlog=_BACKLOG)
        self._idle = asyncio.create_task(self._end_idle(), name="idle connections")
        _logger.info("node %d listens on %s:%d", registry.me.id, *self.address)

    async def drain(self) -> None:
        """Take no more requests, answer those that are there, and close."""
        if self._server is not None:
            self._server.close()
        if self._broker is not None:
            self._broker.draining.set()
            # The others are told first: whoever is disconnected is not sent here again.
            await self._broker.registry.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._empty.wait()
        except TimeoutError:
            _logger.warning("%d connections did not end in time", len(self._connections))
        await self.close()

    async def close(self) -> None:
        """End at once."""
        if self._server is not None:
            self._server.close()
        if self._idle is not None:
            self._idle.cancel()
        for connection in tuple(self._connections):
            connection.abort()
        while self._closers:
            await self._closers.pop()()

    def _bind(self) -> socket.socket:
        host, port = host_and_port(self.config.listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise ConfigError(f"listen={self.config.listen!r}: {error}") from error
        self.address = listener.getsockname()[:2]
        return listener

    def _advertised(self) -> tuple[str, int]:
        if self.config.advertised is None:
            return self.address
        host, port = host_and_port(self.config.advertised)
        return host, port or self.address[1]

    def _connection(self) -> Connection:
        if self._router is None:
            raise RuntimeError("the gateway was not started")
        return Connection(
            self._router.serve,
            max_frame=self.config.socket_request_max_bytes,
            room=self._room,
            opened=self._opened,
            closed=self._closed,
        )

    def _opened(self, connection: Connection) -> bool:
        if len(self._connections) >= self.config.max_connections:
            _logger.warning("%s: max.connections are open; disconnected", connection.peer)
            return False
        self._connections.add(connection)
        self._empty.clear()
        return True

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def _end_idle(self) -> None:
        loop = asyncio.get_running_loop()
        allowed = self.config.connections_max_idle_ms / 1000
        while True:
            await asyncio.sleep(min(allowed / 4, 10.0))
            for connection in tuple(self._connections):
                if not connection.busy and connection.active_at < loop.time() - allowed:
                    _logger.debug("%s: idle; disconnected", connection.peer)
                    connection.abort()


def use_re2() -> None:
    """Match topic names by RE2, as Kafka does: a pattern from the wire cannot run for long."""
    options = re2.Options()
    options.log_errors = False
    patterns.use(lambda pattern: re2.compile(pattern, options), re2.error)


async def _close(thing: socket.socket | Topics) -> None:
    thing.close()

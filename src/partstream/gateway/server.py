"""The gateway: its listener, its connections, its start and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import re2

from partstream.config.gateway import GatewayConfig
from partstream.config.listeners import Listener
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.log import Log
from partstream.engine.retention import Sweeper
from partstream.engine.topics import Topics
from partstream.gateway.broker import Broker
from partstream.gateway.connection import Connection
from partstream.gateway.door import Door, addresses_of
from partstream.gateway.epochs import Epochs
from partstream.gateway.listening import Listening
from partstream.gateway.meter import Meter
from partstream.gateway.registry import Registry
from partstream.gateway.room import Room
from partstream.gateway.router import Router
from partstream.gateway.table import BY_KEY
from partstream.gateway.tls import Certificates
from partstream.gateway.unsent import Unsent
from partstream.groups import patterns
from partstream.groups.classic_events import Limits
from partstream.groups.migration import Policy
from partstream.metrics.hooks import Observer
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_LOOK_S = 2.5
"""How often connections are looked at: whether anything moves."""
_STUCK_S = 5.0
"""So long a client may leave its answer where it is while others wait for room."""


class Gateway:
    """A gateway on one address or several, for one namespace."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        instance: str | None = None,
        shares_port: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """Take no address and connect to nothing yet.

        Args:
            config: see `GatewayConfig`.
            instance: what the processes behind one address have in common.
            shares_port: there are such processes.
            observer: hears of the connections to Redis.
        """
        self.config = config
        self.address = ("", 0)
        """Where the first listener is."""
        self.meter = Meter()
        """Counts what is served."""
        self._instance = instance
        self._shares_port = shares_port
        self._observer = observer
        self._listening: list[Listening] = []
        self._certificates: Certificates | None = None
        self._door = Door(
            most=config.max_connections, most_per_ip=config.max_connections_per_ip, meter=self.meter
        )
        self._connections: set[Connection] = set()
        self._ended = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._room = Room(config.queued_max_request_bytes)
        self._unsent = Unsent(config.queued_max_response_bytes)
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._broker: Broker | None = None
        self._router: Router | None = None
        self._chores: list[asyncio.Task[None]] = []

    @property
    def broker(self) -> Broker:
        """What handlers work with, once it was started."""
        if self._broker is None:
            raise RuntimeError("the gateway was not started")
        return self._broker

    @property
    def is_ready(self) -> bool:
        """Whether clients are served: it has started, does not end, and Redis answers."""
        broker = self._broker
        return (
            broker is not None
            and self._router is not None
            and not broker.draining.is_set()
            and broker.registry.is_heard
        )

    @property
    def says(self) -> str:
        """What it is, in a line."""
        me, (host, port) = self.broker.registry.me, self.address
        return f"node {me.id} serves Kafka on {host}:{port} as {me.host}:{me.port}"

    @property
    def live_nodes(self) -> int:
        """How many gateways live, as far as this one knows."""
        return 0 if self._broker is None else len(self._broker.registry.nodes)

    @property
    def held_bytes(self) -> int:
        """Bytes of requests that are held."""
        return self._room.held

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that are held."""
        return self._unsent.held

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
        self._door.limits = await addresses_of(config.connections_per_host)
        self._bind()
        connection = config.connection()
        if self._observer is not None:
            connection["observer"] = self._observer
        store = await Store.connect(**connection)
        self._closers.append(store.close)
        topics = Topics(store, max_age_ms=config.metadata_max_age_ms)
        self._closers.append(lambda: _close(topics))
        groups = ConsumerGroups(
            store,
            topics,
            max_size=config.group_consumer_max_size,
            max_metadata=config.offset_metadata_max_bytes,
            classic=_classic_limits(config),
            migration=Policy(config.group_consumer_migration_policy),
            assignment_interval_ms=config.group_consumer_assignment_interval_ms,
        )
        self._closers.append(groups.close)
        sweeper = Sweeper(
            store,
            topics,
            interval_ms=config.log_retention_check_interval_ms,
            producer_id_expiration_ms=config.producer_id_expiration_ms,
            expire_offsets=groups.expire_offsets,
        )
        sweeper.start()
        self._closers.append(sweeper.close)
        registry = Registry(
            store,
            wanted=config.node_id,
            addresses=self._told(),
            rack=config.broker_rack,
            interval_ms=config.broker_heartbeat_interval_ms,
            session_ms=config.broker_session_timeout_ms,
            most_replicas=config.default_replication_factor,
            instance=self._instance,
        )
        self._closers.append(registry.close)
        await registry.start()
        log = Log(store)
        epochs = Epochs(log)
        self._closers.append(epochs.close)
        self._broker = Broker(
            config, store, topics, log, groups, registry, epochs, BY_KEY, self.meter
        )
        self._router = Router(self._broker)
        for one in self._listening:
            certificates = self._certificates if one.listener.is_secure else None
            await one.start(self._connection, self._door, self.meter, certificates)
        self._chores.append(asyncio.create_task(self._end_idle(), name="idle connections"))
        if self._certificates is not None:
            watching = self._certificates.watch()
            self._chores.append(asyncio.create_task(watching, name="certificates"))
        for one in self._listening:
            name = one.listener.name
            _logger.info("node %d listens on %s:%d (%s)", registry.me.id, *one.address, name)

    def reload(self) -> None:
        """Load certificates again; connections that come get the new ones."""
        if self._certificates is not None:
            self._certificates.reload()

    async def drain(self) -> None:
        """Take no more requests, answer those that are there, and close."""
        for one in self._listening:
            one.stop()
        if self._broker is not None:
            self._broker.draining.set()
            # The others are told first: whoever is disconnected is not sent here again.
            await self._broker.registry.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(self.config.drain_timeout_ms / 1000):
                await self._empty.wait()
        except TimeoutError:
            _logger.warning("%d connections did not end in time", len(self._connections))
        await self.close()

    async def close(self) -> None:
        """End at once."""
        self._ended = True
        for one in self._listening:
            one.stop()
        for chore in self._chores:
            chore.cancel()
        for connection in tuple(self._connections):
            connection.abort()
        while self._closers:
            await self._closers.pop()()

    def _bind(self) -> None:
        listeners = self.config.listeners
        if any(listener.is_secure for listener in listeners):
            self._certificates = Certificates(self.config)
        for listener in listeners:
            one = Listening(listener, reuse_port=self._shares_port)
            self._listening.append(one)
            self._closers.append(one.close)
        self.address = self._listening[0].address

    def _told(self) -> dict[str, tuple[str, int]]:
        """The address of each listener that clients are told."""
        told = {}
        for one in self._listening:
            host, port = self.config.told[one.listener.name] or one.address
            told[one.listener.name] = (host, port or one.address[1])
        return told

    def _connection(self, listener: Listener, is_in: bool) -> Connection:
        if self._router is None:
            raise RuntimeError("the gateway was not started")
        return Connection(
            self._router.serve,
            max_frame=self.config.socket_request_max_bytes,
            room=self._room,
            unsent=self._unsent,
            opened=self._let_in if is_in else self._opened,
            closed=self._closed,
            listener=listener.name,
            secure=listener.is_secure,
        )

    def _opened(self, connection: Connection) -> bool:
        return self._door.enter(connection.peer, connection.listener) and self._let_in(connection)

    def _let_in(self, connection: Connection) -> bool:
        if self._ended:  # it was taken just before the listeners closed
            return False
        self._connections.add(connection)
        self._empty.clear()
        return True

    def _closed(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._door.leave(connection.peer, connection.listener)
        if not self._connections:
            self._empty.set()

    async def _end_idle(self) -> None:
        """Disconnect clients that neither ask nor take anything."""
        loop = asyncio.get_running_loop()
        allowed = self.config.connections_max_idle_ms / 1000
        while True:
            await asyncio.sleep(min(allowed / 4, _LOOK_S))
            now, is_short = loop.time(), self._unsent.is_short
            for connection in tuple(self._connections):
                quiet = connection.quiet_for(now)
                if quiet > allowed:
                    self._end(connection, "idle", "idle")
                elif is_short and quiet > _STUCK_S and connection.share.held:
                    why = "takes no answer, and others wait for the room that it takes"
                    self._end(connection, "stuck", why)

    def _end(self, connection: Connection, reason: str, why: str) -> None:
        level = logging.DEBUG if reason == "idle" else logging.WARNING
        _logger.log(level, "%s: %s; disconnected", connection.label, why)
        self.meter.problems[reason] += 1
        connection.abort()


def _classic_limits(config: GatewayConfig) -> Limits:
    return Limits(
        initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
        min_session_timeout_ms=config.group_min_session_timeout_ms,
        max_session_timeout_ms=config.group_max_session_timeout_ms,
        max_size=config.group_max_size,
    )


def use_re2() -> None:
    """Match topic names by RE2, as Kafka does: a pattern from the wire cannot run for long."""
    options = re2.Options()
    options.log_errors = False
    patterns.use(lambda pattern: re2.compile(pattern, options), re2.error)


async def _close(topics: Topics) -> None:
    topics.close()

"""The store: everything that the engine asks of Redis goes through one of these.

Commands are routed by slot, also to a single server, which holds them all.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from partstream.embedded.shared import Lease, acquire, is_embedded, release
from partstream.errors import (
    ClosedClient,
    OutcomeUnknown,
    PartstreamError,
    StoreUnavailable,
)
from partstream.metrics.hooks import SILENT, Observer
from partstream.store.admission import check_info, check_layout
from partstream.store.barrier import Barrier
from partstream.store.barriers import Barriers
from partstream.store.bells import Bells
from partstream.store.courses import Courses
from partstream.store.dial import Dialer, Greeting, greet, hang_up
from partstream.store.keys import Keys
from partstream.store.link import Link
from partstream.store.node import Node, reload_scripts
from partstream.store.replies import ASK, MOVED, PASSING, SCRIPT_MISSING, translate
from partstream.store.router import Placement, Router
from partstream.store.scripts import Script
from partstream.store.slots import slot_of
from partstream.store.target import Address, Target, parse_target, resolve_url
from partstream.store.wire import Argument

_logger = logging.getLogger(__name__)

_BACKOFF_S = 0.02
_BACKOFF_MAX_S = 0.5
_AT_ONCE = 4
"""So many redirections are followed without a pause."""


class Store:
    """One namespace of one Redis deployment."""

    def __init__(
        self,
        target: Target,
        *,
        namespace: str,
        client_id: str,
        request_timeout_ms: int,
        replica_lag_time_max_ms: int,
        observer: Observer = SILENT,
    ) -> None:
        self.observer = observer
        """Whom to tell of what is done with this store."""
        self.keys = Keys(namespace)
        self.namespace = namespace
        self.target = target
        self.request_timeout_ms = request_timeout_ms
        timeout = request_timeout_ms / 1000
        self._dialer = dialer = Dialer(
            target.options, client_id=client_id, timeout=min(timeout, 10.0)
        )
        self.router = Router(target, dialer, timeout=timeout, observer=observer)
        self.bells = Bells(self.router, dialer, observer)
        self.courses = Courses(self.router)
        """For those that send one command behind the other, and keep them in order."""
        self._barriers = Barriers(
            self.router,
            self.keys,
            max_lag_ms=replica_lag_time_max_ms,
            timeout_ms=min(request_timeout_ms // 2, 5_000),
            observer=observer,
        )
        self._lease: Lease | None = None
        self._behind: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def connect(
        cls,
        url: str | None = None,
        *,
        namespace: str = "ps",
        client_id: str = "partstream",
        request_timeout_ms: int = 30_000,
        replica_lag_time_max_ms: int = 10_000,
        options: dict[str, Any] | None = None,
        observer: Observer = SILENT,
    ) -> Store:
        """Connect, find out what answers there, and check the namespace's layout.

        Args:
            url: where Redis is; without it PARTSTREAM_URL, or redis://localhost:6379.
            namespace: the prefix of every key.
            request_timeout_ms: how long one call may take, retries included.
            replica_lag_time_max_ms: a replica silent for longer is not in sync (acks="all").
            options: redis-py connection keywords that win over the URL (password, ssl_...).
            observer: told of connections, retries and waits.

        Raises:
            ConfigError: the URL is malformed.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld: as they say.
            NewerLayout: the namespace belongs to a newer partstream.
        """
        resolved = resolve_url(url)
        lease = await asyncio.to_thread(acquire, resolved) if is_embedded(resolved) else None
        try:
            store = cls(
                parse_target(lease.url if lease else resolved, options),
                namespace=namespace,
                client_id=client_id,
                request_timeout_ms=request_timeout_ms,
                replica_lag_time_max_ms=replica_lag_time_max_ms,
                observer=observer,
            )
        except BaseException:
            if lease is not None:
                await asyncio.to_thread(release, lease)
            raise
        store._lease = lease
        try:
            await store.router.refresh()
            await check_layout(store)
            await check_info(store, is_cluster=store.router.is_cluster)
        except BaseException:
            await store.close()
            raise
        return store

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        idempotent: bool = False,
    ) -> Any:
        """Run a script on the node of its first key, and return its raw answer.

        Redirections and passing states of the server are waited for within request_timeout_ms. A
        call whose connection broke is made again only if it is `idempotent`.

        Raises:
            OutcomeUnknown: the connection broke before the answer.
            StoreUnavailable: no answer within request_timeout_ms.
            PartstreamError: whatever the script refused with.
        """
        return await self._call(
            keys[0], ("EVALSHA", script.sha, len(keys), *keys, *args), idempotent
        )

    async def execute(self, *command: Argument, key: str, idempotent: bool = True) -> Any:
        """Run one plain command on the node of `key`, as `run` does a script."""
        return await self._call(key, command, idempotent)

    def submit(self, slot: int, *command: Argument) -> asyncio.Future[Any] | None:
        """Send a command once to the primary of a slot, without waiting, and do not retry it.

        The future fails with redis-py's errors: `execute` says more of them, and does what they
        ask for. None when no link to the node is open yet.
        """
        link = self.router.node(slot).ready
        return None if link is None else link.submit(*command)

    async def mend(self, key: str, error: BaseException) -> PartstreamError:
        """Do what a failed command asks for (follow a move, load scripts) and translate it.

        Args:
            key: that of the command.
            error: as the future of `courses.submit` has it.
        """
        try:
            node = self.router.holder(key)
            await self._mend(node, error)
        except PartstreamError as failure:
            # That Redis is still away says nothing of what became of the command.
            return error if isinstance(error, OutcomeUnknown) else failure
        return _told(node, error)

    async def confirm(self, key: str, written: bytes = b"") -> None:
        """Wait until the replicas in sync have all that `key`'s node has answered so far.

        Args:
            written: what the script said of the history that it wrote, and of its replicas: then a
                failover between the answer and this call is noticed, and a server without replicas
                is not asked again.

        Raises:
            NotEnoughReplicasAfterAppend: they did not confirm in time; the write may be lost.
        """
        token, _, replicas = written.decode().partition(":")
        if replicas != "0":
            await self.barrier(key).confirm(token=token)

    def barrier(self, key: str) -> Barrier:
        """The replica barrier of the node that has a key.

        Raises:
            StoreUnavailable: no node holds the key's slot.
        """
        return self._barriers.of(key)

    def placement(self, key: str) -> Placement:
        """The node that holds a key, and its replicas."""
        return self.router.placement(slot_of(key))

    def whereabouts(self, slot: int) -> str:
        """A slot and its node, for the log: `slot 12 on 127.0.0.1:7000`."""
        try:
            return f"slot {slot} on {self.router.node(slot).address}"
        except StoreUnavailable:
            return f"slot {slot}, which no node holds"

    async def each_primary(self, *command: Argument) -> dict[str, Any]:
        """Run one command on every primary: address -> its answer, or the error it gave."""

        async def ask(node: Node) -> Any:
            try:
                return await (await node.link()).submit(*command)
            except (RedisError, PartstreamError) as error:
                return translate(error, str(node.address))

        nodes = self.router.primaries
        answers = await asyncio.gather(*(ask(node) for node in nodes))
        return {str(node.address): answer for node, answer in zip(nodes, answers, strict=True)}

    async def ask_once(self, address: Address, *command: Argument) -> tuple[Greeting, Any]:
        """Ask a server that may be no primary one thing, on a connection that is closed again.

        Raises:
            PartstreamError: it cannot be reached, or refuses.
        """
        connection = await self._dialer.dial(address)
        try:
            greeting = await greet(connection, address)
            await connection.send_command(*command)
            return greeting, await connection.read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            raise translate(error, str(address)) from error
        finally:
            await hang_up(connection)

    async def close(self) -> None:
        """Close every connection; an embedded server stops with its last user."""
        self._closed = True
        for task in self._behind:
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)
        await self.bells.close()
        await self._barriers.close()
        await self.router.close()
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await _release(lease)

    async def _call(self, key: str, command: tuple[Argument, ...], idempotent: bool) -> Any:
        slot = slot_of(key)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.request_timeout_ms / 1000
        delay, at_once = _BACKOFF_S, _AT_ONCE
        redirect: Node | None = None
        while True:
            node = redirect
            try:
                node = node or self.router.node(slot)
                link = node.ready or await self._open(node, deadline)
                submit = link.submit if redirect is None else link.submit_asking
                answer = await submit(*command)
            except (RedisError, PartstreamError) as error:
                redirect, failure = None, error
            else:
                self.router.found(key, redirect)
                return answer
            if self._closed and isinstance(failure, StoreUnavailable):
                raise ClosedClient("the store was closed meanwhile") from failure
            now = loop.time()
            retry = _is_passing(failure) or (isinstance(failure, OutcomeUnknown) and idempotent)
            if not retry or self._closed or now + delay > deadline:
                self._mend_behind(node, failure)
                raise _told(node, failure) from failure
            self.observer.request_retried(str(node.address) if node else "?", _name(failure))
            if isinstance(failure, ASK) and not isinstance(failure, MOVED) and node is not None:
                redirect = self.router.pointed_to(failure, node)
                self.router.found(key, redirect)  # so that it stays in use
            else:
                await self._mend_until(deadline, node, failure)
            # Two nodes that point at one another, or lose their scripts, would keep us spinning.
            at_once -= 1
            if at_once < 0 or not isinstance(failure, ASK | SCRIPT_MISSING):
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, _BACKOFF_MAX_S)

    async def _open(self, node: Node, deadline: float) -> Link:
        if self._closed:
            raise ClosedClient("the store is closed")
        try:
            async with asyncio.timeout_at(deadline):
                return await node.link()
        except TimeoutError:
            raise StoreUnavailable(
                f"Redis at {node.address} did not answer within {self.request_timeout_ms} ms"
            ) from None

    async def _mend_until(self, deadline: float, node: Node | None, error: BaseException) -> None:
        """Mend what can be mended by then; what can never work is raised."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._mend(node, error)
        except (TimeoutError, StoreUnavailable) as failure:
            _logger.debug("mending %s: %s", error, failure)

    def _mend_behind(self, node: Node | None, error: BaseException) -> None:
        """Mend for those who come later: this caller has no time left, or wants no retry."""
        if self._closed or not _needs_mending(error):
            return
        deadline = asyncio.get_running_loop().time() + self.request_timeout_ms / 1000
        task = asyncio.create_task(self._mend_until(deadline, node, error))
        self._behind.add(task)
        task.add_done_callback(self._mended)

    def _mended(self, task: asyncio.Task[None]) -> None:
        self._behind.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.debug("mending: %s", task.exception())

    async def _mend(self, node: Node | None, error: BaseException) -> None:
        """Do what a failure asks for: learn where slots are, load scripts."""
        if isinstance(error, MOVED) and node is not None:
            self.router.moved(error, node)
        elif isinstance(error, SCRIPT_MISSING) and node is not None:
            await reload_scripts(_ready(node))
        elif isinstance(error, (StoreUnavailable, *PASSING)):
            await self.router.refresh()


def _is_passing(error: BaseException) -> bool:
    """Whether the server did nothing, and the same command may be sent again."""
    if isinstance(error, OutcomeUnknown):
        return False
    return isinstance(error, (StoreUnavailable, ASK, SCRIPT_MISSING, *PASSING))  # MOVED is an ASK


def _needs_mending(error: BaseException) -> bool:
    return isinstance(error, (StoreUnavailable, MOVED, SCRIPT_MISSING, *PASSING))


def _told(node: Node | None, error: BaseException) -> PartstreamError:
    """What a caller is told of a failure."""
    if node is None:
        return translate(error, "cluster")
    if isinstance(error, MOVED):
        return StoreUnavailable(f"slot {error.slot_id} has moved away from {node.address}")
    if isinstance(error, ASK):
        there = Address(error.host or node.address.host, error.port)
        return StoreUnavailable(f"slot {error.slot_id} is half moved, to {there}")
    if isinstance(error, SCRIPT_MISSING):
        return StoreUnavailable(f"Redis at {node.address} had lost its scripts")
    return translate(error, f"Redis at {node.address}")


def _name(failure: BaseException) -> str:
    return "MOVED" if isinstance(failure, MOVED) else type(failure).__name__


async def _release(lease: Lease) -> None:
    try:
        released = asyncio.get_running_loop().run_in_executor(None, release, lease)
    except RuntimeError:  # the interpreter ends: there are no more threads, and nobody waits
        release(lease)
    else:
        await released


def _ready(node: Node) -> Link:
    link = node.ready
    if link is None:
        raise StoreUnavailable(f"the connection to Redis at {node.address} is lost")
    return link

"""The asyncio producer: records in, deliveries out."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import get_ident
from typing import Any, Self

from partstream.client.accumulator import Accumulator, Batch, Queue
from partstream.client.arguments import seconds
from partstream.client.context import AsyncContext
from partstream.client.delivery import Delivery
from partstream.client.line import Line
from partstream.client.route import Route, header_list
from partstream.client.session import Session, get_or_create
from partstream.config.build import load
from partstream.config.names import validate_topic_name
from partstream.config.producer import ProducerConfig
from partstream.engine.log import Log
from partstream.engine.partition import Topic
from partstream.engine.producers import new_producer_id
from partstream.errors import (
    BufferExhausted,
    ClientTimeout,
    ClosedClient,
    PartstreamError,
    UnknownTopicOrPartition,
)
from partstream.model import LogLoss
from partstream.store.slots import partition_slot
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_alive: weakref.WeakSet[Producer] = weakref.WeakSet()


def _forget_routes() -> None:
    """In a forked child: what would be put on a copied route would go nowhere."""
    for producer in _alive:
        producer.routes.clear()


os.register_at_fork(after_in_child=_forget_routes)


class Producer(AsyncContext):
    """Sends records to topics, in batches, each key in order.

    Use it as `async with Producer(url, acks="all") as producer`, or call `start()` and `close()`.
    Configs are those of `ProducerConfig`; one producer serves any number of topics and tasks.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Check the configs; nothing is connected before `start`.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.

        Raises:
            ConfigError: a key or value is not valid.
        """
        self.config = load(ProducerConfig, {"url": url, **config})
        self.producer_id = -1
        self.log: Log
        self.losses: list[LogLoss] = []
        """Acknowledged records that Redis lost, as far as this producer has noticed."""
        self._session = Session(self.config, "producer")
        self._accumulator = Accumulator(
            batch_size=self.config.batch_size,
            buffer_memory=self.config.buffer_memory,
            max_request_size=self.config.max_request_size,
            on_open=self._opened,
            on_full=self._filled,
        )
        self.routes: dict[str, Route] = {}
        """By topic. Another thread may put records on them, too; none are left on closing."""
        self._lines: dict[Queue, Line] = {}
        self._finding: dict[str, asyncio.Task[None]] = {}
        self._space = asyncio.Event()
        self._stale = asyncio.Event()
        self._closing = False
        self._ending = asyncio.Lock()
        self._unwatch: Callable[[], None] | None = None
        self._keeping_up: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._thread = 0

    @property
    def store(self) -> Store:
        """The open store, for the lines."""
        return self._session.store

    async def start(self) -> Self:
        """Connect, and get a producer id if the producer is idempotent.

        Raises:
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        if self._session.started:
            return self
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        await self._session.open()
        try:
            self.log = Log(self._session.store)
            if self.config.enable_idempotence:
                self.producer_id = await new_producer_id(self._session.store)
            self._unwatch = await self._session.topics.watch(self._stale.set)
        except BaseException:
            await self._session.drop()  # so that it may be tried again
            raise
        self._keeping_up = asyncio.create_task(self._keep_up(), name="producer's topics")
        _alive.add(self)
        return self

    async def send(
        self,
        topic: str,
        value: Any = None,
        *,
        key: Any = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Delivery:
        """Put a record on its way, and return a handle on its delivery once it is in the buffer.

        Args:
            topic: created if it does not exist and allow_auto_create_topics is on.
            value: bytes, or what value_serializer takes; None is a tombstone.
            key: bytes, or what key_serializer takes; records of one key keep their order.
            headers: pairs of name and bytes.
            partition: its number; by default the hash of the key decides, and without a key one
                partition a batch.
            timestamp_ms: milliseconds since 1970; by default now.

        Raises:
            SerializationError: key, value or headers have the wrong type.
            RecordTooLarge: it is larger than max_request_size or max.message.bytes.
            InvalidRecord: the topic is compacted, and the record has no key.
            UnknownTopicOrPartition, InvalidTopic: there is no such topic or partition.
            BufferExhausted: no room came free within max_block_ms.
            ClientTimeout: the topic could not be looked up within max_block_ms.
            ClosedClient: the producer is closed.
        """
        if headers is not None and type(headers) is not list:
            headers = header_list(headers)
        try:
            route = self.routes.get(topic)
        except TypeError:  # not even hashable; it is refused below
            route = None
        if route is not None:
            delivery = route.append(value, key, headers, partition, timestamp_ms)
            if delivery is not None:
                return delivery
        self._check_open()
        validate_topic_name(topic)
        deadline = self._loop.time() + self.config.max_block_ms / 1000
        while True:
            await self._prepare(topic, deadline)
            self._check_open()
            delivery = self.routes[topic].append(value, key, headers, partition, timestamp_ms)
            if delivery is not None:
                return delivery

    async def flush(self, timeout: float | None = None) -> None:
        """Send everything that was accepted so far, and wait until each record's fate is known.

        Deliveries that failed are not raised here; they raise where they are awaited.

        Args:
            timeout: seconds; None waits until delivery_timeout_ms decides, 0 only sends.

        Raises:
            ClientTimeout: something is still on its way after `timeout`.
        """
        self._session.check()
        within = seconds(timeout)
        unsettled = [line for line in self._lines.values() if line.is_unsettled]
        for line in unsettled:
            line.hurry()
        if not unsettled:
            return
        try:
            async with asyncio.timeout(within):
                await self._flush()
        except TimeoutError:
            raise ClientTimeout(f"records are still on their way after {timeout} s") from None

    async def partitions_for(self, topic: str) -> int:
        """How many partitions a topic has; it is created if that is allowed.

        Raises:
            UnknownTopicOrPartition, InvalidTopic: there is no such topic.
        """
        return len((await self.find(topic)).partitions)

    async def close(self, timeout: float | None = None) -> None:
        """Deliver what was accepted, then disconnect. Once closed, `send` raises ClosedClient.

        Args:
            timeout: seconds for the delivery; what is left then fails with ClosedClient. None
                waits until delivery_timeout_ms has decided on everything.
        """
        within = seconds(timeout)
        if not self._session.closed:
            self._session.check()  # a forked child leaves alone what it shares with its parent
        try:
            if not self._session.closed:
                self._take_no_more()
                with suppress(TimeoutError):
                    async with asyncio.timeout(within):
                        await self._flush()
        finally:
            async with self._ending:
                await self._shut_down()

    # What lines need (see line.Sending).

    async def refresh(self, name: str) -> Topic:
        """The topic as it is now, read again, and created if that is allowed."""
        try:
            topic = await self._session.topics.get(name, fresh=True)
        except UnknownTopicOrPartition:
            topic = await self.find(name)
        self._follow(topic)
        return topic

    def sealed(self, queue: Queue) -> None:
        """Records without a key go elsewhere now."""
        route = self.routes.get(queue.where.topic)
        if route is not None:
            route.batch_ended(queue)

    def settled(self, batch: Batch) -> None:
        """Give the batch's memory back, and let whoever waits for it try again."""
        self._accumulator.release(batch)
        self._space.set()

    def lost(self, loss: LogLoss) -> None:
        """Report acknowledged records that are gone."""
        _logger.warning(
            "%s-%d (%s) has lost acknowledged records: offsets %d to %d of epoch %d are gone",
            loss.topic,
            loss.partition,
            self.store.whereabouts(partition_slot(loss.topic, loss.partition)),
            loss.first_offset,
            loss.next_offset - 1,
            loss.leader_epoch,
        )
        self.losses.append(loss)
        self.store.observer.records_lost(loss.topic, loss.next_offset - loss.first_offset)
        if self.config.on_log_loss is not None:
            try:
                self.config.on_log_loss(loss)
            except Exception:  # the user's code must not stop the line
                _logger.exception("on_log_loss failed")

    # Routes and lines.

    async def _prepare(self, topic: str, deadline: float) -> None:
        """Wait for what a record lacks: its topic's route, or room in the buffer."""
        if topic in self.routes:
            await self._wait_for_space(deadline)
            return
        task = self._finding.get(topic)
        if task is None:
            task = self._finding[topic] = asyncio.create_task(self._open_route(topic))
            task.add_done_callback(lambda done: self._found(topic, done))
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.wait([task])
        except TimeoutError:
            raise ClientTimeout(
                f"topic {topic!r} could not be looked up within max_block_ms="
                f"{self.config.max_block_ms}"
            ) from None
        self._check_open()
        task.result()

    async def _wait_for_space(self, deadline: float) -> None:
        self._space.clear()
        if not any(line.moving for line in self._lines.values()):
            # All of the buffer is in batches that wait for more records.
            for line in self._lines.values():
                line.hurry()
        try:
            async with asyncio.timeout_at(deadline):
                await self._space.wait()
        except TimeoutError:
            raise BufferExhausted(
                f"no room in the buffer of {self.config.buffer_memory} bytes within "
                f"max_block_ms={self.config.max_block_ms}"
            ) from None

    async def find(self, name: str) -> Topic:
        """The topic, created if it is not there and that is allowed."""
        return await get_or_create(self._session.topics, name, self.config)

    async def _open_route(self, name: str) -> None:
        topic = await self.find(name)
        if not self._closing:
            route = Route(topic, self.config, self._accumulator)
            self._open_lines(route, topic)
            self.routes[name] = route

    def _found(self, name: str, done: asyncio.Task[None]) -> None:
        del self._finding[name]
        if not done.cancelled():
            done.exception()  # whoever asked may have given up since

    def _open_lines(self, route: Route, topic: Topic) -> None:
        for queue, partition in zip(route.queues, topic.partitions, strict=True):
            if queue in self._lines:
                self._lines[queue].follow(topic)
            else:
                self._lines[queue] = Line(self, topic, partition, queue)

    def _follow(self, topic: Topic) -> None:
        route = self.routes.get(topic.name)
        if route is not None:
            route.follow(topic)
            self._open_lines(route, topic)

    async def _keep_up(self) -> None:
        """Follow topics that grow, are made again or change their configs."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.config.metadata_max_age_ms / 1000):
                    await self._stale.wait()
            self._stale.clear()
            for name in tuple(self.routes):
                try:
                    self._follow(await self._session.topics.get(name))
                except PartstreamError as error:
                    _logger.debug("topic %s: %s", name, error)

    def _opened(self, queue: Queue) -> None:
        self._soon(self._lines[queue].opened)

    def _filled(self, queue: Queue) -> None:
        self.sealed(queue)
        self._soon(self._lines[queue].filled)

    def _soon(self, step: Callable[[], None]) -> None:
        """Have the loop do something; called from the thread that sends."""
        try:
            if get_ident() == self._thread:
                # Saves the write to the loop's own pipe that wakes it from another thread.
                self._loop.call_soon(step)
            else:
                self._loop.call_soon_threadsafe(step)
        except RuntimeError:
            raise ClosedClient("this producer is closed") from None

    def _check_open(self) -> None:
        if self._closing:
            raise ClosedClient("this producer is closed")
        _ = self._session.store

    async def _flush(self) -> None:
        await asyncio.gather(*(line.finish() for line in self._lines.values()))

    def _take_no_more(self) -> None:
        self._closing = True
        self.routes.clear()
        for line in self._lines.values():
            line.queue.begin_no_more()
        self._space.set()

    async def _shut_down(self) -> None:
        if self._session.closed:
            return
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        tasks = [*self._finding.values(), *filter(None, [self._keeping_up])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closed = ClosedClient("the producer was closed before the record was delivered")
        undelivered = sum([await line.abandon(closed) for line in self._lines.values()])
        if undelivered:
            _logger.warning("the producer was closed; records not delivered: %d", undelivered)
        self._space.set()
        await self._session.close()

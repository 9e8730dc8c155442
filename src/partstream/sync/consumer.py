"""The blocking consumer: the asyncio one on a loop thread, asked once a batch."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from partstream.client.arguments import check_callback, seconds
from partstream.client.committer import Callback, Named
from partstream.client.consumer import Consumer as AsyncConsumer
from partstream.client.context import Context
from partstream.client.listener import RebalanceListener, check_listener
from partstream.config.consumer import ConsumerConfig
from partstream.errors import IllegalState, PartstreamError
from partstream.model import OffsetAndMetadata, Record, TopicPartition
from partstream.sync.errands import Errands
from partstream.sync.portal import Portal

Call = ParamSpec("Call")
Answer = TypeVar("Answer")

_CLOSE_S = 30.0
_ONE_AT_A_TIME = "another thread is using this consumer; only one may at a time"


def _twin(
    method: Callable[Concatenate[AsyncConsumer, Call], Coroutine[Any, Any, Answer]],
) -> Callable[Concatenate[Consumer, Call], Answer]:
    """The blocking form of a call: same arguments, same docstring, same errors."""

    @functools.wraps(method)
    def blocking(consumer: Consumer, /, *args: Call.args, **kwargs: Call.kwargs) -> Answer:
        return consumer._call(method(consumer._consumer, *args, **kwargs))

    return blocking


def _hop(
    method: Callable[Concatenate[AsyncConsumer, Call], Answer],
) -> Callable[Concatenate[Consumer, Call], Answer]:
    """The same for a call that does not wait, but belongs on the loop's thread."""

    @functools.wraps(method)
    def blocking(consumer: Consumer, /, *args: Call.args, **kwargs: Call.kwargs) -> Answer:
        return consumer._ask(functools.partial(method, consumer._consumer, *args, **kwargs))

    return blocking


class Consumer(Context):
    """Reads records of topics, each partition in its order.

    It connects when it is made. Use it in a `with` statement, or call `close()`. Then
    `consumer.subscribe(["orders"])` to share the topics with the other members of the group, or
    `consumer.assign(...)` to read partitions of one's own choice; and `for record in consumer`, or
    `consumer.poll()` for lists of records.

    One thread at a time may use it, as in Kafka: a call while another thread's is under way raises
    IllegalState, except for `wakeup` and `close`. Listeners, and callbacks of `commit_async`, are
    called on the user's thread, within `poll`, iteration, `commit` or `close`, and may call the
    consumer, but not poll. Deserializers are called on the consumer's own thread.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Connect.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.
            config: see `ConsumerConfig`.

        Raises:
            ConfigError: a key or value is not valid.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        self._consumer = AsyncConsumer(url, **config)
        self._portal = Portal.under(self, "partstream consumer", self._consumer.start)
        self._errands = Errands(self._portal)
        self._turn = threading.RLock()

    @property
    def config(self) -> ConsumerConfig:
        """The configs that are in force."""
        return self._consumer.config

    def subscribe(
        self,
        topics: Iterable[str] | str = (),
        *,
        pattern: str | None = None,
        listener: RebalanceListener | None = None,
    ) -> None:
        """Share topics with the other members of the group, in place of those before.

        Arguments and errors are those of `partstream.aio.Consumer.subscribe`; the listener's
        methods must not be `async def`.
        """
        check_listener(listener)
        bridge = None if listener is None else _Bridge(listener, self._errands)
        self._call(self._consumer.subscribe(topics, pattern=pattern, listener=bridge))

    def poll(self, max_records: int | None = None, timeout: float | None = 0.0) -> list[Record]:
        """The next records; an empty list if there are none within `timeout` seconds.

        Arguments and errors are those of `partstream.aio.Consumer.poll`.
        """
        opened = self._consumer.opened
        most = self.config.max_poll_records if max_records is None else max_records
        self._fill(most, seconds(timeout))
        # Handed out on this thread: an interrupt before this line loses no record.
        return opened.poller.take_all()

    def __iter__(self) -> Iterator[Record]:
        """Records without end; the position is behind the last one that was given."""
        poller = self._consumer.opened.poller
        while True:
            # First of all, too: an iteration that was left gives back what it had.
            self._fill(self.config.max_poll_records, None)
            while (run := poller.next_run()) is not None:
                yield from run

    def commit_async(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Commit without waiting for it to be done.

        Arguments and errors are those of `partstream.aio.Consumer.commit_async`.
        """

        check_callback(callback, "callback")

        def leave(named: Named, error: PartstreamError | None) -> None:
            assert callback is not None
            self._errands.leave(functools.partial(callback, named, error))

        self._call(self._consumer.commit_async(offsets, None if callback is None else leave))

    def wakeup(self) -> None:
        """Have the poll that is waiting, or else the next one, raise Wakeup. For other threads."""
        self._portal.ask(self._consumer.wakeup)

    def close(self, timeout: float | None = _CLOSE_S) -> None:
        """Commit (with enable_auto_commit), leave the group and disconnect.

        A poll that waits in another thread ends with ClosedClient. Static members (with a
        group_instance_id) keep their partitions for session_timeout_ms, so that they may restart.

        Args:
            timeout: seconds for the good-byes; after that it just disconnects.
        """
        self._close(self._consumer.close(seconds(timeout)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close(self._consumer.close_after(error))

    unsubscribe = _twin(AsyncConsumer.unsubscribe)
    assign = _twin(AsyncConsumer.assign)
    subscription = _hop(AsyncConsumer.subscription)
    assignment = _hop(AsyncConsumer.assignment)
    partitions_for = _twin(AsyncConsumer.partitions_for)
    position = _twin(AsyncConsumer.position)
    seek = _hop(AsyncConsumer.seek)
    seek_to_beginning = _hop(AsyncConsumer.seek_to_beginning)
    seek_to_end = _hop(AsyncConsumer.seek_to_end)
    seek_to_timestamp = _twin(AsyncConsumer.seek_to_timestamp)
    pause = _hop(AsyncConsumer.pause)
    resume = _hop(AsyncConsumer.resume)
    paused = _hop(AsyncConsumer.paused)
    commit = _twin(AsyncConsumer.commit)
    committed = _twin(AsyncConsumer.committed)
    beginning_offsets = _twin(AsyncConsumer.beginning_offsets)
    end_offsets = _twin(AsyncConsumer.end_offsets)
    offsets_for_times = _twin(AsyncConsumer.offsets_for_times)
    lag = _twin(AsyncConsumer.lag)

    def _call(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        if not self._turn.acquire(blocking=False):
            work.close()
            raise IllegalState(_ONE_AT_A_TIME)
        try:
            return self._errands.call(work)
        finally:
            self._turn.release()

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        if not self._turn.acquire(blocking=False):
            raise IllegalState(_ONE_AT_A_TIME)
        try:
            self._errands.catch_up()
            return self._portal.ask(question)
        finally:
            self._turn.release()

    def _fill(self, most: int, timeout: float | None) -> None:
        opened = self._consumer.opened
        if self._ask(functools.partial(opened.fill_at_once, most)):
            return
        try:
            self._call(opened.fill(most, timeout))
        except (KeyboardInterrupt, SystemExit):
            # It is cancelled, but on the other thread: once it has ended, the consumer is usable.
            self._portal.call(opened.poller.idle())
            raise

    def _close(self, work: Coroutine[Any, Any, None]) -> None:
        if not self._portal.running:
            work.close()
            return
        try:
            self._errands.call(work)
            self._errands.catch_up()
        finally:
            self._portal.close()


class _Bridge(RebalanceListener):
    """A user's listener, called on the user's thread."""

    def __init__(self, listener: RebalanceListener, errands: Errands) -> None:
        self._listener = listener
        self._errands = errands

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Pass it on."""
        await self._tell(self._listener.on_partitions_assigned, partitions)

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Pass it on."""
        await self._tell(self._listener.on_partitions_revoked, partitions)

    async def on_partitions_lost(self, partitions: frozenset[TopicPartition]) -> None:
        """Pass it on."""
        await self._tell(self._listener.on_partitions_lost, partitions)

    async def _tell(
        self,
        method: Callable[[frozenset[TopicPartition]], object],
        partitions: frozenset[TopicPartition],
    ) -> None:
        answer = await self._errands.run(functools.partial(method, partitions))
        if inspect.iscoroutine(answer):
            answer.close()
            raise IllegalState(f"{method.__qualname__} is async: use it with partstream.aio")

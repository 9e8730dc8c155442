"""One partition's line: its batches go out in order, a few unanswered at a time, and stay in order.

The first failure stops the line. When everything that was sent is answered, it recovers: what
failed goes to the front again, or is given up. A batch whose answer was lost may be in the log; its
sequence tells (KIP-98). A sequence that does not fit any more, because an earlier batch was given
up or because the log has lost what it had acknowledged, begins anew under the next producer epoch
(KIP-360): by then it is certain that nothing behind the gap is in the log.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from partstream import errors
from partstream.client.accumulator import Batch, Queue
from partstream.client.delivery import Outcome, Placed
from partstream.config.producer import ProducerConfig
from partstream.engine.log import BEGIN, GO_ON, Appended, Log, appended
from partstream.engine.partition import Partition, Topic
from partstream.engine.producers import new_producer_id
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_SEQUENCES = 2**31
"""Sequences are int32 and wrap; producer epochs are int16 and do not."""
_LAST_EPOCH = 2**15 - 2

_BROKEN_SEQUENCE = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
)


@dataclass(frozen=True, slots=True)
class LogLoss:
    """Records that had been acknowledged, and that a failover or a crash of Redis took back."""

    topic: str
    partition: int
    first_offset: int
    """The first one lost."""
    next_offset: int
    """The one after the last that this producer knows of."""
    leader_epoch: int
    """The epoch in which they had been written."""


class Sending(Protocol):
    """What a line needs of its producer."""

    config: ProducerConfig
    log: Log
    producer_id: int
    """-1 without idempotence."""

    @property
    def store(self) -> Store:
        """The open store."""

    async def find(self, name: str) -> Topic:
        """The topic as it is now, created if that is allowed."""

    def settled(self, batch: Batch) -> None:
        """Told of every batch that needs no memory any more."""

    def lost(self, loss: LogLoss) -> None:
        """Told of acknowledged records that are gone."""


class Line:
    """The batches of one partition, on their way. Lives on the client's loop."""

    def __init__(self, sending: Sending, topic: Topic, partition: Partition, queue: Queue) -> None:
        self.queue = queue
        self._sending = sending
        self._config = sending.config
        self._loop = asyncio.get_running_loop()
        self._adopt(topic, partition)
        self._in_flight: list[Batch] = []
        self._failed: list[tuple[Batch, BaseException]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._most_in_flight = self._config.max_in_flight_requests_per_connection
        self._window = self._most_in_flight
        self._failures = 0
        self._sent = 0
        self._producer_id = sending.producer_id
        self._producer_epoch = 0
        self._next_sequence = 0
        self._last_epoch = -1
        self._last_end = 0

    def opened(self) -> None:
        """The queue has a new open batch: it goes when linger_ms is over."""
        if self._config.linger_ms == 0:
            self.hurry()
        elif self._timer is None and not self._due:
            self._timer = self._loop.call_later(self._config.linger_ms / 1000, self._linger_over)

    def hurry(self) -> None:
        """Send what there is, full or not."""
        self._due = True
        self.pump()

    def pump(self) -> None:
        """Send what is ready, as far as order and the number in flight allow."""
        while not self._failed and not self._recovering and len(self._in_flight) < self._window:
            if not self.queue.ready:
                if not self._due:
                    return
                # Sealed no sooner than it can go: until then it may still grow.
                self._due = False
                if not self.queue.seal():
                    return
            self._send(self.queue.ready.popleft())

    def unfinished(self) -> list[Outcome]:
        """What will be known of every record that was accepted and not settled yet."""
        with self.queue.lock:
            batches = [*(batch for batch, _ in self._failed), *self._in_flight, *self.queue.ready]
            if self.queue.open is not None:
                batches.append(self.queue.open)
        return [batch.outcome for batch in batches]

    def abandon(self, error: errors.PartstreamError) -> None:
        """Give up everything that is not acknowledged."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self.queue.seal()
        batches = [*(batch for batch, _ in self._failed), *self._in_flight, *self.queue.ready]
        self._failed.clear()
        self._in_flight.clear()
        self.queue.ready.clear()
        for batch in batches:
            self._give_up(batch, error)

    def _linger_over(self) -> None:
        self._timer = None
        self.hurry()

    def _adopt(self, topic: Topic, partition: Partition) -> None:
        self._partition = partition
        self._least_replicas = (
            topic.config.min_insync_replicas - 1 if self._config.acks == "all" else 0
        )
        self._fsync = topic.config.flush_messages == 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"producer line of {self._partition}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Sending, and the answers.

    def _send(self, batch: Batch) -> None:
        try:
            if not batch.payload:
                self._number(batch)
            answer = self._sending.log.submit(
                self._partition,
                batch.payload,
                GO_ON if batch.sequence else BEGIN,
                least_replicas=self._least_replicas,
            )
        except errors.PartstreamError as error:
            self._fail(batch, error)
            return
        if answer is None:
            self._fail(batch, errors.StoreUnavailable("no connection is open yet"))
            return
        batch.attempts += 1
        self._in_flight.append(batch)
        if self._config.acks == 0:
            batch.outcome.future.set_result(Placed(-1, -1))
        answer.add_done_callback(lambda done: self._answered(batch, done))

    def _number(self, batch: Batch) -> None:
        if self._producer_id < 0:
            batch.encode(-1, -1, -1)
        else:
            batch.encode(self._producer_id, self._producer_epoch, self._next_sequence)
            self._next_sequence = (self._next_sequence + batch.count) % _SEQUENCES
        self._sent += 1
        batch.number = self._sent

    def _answered(self, batch: Batch, answer: asyncio.Future[list[Any]]) -> None:
        if answer.cancelled() or batch not in self._in_flight:
            return
        error = answer.exception()
        if error is not None:
            self._in_flight.remove(batch)
            self._fail(batch, error)
            return
        result = appended(answer.result())
        if self._config.acks == "all" and (result.replicas or self._least_replicas or self._fsync):
            self._spawn(self._confirm(batch, result))
        else:
            self._succeed(batch, result)

    async def _confirm(self, batch: Batch, result: Appended) -> None:
        """Wait until the replicas in sync have the batch, too."""
        try:
            await self._sending.store.barrier(self._partition.slot).confirm(
                token=result.token, least_replicas=self._least_replicas, fsync=self._fsync
            )
        except errors.PartstreamError as error:
            if batch in self._in_flight:
                self._in_flight.remove(batch)
                self._fail(batch, error)
            return
        if batch in self._in_flight:
            self._succeed(batch, result)

    def _succeed(self, batch: Batch, result: Appended) -> None:
        self._in_flight.remove(batch)
        self._failures = 0
        self._window = self._most_in_flight
        if self._last_epoch not in (-1, result.leader_epoch):
            self._spawn(self._look_for_loss(self._last_epoch, self._last_end))
        self._last_epoch = result.leader_epoch
        self._last_end = result.base_offset + batch.count
        if self._config.acks != 0:
            batch.outcome.future.set_result(Placed(result.base_offset, result.append_time))
        self._sending.settled(batch)
        self._go_on()

    def _fail(self, batch: Batch, error: BaseException) -> None:
        if self._config.acks == 0 and batch.outcome.future.done():
            _logger.debug("a batch to %s was lost, acks=0: %s", self._partition, error)
            self._sending.settled(batch)
        else:
            self._failed.append((batch, error))
        self._go_on()

    def _go_on(self) -> None:
        if not self._failed:
            self.pump()
        elif not self._in_flight and not self._recovering:
            self._recovering = True
            self._spawn(self._recover())

    def _give_up(self, batch: Batch, error: errors.PartstreamError) -> None:
        if not batch.outcome.future.done():
            batch.outcome.future.set_exception(error)
        self._sending.settled(batch)

    # Recovery: nothing is in flight.

    async def _recover(self) -> None:
        failed = sorted(self._failed, key=lambda pair: pair[0].number)
        batches = [batch for batch, _ in failed]
        head, raw = failed[0]
        # Only the first failure has a cause of its own; the others may have followed from it.
        error = await self._sending.store.mend(self._partition.slot, raw)
        _logger.debug("%s: %d batches failed, first: %s", self._partition, len(batches), error)
        try:
            if isinstance(error, _BROKEN_SEQUENCE):
                await self._begin_anew(batches, error)
            elif isinstance(error, (errors.UnknownTopicId, errors.UnknownTopicOrPartition)):
                await self._follow_topic(batches)
            elif not error.retriable or head.attempts > self._config.retries:
                self._give_up(batches.pop(0), error)
            else:
                await self._wait(error)
        except errors.PartstreamError as failure:
            error = failure
            if failure.retriable:
                await self._wait(failure)
            else:
                self._give_up(batches.pop(0), failure)
        self._failed.clear()
        self._requeue(batches, error)
        self._recovering = False
        self._window = 1
        self.pump()

    async def _wait(self, error: errors.PartstreamError) -> None:
        """Back off, and make sure that there is a connection to send on."""
        self._failures += 1
        delay = min(
            self._config.retry_backoff_ms * 2 ** min(self._failures - 1, 10),
            self._config.retry_backoff_max_ms,
        )
        await asyncio.sleep(delay / 1000 * random.uniform(0.8, 1.2))
        try:
            await self._sending.store.ready(self._partition.slot)
        except errors.PartstreamError as unreachable:
            _logger.debug("%s: %s, then %s", self._partition, error, unreachable)

    def _requeue(self, batches: list[Batch], error: errors.PartstreamError) -> None:
        """Put what failed in front, without what is too old; nor is anything behind it younger."""
        timeout = self._config.delivery_timeout_ms / 1000
        oldest = time.monotonic() - timeout
        waiting = deque(batches)
        with self.queue.lock:
            waiting.extend(self.queue.ready)
            self.queue.ready.clear()
            while waiting and waiting[0].created < oldest:
                self._give_up(
                    waiting.popleft(),
                    errors.DeliveryTimeout(
                        f"not delivered to {self._partition} within delivery_timeout_ms="
                        f"{self._config.delivery_timeout_ms}: {error}"
                    ),
                )
            self.queue.ready.extend(waiting)

    async def _begin_anew(self, batches: list[Batch], error: errors.PartstreamError) -> None:
        """Number what has failed from 0 under the next epoch: the log has none of it."""
        await self._look_for_loss(self._last_epoch, self._last_end)
        self._last_epoch = -1
        if self._producer_epoch >= _LAST_EPOCH or isinstance(error, errors.InvalidProducerEpoch):
            self._producer_id = await new_producer_id(self._sending.store)
            self._producer_epoch = 0
        else:
            self._producer_epoch += 1
        self._next_sequence = 0
        for batch in batches:
            self._number(batch)

    async def _follow_topic(self, batches: list[Batch]) -> None:
        """The topic is another one now, or will be."""
        topic = await self._sending.find(self._partition.topic)
        if topic.id == self._partition.topic_id:
            raise errors.UnknownTopicOrPartition(f"{self._partition} has lost its keys")
        self._adopt(topic, topic.partition(self._partition.index))
        self._last_epoch = -1
        if self._producer_id >= 0:
            self._producer_epoch += 1
            self._next_sequence = 0
            for batch in batches:
                self._number(batch)

    async def _look_for_loss(self, epoch: int, end: int) -> None:
        """Compare what was acknowledged with what the log says of that epoch (KIP-320)."""
        if epoch < 0:
            return
        try:
            found = await self._sending.log.epoch_end(self._partition, epoch)
        except errors.UnknownTopicId:
            return
        if found.end_offset < end:
            self._sending.lost(
                LogLoss(
                    topic=self._partition.topic,
                    partition=self._partition.index,
                    first_offset=max(found.end_offset, 0),
                    next_offset=end,
                    leader_epoch=epoch,
                )
            )

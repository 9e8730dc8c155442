"""One partition's line: its batches go out in order, a few unanswered at a time, and stay in order.

The first failure stops the line. When everything that was sent is answered, it recovers: what
failed goes to the front again, or is given up. A batch whose answer was lost may be in the log; its
sequence tells (KIP-98). A sequence that does not fit any more, because an earlier batch was given
up or because the log has lost what it had acknowledged, begins anew under the next producer epoch
(KIP-360): by then it is certain that nothing behind the gap is in the log.

A batch whose time is over fails at that time, wherever it is. If it is under way, it keeps its
place in the line until its answer comes, since what follows has to follow.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any

from partstream import errors
from partstream.client.accumulator import Batch, Queue
from partstream.client.delivery import Placed
from partstream.client.losses import Acknowledged, find_cut, find_loss
from partstream.client.numbering import Numbering
from partstream.client.sending import Sending
from partstream.engine.log import BEGIN, GO_ON, Appended, appended
from partstream.engine.partition import Partition, Topic
from partstream.engine.producers import new_producer_id
from partstream.records.codec import oldest_timestamp

_logger = logging.getLogger(__name__)

_BROKEN_SEQUENCE = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
)
_GONE = (errors.UnknownTopicId, errors.UnknownTopicOrPartition)


class Line:
    """The batches of one partition, on their way. Lives on the client's loop."""

    def __init__(self, sending: Sending, topic: Topic, partition: Partition, queue: Queue) -> None:
        self.queue = queue
        self._sending = sending
        self._config = sending.config
        self._loop = asyncio.get_running_loop()
        self._in_flight: list[Batch] = []
        self._failed: list[tuple[Batch, BaseException]] = []
        self._answers: set[asyncio.Future[list[Any]]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering = False
        self._linger: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._due = False
        self._most_in_flight = self._config.max_in_flight_requests_per_connection
        self._window = self._most_in_flight
        self._failures = 0
        self._trouble: BaseException | None = None
        self._numbering = Numbering(sending.producer_id)
        self._acknowledged: Acknowledged | None = None
        self._partition = partition
        self.follow(topic)

    def follow(self, topic: Topic) -> None:
        """Take in what the topic's configs ask of an acknowledgement."""
        self._least_replicas = (
            topic.config.min_insync_replicas - 1 if self._config.acks == "all" else 0
        )
        self._fsync = topic.config.flush_messages == 1
        self._bounds_age = topic.config.bounds_age

    def opened(self) -> None:
        """The queue has a new open batch: it goes when linger_ms is over."""
        if self._expiry is None:
            self._expiry = self._loop.call_later(
                self._config.delivery_timeout_ms / 1000, self._expire
            )
        if self._config.linger_ms == 0:
            self.hurry()
        elif self._linger is None and not self._due:
            self._linger = self._loop.call_later(self._config.linger_ms / 1000, self._linger_over)

    def filled(self) -> None:
        """The queue's open batch was full, and it has a new one."""
        self.opened()
        self.pump()

    def hurry(self) -> None:
        """Send what there is, full or not."""
        self._due = True
        self.pump()

    def pump(self) -> None:
        """Send what is ready, as far as order and the number in flight allow."""
        while not self._failed and not self._recovering and self._has_room():
            if not self.queue.ready:
                if not self._due:
                    return
                # Sealed no sooner than it can go: until then it may still grow.
                self._due = False
                if not self.queue.seal():
                    return
                self._sending.sealed(self.queue)
            self._send(self.queue.ready.popleft())

    def _has_room(self) -> bool:
        """Whether another batch may go out.

        What replicas confirm out of order counts until all before it is confirmed, too: the log
        remembers the producer's last five batches, and one behind those could not be sent again.
        """
        if len(self._in_flight) >= self._window or not self._in_flight:
            return not self._in_flight
        ready = self.queue.ready
        following = ready[0].number if ready and ready[0].number else self._numbering.following
        return following - self._in_flight[0].number < self._window

    @property
    def moving(self) -> bool:
        """Whether something is on its way already, whose memory will come free."""
        return bool(self._in_flight or self._failed or self.queue.ready)

    @property
    def is_unsettled(self) -> bool:
        """Whether `finish` would have something to wait for."""
        return bool(self._answers) or any(not one.outcome.done() for one in self._batches())

    async def finish(self) -> None:
        """Return when all is settled that was accepted until now."""
        outcomes = [asyncio.wrap_future(batch.outcome.future) for batch in self._batches()]
        self.hurry()
        await asyncio.gather(*outcomes, return_exceptions=True)
        # With acks=0 the outcome is known before the batch has left.
        await asyncio.gather(*self._answers, return_exceptions=True)

    async def abandon(self, error: errors.PartstreamError) -> int:
        """Give up what is not acknowledged, and take nothing more; says how many records it was."""
        for timer in (self._linger, self._expiry):
            if timer is not None:
                timer.cancel()
        self.queue.close()
        self._recovering = True  # for good: nothing is sent any more
        batches = self._batches()
        self._failed.clear()
        self._in_flight.clear()
        self.queue.ready.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        undelivered = sum(batch.count for batch in batches if not batch.outcome.done())
        for batch in batches:
            self._give_up(batch, error)
        return undelivered

    def _batches(self) -> list[Batch]:
        """Everything that was accepted and is not settled."""
        with self.queue.lock:
            batches = [*(batch for batch, _ in self._failed), *self._in_flight, *self.queue.ready]
            if self.queue.open is not None:
                batches.append(self.queue.open)
        return batches

    def _linger_over(self) -> None:
        self._linger = None
        self.hurry()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"producer line of {self._partition}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Sending, and the answers.

    def _send(self, batch: Batch) -> None:
        try:
            if not batch.payload:
                self._numbering.number(batch)
            answer = self._sending.log.submit(
                self._partition,
                batch.payload,
                GO_ON if batch.sequence else BEGIN,
                least_replicas=self._least_replicas,
                oldest=oldest_timestamp(batch.payload) if self._bounds_age else None,
            )
        except errors.PartstreamError as error:
            self._fail(batch, error)
            return
        except Exception as error:  # noqa: BLE001 (a codec's own, or no memory)
            failure = errors.PartstreamError(
                f"a batch for {self._partition} cannot be encoded: {error!r}"
            )
            failure.__cause__ = error
            self._fail(batch, failure)
            return
        if answer is None:
            self._fail(batch, errors.StoreUnavailable("no connection is open"))
            return
        if not batch.attempts:
            batch.sent = time.monotonic()
        batch.attempts += 1
        self._in_flight.append(batch)
        if self._config.acks == 0:
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)
            batch.outcome.succeed(Placed(-1, -1))
        answer.add_done_callback(lambda done: self._answered(batch, done))

    def _answered(self, batch: Batch, answer: asyncio.Future[list[Any]]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if batch not in self._in_flight:
            return  # it was abandoned
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
        failure: errors.PartstreamError | None = None
        try:
            await self._sending.log.barrier(self._partition).confirm(
                token=result.token, least_replicas=self._least_replicas, fsync=self._fsync
            )
        except errors.PartstreamError as error:
            failure = error
        if batch not in self._in_flight:
            return
        if failure is None:
            self._succeed(batch, result)
        else:
            self._in_flight.remove(batch)
            self._fail(batch, failure)

    def _succeed(self, batch: Batch, result: Appended) -> None:
        self._in_flight.remove(batch)
        self._failures = 0
        self._trouble = None
        self._window = self._most_in_flight
        if self._config.acks != 0:
            self._note(result, batch.count)
            batch.outcome.succeed(Placed(result.base_offset, result.append_time))
        self._sending.store.observer.batch_delivered(
            self._partition.topic,
            records=batch.count,
            size=len(batch.payload),
            waited=batch.sent - batch.created,
            took=time.monotonic() - batch.sent,
        )
        self._sending.settled(batch)
        self._go_on()

    def _note(self, result: Appended, count: int) -> None:
        """Remember what was acknowledged, and look for losses if the leader epoch has changed."""
        known, end = self._acknowledged, result.base_offset + count
        if known is not None and known.epoch == result.leader_epoch:
            self._acknowledged = known._replace(end=max(known.end, end))
            return
        self._acknowledged = Acknowledged(result.leader_epoch, result.base_offset, end)
        if known is not None:
            self._spawn(self._look_for_loss(known, result.leader_epoch))

    def _fail(self, batch: Batch, error: BaseException) -> None:
        self._failed.append((batch, error))
        self._go_on()

    def _go_on(self) -> None:
        if not self._failed:
            self.pump()
        elif not self._in_flight and not self._recovering:
            self._recovering = True
            self._spawn(self._recover())

    def _give_up(self, batch: Batch, error: errors.PartstreamError) -> None:
        if not batch.outcome.done():
            self._fail_outcome(batch, error)
        self._sending.settled(batch)

    def _fail_outcome(self, batch: Batch, error: errors.PartstreamError) -> None:
        batch.outcome.fail(error)
        self._sending.store.observer.batch_failed(
            self._partition.topic, batch.count, type(error).__name__
        )

    def _expire(self) -> None:
        """Fail what has not been delivered within delivery_timeout_ms."""
        self._expiry = None
        timeout = self._config.delivery_timeout_ms / 1000
        born = time.monotonic() - timeout
        error = errors.DeliveryTimeout(
            f"not delivered to {self._partition} within delivery_timeout_ms="
            f"{self._config.delivery_timeout_ms}: {self._trouble or 'Redis has not answered'}"
        )
        for batch in [*(batch for batch, _ in self._failed), *self._in_flight]:
            if batch.created <= born and not batch.outcome.done():
                self._fail_outcome(batch, error)
        for batch in self.queue.take_older(born):
            self._give_up(batch, error)
        waiting = [batch.created for batch in self._batches() if not batch.outcome.done()]
        if waiting:
            self._expiry = self._loop.call_later(min(waiting) - born, self._expire)

    # Recovery: nothing is in flight.

    async def _recover(self) -> None:
        self._failed.sort(key=lambda pair: pair[0].number)
        # Only the first failure has a cause of its own; the others may have followed from it.
        head, raw = self._failed[0]
        self.queue.put_back([batch for batch, _ in self._failed if not batch.outcome.done()])
        for batch, _ in self._failed:
            if batch.outcome.done():
                self._sending.settled(batch)
        self._failed.clear()
        error = await self._sending.log.mend(self._partition, raw)
        self._sending.store.observer.batch_retried(self._partition.topic, type(error).__name__)
        try:
            await self._treat(head, error)
        except errors.PartstreamError as failure:
            await self._treat_plainly(head, failure)
        self._recovering = False
        self._window = 1
        self.pump()

    async def _treat(self, head: Batch, error: errors.PartstreamError) -> None:
        if isinstance(error, _BROKEN_SEQUENCE):
            await self._begin_anew(error)
        elif isinstance(error, _GONE):
            await self._follow_topic(error)
        else:
            await self._treat_plainly(head, error)

    async def _treat_plainly(self, head: Batch, error: errors.PartstreamError) -> None:
        _logger.debug("%s: %s", self._partition, error)
        self._trouble = error
        if error.retriable and head.attempts <= self._config.retries:
            await self._wait()
        elif self.queue.take_head(head):
            self._give_up(head, error)

    async def _wait(self) -> None:
        """Back off, and make sure that there is a connection to send on."""
        self._failures += 1
        delay = min(
            self._config.retry_backoff_ms * 2 ** min(self._failures - 1, 10),
            self._config.retry_backoff_max_ms,
        )
        await asyncio.sleep(delay / 1000 * random.uniform(0.8, 1.2))
        try:
            await self._sending.log.ready(self._partition)
        except errors.PartstreamError as unreachable:
            self._trouble = unreachable

    async def _begin_anew(self, error: errors.PartstreamError) -> None:
        """Number what was sent from 0 under the next epoch: the log has none of it."""
        known = self._acknowledged
        if known is not None:
            loss = await find_cut(self._sending.log, self._partition, known)
            if loss is not None:
                self._acknowledged = None
                self._sending.lost(loss)
        if self._numbering.used_up or isinstance(error, errors.InvalidProducerEpoch):
            self._numbering.begin_anew(await new_producer_id(self._sending.store))
        else:
            self._numbering.begin_anew()
        self._renumber()

    async def _follow_topic(self, error: errors.PartstreamError) -> None:
        """The topic was deleted: go on in the one that has its name now."""
        topic = await self._sending.refresh(self._partition.topic)
        if topic.id == self._partition.topic_id:
            raise errors.UnknownTopicOrPartition(f"{self._partition} has lost its keys: {error}")
        self._acknowledged = None
        if self._partition.index >= len(topic.partitions):
            gone = errors.UnknownTopicOrPartition(
                f"topic {topic.name!r} was made again, without partition {self._partition.index}"
            )
            for batch in self.queue.take_older(float("inf")):
                self._give_up(batch, gone)
            return
        self._partition = topic.partition(self._partition.index)
        self.follow(topic)
        self._numbering.begin_elsewhere()
        self._renumber()

    def _renumber(self) -> None:
        for batch in self.queue.encoded():
            self._numbering.number(batch)

    async def _look_for_loss(self, known: Acknowledged, epoch: int) -> None:
        """Compare what was acknowledged with the log's history, once it can be read."""
        while True:
            try:
                loss = await find_loss(self._sending.log, self._partition, known, epoch)
            except errors.UnknownTopicId:
                return
            except errors.PartstreamError as error:
                _logger.debug("%s: cannot look for losses yet: %s", self._partition, error)
                await asyncio.sleep(self._config.retry_backoff_max_ms / 1000)
                continue
            if loss is not None:
                self._sending.lost(loss)
            return

"""Records on their way into batches: one open batch a partition, memory that is bounded.

Records are put into the open batch by `Route.append`, on the thread that sends. What is here
happens once a batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from partstream.client.delivery import Delivery, Outcome
from partstream.errors import ClosedClient, RecordTooLarge
from partstream.model import TopicPartition
from partstream.records.codec import BatchBuilder, HeaderList, size_of
from partstream.records.header import with_producer


class Batch:
    """Records of one partition that go together."""

    __slots__ = (
        "append", "attempts", "builder", "count", "created", "memory", "number", "outcome",
        "payload", "sent", "sequence",
    )  # fmt: skip

    def __init__(self, where: TopicPartition, builder: BatchBuilder, memory: int) -> None:
        self.builder = builder
        self.append = self.builder.c_append
        self.count = 0
        self.memory = memory
        self.created = time.monotonic()
        self.outcome = Outcome(where)
        self.payload = b""
        """The encoded batch; empty until it is first sent."""
        self.sequence = -1
        """Of its first record; -1 without idempotence."""
        self.number = 0
        """Its place in its partition's line."""
        self.attempts = 0
        self.sent = 0.0
        """When it was first sent (`time.monotonic`)."""

    def encode(self, producer_id: int, epoch: int, sequence: int) -> None:
        """Make the bytes that are sent; again if the producer's epoch has changed since."""
        if self.payload:
            self.payload = with_producer(self.payload, producer_id, epoch, sequence)
        else:
            self.builder.count = self.count
            self.payload = self.builder.build(producer_id, epoch, sequence)
            del self.builder, self.append
        self.sequence = sequence


class Queue:
    """The batches of one partition that were not sent yet."""

    __slots__ = ("closed", "codec", "level", "limit", "lock", "open", "ready", "where")

    def __init__(
        self, where: TopicPartition, *, codec: int, limit: int, level: int | None = None
    ) -> None:
        self.where = where
        self.codec = codec
        """How new batches are compressed."""
        self.level = level
        """How hard its codec tries; None: as it does by itself."""
        self.limit = limit
        """The topic's max.message.bytes."""
        self.lock = threading.Lock()
        self.open: Batch | None = None
        self.ready: deque[Batch] = deque()
        """In order. Any thread may add to its end; the rest is the client's loop's."""
        self.closed = False
        """Whether it begins no further batch."""

    def follow(self, codec: int, level: int | None, limit: int) -> None:
        """Make new batches otherwise. A thread that begins one sees all of it, or nothing."""
        with self.lock:
            self.codec, self.level, self.limit = codec, level, limit

    def seal(self) -> bool:
        """Take no more records into the open batch; False if there is none."""
        with self.lock:
            if self.open is None:
                return False
            self.ready.append(self.open)
            self.open = None
            return True

    def begin_no_more(self) -> None:
        """Let no further batch begin; the open one takes records until it is sealed."""
        with self.lock:
            self.closed = True

    def close(self) -> None:
        """Seal, and begin no further batch."""
        self.begin_no_more()
        self.seal()

    def put_back(self, batches: list[Batch]) -> None:
        """Put batches that were taken out in front again, in their order."""
        with self.lock:
            self.ready.extendleft(reversed(batches))

    def take_head(self, batch: Batch) -> bool:
        """Take a batch out if it is the first."""
        with self.lock:
            if not self.ready or self.ready[0] is not batch:
                return False
            self.ready.popleft()
            return True

    def take_older(self, created: float) -> list[Batch]:
        """Take out the batches that were begun up to that time (of `time.monotonic`)."""
        with self.lock:
            if self.open is not None and self.open.created <= created:
                self.ready.append(self.open)
                self.open = None
            old = []
            while self.ready and self.ready[0].created <= created:
                old.append(self.ready.popleft())
            return old

    def encoded(self) -> list[Batch]:
        """Those at its front that were sent before."""
        with self.lock:
            return [batch for batch in self.ready if batch.payload]


class Accumulator:
    """Bounded memory, and the rules by which records become batches."""

    def __init__(
        self,
        *,
        batch_size: int,
        buffer_memory: int,
        max_request_size: int,
        on_open: Callable[[Queue], Any],
        on_full: Callable[[Queue], Any],
    ) -> None:
        """`on_open` is told of a new open batch, `on_full` of one that follows a full one.

        Both are called from the thread that appends.
        """
        self._batch_size = min(batch_size, max_request_size)
        self._max_request_size = max_request_size
        self._on_open = on_open
        self._on_full = on_full
        self._buffer_memory = buffer_memory
        self._free = buffer_memory
        self._lock = threading.Lock()

    def begin_batch(
        self,
        queue: Queue,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: HeaderList,
    ) -> Delivery | None:
        """Put a record that the open batch did not take into a new one; None without memory.

        Another thread may have begun one meanwhile: that is tried first.

        Raises:
            RecordTooLarge: it is larger than max_request_size or the topic's limit.
            ClosedClient: the queue begins no further batch.
            TypeError, ValueError, OverflowError, BufferError: something has the wrong type.
        """
        full = False
        with queue.lock:
            batch = queue.open
            if (
                batch is not None
                and batch.append(batch.count, timestamp, key, value, headers) is not None
            ):
                batch.count += 1
                return Delivery(batch.outcome, batch.count - 1, timestamp)
            if queue.closed:
                raise ClosedClient("this producer is closed")
            fresh = self._fresh_batch(queue, key, value, headers)
            if fresh is None:
                return None
            try:
                fresh.append(0, timestamp, key, value, headers)
            except BaseException:
                self.release(fresh)
                raise
            fresh.count = 1
            if batch is not None:
                queue.ready.append(batch)
                full = True
            queue.open = fresh
        (self._on_full if full else self._on_open)(queue)
        return Delivery(fresh.outcome, 0, timestamp)

    def release(self, batch: Batch) -> None:
        """Give back the memory of a batch that is done with."""
        with self._lock:
            self._free += batch.memory

    @property
    def free(self) -> int:
        """Bytes left."""
        return self._free

    def _fresh_batch(
        self,
        queue: Queue,
        key: bytes | None,
        value: bytes | None,
        headers: HeaderList,
    ) -> Batch | None:
        size = size_of(key, value, headers)
        if size > self._max_request_size:
            raise RecordTooLarge(
                f"a record of {size} bytes for {queue.where.topic!r} is larger than "
                f"max_request_size={self._max_request_size}"
            )
        if size > queue.limit and not queue.codec:
            raise RecordTooLarge(
                f"a record of {size} bytes for {queue.where.topic!r} is larger than the topic's "
                f"max.message.bytes={queue.limit}"
            )
        memory = max(self._batch_size, size)
        with self._lock:
            # One batch is let through even if it is larger than the whole buffer.
            if memory > self._free and self._free < self._buffer_memory:
                return None
            self._free -= memory
        builder = BatchBuilder(queue.codec, min(self._batch_size, queue.limit), queue.level)
        return Batch(queue.where, builder, memory)

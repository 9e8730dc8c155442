"""What `send` hands out: a light handle on one record of a batch that is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple

from partstream.client.arguments import seconds
from partstream.errors import ClientTimeout, PartstreamError
from partstream.model import RecordMetadata, TopicPartition


class Placed(NamedTuple):
    """Where a batch was put."""

    base_offset: int
    """-1 with acks=0."""
    append_time: int
    """Milliseconds with LogAppendTime, else -1."""


class Outcome:
    """What became of one batch; its records' deliveries share it."""

    __slots__ = ("future", "where")

    def __init__(self, where: TopicPartition) -> None:
        self.where = where
        self.future: Future[Placed] = Future()
        # A delivery that is cancelled or timed out must not take the batch with it.
        self.future.set_running_or_notify_cancel()

    def done(self) -> bool:
        """Whether it is known."""
        return self.future.done()

    def succeed(self, placed: Placed) -> None:
        """Make it known that the batch was acknowledged, unless it has failed before."""
        if not self.future.done():
            self.future.set_result(placed)

    def fail(self, error: PartstreamError) -> None:
        """Make it known that the batch is given up, unless its fate is known already."""
        if not self.future.done():
            self.future.set_exception(error)


class Delivery:
    """The delivery of one record: wait for it with `result()` or `await`, or be called back.

    The record stays on its way whether or not anybody waits.
    """

    __slots__ = ("_index", "_outcome", "_timestamp")

    def __init__(self, outcome: Outcome, index: int, timestamp: int) -> None:
        self._outcome = outcome
        self._index = index
        self._timestamp = timestamp

    def done(self) -> bool:
        """Whether the record was acknowledged, or has failed."""
        return self._outcome.future.done()

    def result(self, timeout: float | None = None) -> RecordMetadata:
        """Wait for the acknowledgement; not from within an event loop.

        Args:
            timeout: seconds to wait; None waits until delivery_timeout_ms decides.

        Raises:
            ClientTimeout: nothing is known after `timeout`; the record may still arrive.
            PartstreamError: why it could not be delivered.
        """
        try:
            return self._metadata(self._outcome.future.result(seconds(timeout)))
        except PartstreamError:
            raise  # among them DeliveryTimeout, which is a TimeoutError too
        except FutureTimeoutError as error:
            raise ClientTimeout(
                f"no acknowledgement from {self._place()} within {timeout} s"
            ) from error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as `result` does, and return what it would raise for the record, or None."""
        try:
            return self._outcome.future.exception(seconds(timeout))
        except FutureTimeoutError as error:
            raise ClientTimeout(
                f"no acknowledgement from {self._place()} within {timeout} s"
            ) from error

    def add_done_callback(self, callback: Callable[[Delivery], Any]) -> None:
        """Call `callback(delivery)` once it is done: at once if it is, else on the client's loop.

        A callback must not block: all deliveries of the client wait for it.
        """
        self._outcome.future.add_done_callback(lambda _: callback(self))

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        future = self._outcome.future
        if not future.done():
            yield from asyncio.wrap_future(future).__await__()
        return self._metadata(future.result())

    def __repr__(self) -> str:
        state = "done" if self.done() else "on its way"
        return f"<Delivery to {self._place()}: {state}>"

    def _place(self) -> str:
        return f"{self._outcome.where.topic}-{self._outcome.where.partition}"

    def _metadata(self, placed: Placed) -> RecordMetadata:
        where = self._outcome.where
        return RecordMetadata(
            topic=where.topic,
            partition=where.partition,
            offset=placed.base_offset + self._index if placed.base_offset >= 0 else -1,
            timestamp=placed.append_time if placed.append_time >= 0 else self._timestamp,
        )

"""Reads one partition ahead of its consumer, and keeps watch over whether the log is still the one
that was read.

Nothing polls: a reader that has caught up subscribes to the partition's bell, looks once more and
sleeps. A slow look is there for rings that are lost, which happens while a slot moves.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import NoReturn

from partstream.client.buffer import PartitionBuffer
from partstream.client.positions import Position, Reset, start_of
from partstream.client.shared import Shared
from partstream.client.trail import Divergence, Trail
from partstream.engine.log import Bounds
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, Fetched, fetch
from partstream.errors import (
    LogTruncation,
    NoOffsetForPartition,
    OffsetOutOfRange,
    PartstreamError,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from partstream.store.bells import Watch

_logger = logging.getLogger(__name__)

LOOK_S = 10.0
"""How often a sleeper looks even though no bell rang."""
_BUSY = 3
"""After so many fetches in a row that brought something, the bell is not needed."""


class _Retry(Exception):
    """Read on from the buffer's position."""


class _Stop(Exception):
    """There is nothing to read until the user seeks; the buffer knows why."""


class Reader:
    """The task that fills one partition's buffer."""

    def __init__(
        self, shared: Shared, buffer: PartitionBuffer, *, reset: Reset | None, by_group: bool
    ) -> None:
        """Begin to read at the buffer's position, or if it has none where the policy says.

        Args:
            reset: where to begin, in place of the consumer's policy.
            by_group: whether the group gives and takes the partition: then what to do about a
                deleted topic is the group's to say.
        """
        self._shared = shared
        self._buffer = buffer
        self._begin = reset
        self.by_group = by_group
        self._cursor = Cursor(buffer.partition, 0)
        self._trail = Trail(Position(0))
        self._newest = -1
        self._watch: Watch | None = None
        self._nudged = asyncio.Event()
        self._rung = False
        self._streak = 0
        self.waits = False
        """Whether it has to be nudged when records are taken."""
        self._task = asyncio.create_task(self._run(), name=f"reader of {buffer.partition}")

    @property
    def _partition(self) -> Partition:
        return self._buffer.partition

    def nudge(self) -> None:
        """Something about the buffer has changed: it was emptied a bit, or resumed."""
        self._nudged.set()

    def cancel(self) -> None:
        """Stop reading."""
        self._task.cancel()
        self._unwatch()

    def on_closed(self, callback: Callable[[Reader], None]) -> None:
        """Call back when it has stopped."""
        self._task.add_done_callback(lambda _: callback(self))

    async def closed(self) -> None:
        """Wait until it has stopped."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._locate()
                    await self._read()
                except _Retry:
                    continue
                except UnknownTopicId:
                    if self.by_group:
                        return
                    await self._find_again()
        except _Stop:
            return
        except Exception as error:
            _logger.exception("reading %s failed", self._partition)
            self._fail(PartstreamError(f"reading {self._partition} failed: {error!r}"))
            raise
        finally:
            self._unwatch()

    async def _read(self) -> None:
        """Fetch for ever; what passes is tried again, and what does not is the consumer's, too."""
        delay = self._shared.backoff_s
        level = logging.WARNING
        while True:
            try:
                await self._step()
            except UnknownTopicId:
                raise
            except PartstreamError as error:
                if not error.retriable:
                    self._fail(error)
                _logger.log(level, "reading %s failed, trying again: %s", self._partition, error)
                level = logging.DEBUG  # once an outage
                self._shared.store.observer.fetch_retried(
                    self._partition.topic, type(error).__name__
                )
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, self._shared.backoff_max_s)
            else:
                delay, level = self._shared.backoff_s, logging.WARNING

    async def _locate(self) -> None:
        """Find out where to begin."""
        buffer, shared = self._buffer, self._shared
        if buffer.position is None:
            bounds = await self._bounds()
            position = start_of(bounds, self._begin or shared.reset)
            if position is None:
                self._stop(
                    NoOffsetForPartition(
                        f"partition {self._partition} has no committed offset, and "
                        "auto_offset_reset is none: seek to where to begin"
                    )
                )
            buffer.position = position
        self._begin = None
        self._cursor = Cursor(self._partition, buffer.position.offset)
        self._trail, self._newest = Trail(buffer.position), buffer.position.leader_epoch
        shared.on_located(buffer)

    async def _bounds(self) -> Bounds:
        while True:
            try:
                return await self._shared.log.bounds(self._partition)
            except UnknownTopicId:
                raise
            except PartstreamError as error:
                if not error.retriable:
                    self._fail(error)
                _logger.warning("reading %s failed, trying again: %s", self._partition, error)
                await asyncio.sleep(self._shared.backoff_max_s)

    async def _step(self) -> None:
        """Fetch once, and wait before that or after it if there is nothing to do."""
        wanted = await self._wanted()
        granted = await self._shared.room.reserve(wanted)
        self._rung = False
        try:
            began = time.monotonic()
            fetched = await fetch(self._shared.store, self._cursor, granted)
            took = time.monotonic() - began
            in_range = await self._check(fetched)
            if in_range:
                if fetched.batches:
                    self._buffer.add(fetched.batches)
                self._tell(fetched, took)
        finally:
            self._shared.room.release(granted)
        if not in_range:
            await self._begin_elsewhere(fetched)
        self._buffer.error = None
        if fetched.batches:
            self._cursor.offset = fetched.batches[-1].next_offset
            self._streak += 1
            if self._streak == _BUSY:
                self._unwatch()
            self._shared.on_ready(self._buffer)
            if self._cursor.offset < fetched.log_end or self._watch is None:
                return
        await self._sleep()

    def _tell(self, fetched: Fetched, took: float) -> None:
        observer, where = self._shared.store.observer, self._partition
        self._buffer.log_end = fetched.log_end
        if fetched.batches:
            size = sum(len(batch.payload) for batch in fetched.batches)
            observer.fetched(where.topic, batches=len(fetched.batches), size=size, took=took)
        observer.lag_known(where.topic, where.index, self._buffer.lag)

    async def _wanted(self) -> int:
        """Wait while the partition is paused or its share is used; then, bytes to fetch."""
        most, buffer = self._shared.partition_bytes, self._buffer
        if buffer.paused or buffer.buffered > most // 2:
            self._unwatch()
            await self._until(lambda: not buffer.paused and buffer.buffered <= most // 2)
        return most - buffer.buffered

    async def _sleep(self) -> None:
        """Caught up: wait for the bell, or begin to listen to it and look once more."""
        look = self._shared.refused_look_s if self._shared.store.bells.refusal else LOOK_S
        self._streak = 0
        try:
            async with asyncio.timeout(look * random.uniform(0.7, 1.0)):
                if self._watch is None:
                    bell = self._partition.keys.bell
                    self._watch = await self._shared.store.bells.watch(bell, self._ring)
                    return
                while not self._rung:
                    self._nudged.clear()
                    await self._nudged.wait()
        except TimeoutError:
            return

    def _ring(self) -> None:
        self._rung = True
        self._nudged.set()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _check(self, fetched: Fetched) -> bool:
        """Make sure that the log is still the one that was read; whether it holds the cursor."""
        newest = fetched.leader_epoch
        if fetched.batches and fetched.batches[-1].leader_epoch != newest:
            newest = max(newest, fetched.batches[-1].leader_epoch)
        offset = self._cursor.offset
        if self._newest != newest or offset > fetched.log_end:
            await self._compare()
        self._newest = newest
        self._trail.follow(fetched.batches, offset)
        return fetched.log_start <= offset and (offset <= fetched.log_end or bool(fetched.batches))

    async def _begin_elsewhere(self, fetched: Fetched) -> NoReturn:
        """The cursor is out of range: once what was fetched has been taken, the policy decides.

        The user may take his time, so this must hold no room that others wait for.
        """
        offset = self._cursor.offset
        await self._drained()
        if self._shared.reset == "none":
            self._stop(
                OffsetOutOfRange(
                    f"offset {offset} of partition {self._partition} is out of range, it has "
                    f"{fetched.log_start} to {fetched.log_end}: seek, or set auto_offset_reset"
                )
            )
        _logger.info(
            "offset %d of partition %s is out of range, it has %d to %d: going to the %s",
            offset,
            self._partition,
            fetched.log_start,
            fetched.log_end,
            "beginning" if self._shared.reset == "earliest" else "end",
        )
        self._begin = None
        self._buffer.clear(None)
        raise _Retry

    async def _compare(self) -> None:
        """Ask the log what became of the epochs that were read; act if records are gone."""
        if self._trail.epoch < 0:
            return
        history = await self._shared.log.history(self._partition)
        parted = self._trail.divergence(self._cursor.offset, history)
        if parted is None:
            return
        buffer = self._buffer
        position = buffer.position
        assert position is not None
        if parted.is_certain and position.offset <= parted.offset:
            # Only what was fetched ahead is gone; nobody has seen it.
            buffer.clear(position)
            raise _Retry
        onwards = min(position.offset, parted.offset)
        self._shared.store.observer.truncated(self._partition.topic, position.offset - onwards)
        message = self._truncated(position, parted)
        if self._shared.reset == "none":
            buffer.clear(position)
            self._stop(LogTruncation(f"{message}; seek to {onwards} to go on from there"))
        _logger.warning(
            "%s (%s, in leader epoch %d now): reading on from %d",
            message,
            self._shared.store.whereabouts(self._partition.slot),
            history.epochs[-1][0] if history.epochs else -1,
            onwards,
        )
        buffer.clear(Position(onwards))
        raise _Retry

    def _truncated(self, position: Position, parted: Divergence) -> str:
        epoch = self._trail.epoch
        if parted.is_certain:
            return (
                f"partition {self._partition} was truncated: records from offset {parted.offset} "
                f"on, read in leader epoch {epoch} up to offset {position.offset}, are gone"
            )
        return (
            f"partition {self._partition} was truncated: its log does not know leader epoch "
            f"{epoch}, in which offset {position.offset} was reached; which records before that "
            "are gone is not known"
        )

    async def _drained(self) -> None:
        """Wait until all that was fetched before has been taken."""
        self._unwatch()
        await self._until(lambda: self._buffer.is_drained)

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Wait for something that only the consumer can bring about."""
        self.waits = True
        try:
            while not ready():
                self._nudged.clear()
                await self._nudged.wait()
        finally:
            self.waits = False

    async def _find_again(self) -> None:
        """The topic was deleted: wait until there is one of its name, and go on with that."""
        buffer = self._buffer
        self._unwatch()
        stop_watching = await self._shared.topics.watch(self._ring)
        try:
            while (found := await self._found()) is None:
                await self._wait_for_ring()
        finally:
            stop_watching()
        if found.topic_id != self._partition.topic_id:
            _logger.warning(
                "topic %s was deleted and made again: partition %s begins anew",
                self._partition.topic,
                self._partition,
            )
            buffer.partition = found
            buffer.clear(None)
            self._begin = None

    async def _found(self) -> Partition | None:
        """The partition as it is now, if there is one."""
        self._rung = False
        try:
            topic = await self._shared.topics.get(self._partition.topic, fresh=True)
            return topic.partition(self._partition.index)
        except PartstreamError as error:
            if isinstance(error, UnknownTopicOrPartition) or not error.retriable:
                self._fail(error)
            else:
                _logger.warning("reading %s failed, trying again: %s", self._partition, error)
            return None

    async def _wait_for_ring(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                while not self._rung:
                    self._nudged.clear()
                    await self._nudged.wait()
        except TimeoutError:
            return

    def _fail(self, error: PartstreamError) -> None:
        self._buffer.error = error
        self._shared.on_ready(self._buffer)

    def _stop(self, error: PartstreamError) -> NoReturn:
        self._fail(error)
        raise _Stop

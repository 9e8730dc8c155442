"""Everything that is read ahead: a reader and a buffer a partition, and fair turns between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from partstream.client.buffer import Decoding, PartitionBuffer, Slice
from partstream.client.positions import Position, Reset
from partstream.client.reader import Reader
from partstream.client.room import Room
from partstream.client.shared import Shared
from partstream.config.consumer import ConsumerConfig
from partstream.engine.log import Log
from partstream.engine.partition import Partition
from partstream.engine.topics import Topics
from partstream.errors import IllegalState
from partstream.model import TopicPartition
from partstream.store.store import Store


class Fetcher:
    """Reads a set of partitions ahead of the consumer."""

    def __init__(
        self, store: Store, topics: Topics, config: ConsumerConfig, news: asyncio.Event
    ) -> None:
        """Read nothing yet.

        Args:
            news: set whenever there may be something to take.
        """
        self._config = config
        self._news = news
        self._room = Room(config.fetch_max_bytes)
        self._decoding = Decoding(
            config.check_crcs, config.key_deserializer, config.value_deserializer
        )
        self._shared = Shared(
            store=store,
            topics=topics,
            log=Log(store),
            room=self._room,
            partition_bytes=config.max_partition_fetch_bytes,
            reset=config.auto_offset_reset,
            refused_look_s=max(config.fetch_max_wait_ms, 50) / 1000,
            backoff_s=config.retry_backoff_ms / 1000,
            backoff_max_s=config.retry_backoff_max_ms / 1000,
            on_ready=self._enqueue,
            on_located=self._located,
        )
        self._loop = asyncio.get_running_loop()
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._readers: dict[TopicPartition, Reader] = {}
        self._stopping: set[Reader] = set()
        self._ready: deque[PartitionBuffer] = deque()
        self._queued: set[PartitionBuffer] = set()
        self._waiting_since: float | None = None
        self._ripe = False
        self._moved = asyncio.Event()

    @property
    def partitions(self) -> set[TopicPartition]:
        """What is being read."""
        return set(self._buffers)

    def buffers(self) -> Iterable[PartitionBuffer]:
        """Every partition's buffer."""
        return self._buffers.values()

    def buffer(self, name: TopicPartition) -> PartitionBuffer:
        """One partition's buffer.

        Raises:
            IllegalState: the partition is not assigned to this consumer.
        """
        found = self._buffers.get(name)
        if found is None:
            raise IllegalState(
                f"partition {name.topic}-{name.partition} is not assigned to this consumer"
            )
        return found

    def add(self, partition: Partition, position: Position | None, *, by_group: bool) -> None:
        """Begin to read a partition, from a position or from where the reset policy says."""
        buffer = PartitionBuffer(partition, self._decoding, self._room.adjust)
        buffer.position = position
        self._buffers[partition.name] = buffer
        self._readers[partition.name] = Reader(self._shared, buffer, reset=None, by_group=by_group)

    def remove(self, name: TopicPartition) -> None:
        """Stop to read a partition, and drop what was fetched of it."""
        buffer = self._buffers.pop(name)
        self._stop(self._readers.pop(name))
        buffer.clear(None)
        self._shared.store.observer.partition_dropped(name.topic, name.partition)
        if buffer in self._queued:
            self._queued.discard(buffer)
            self._ready.remove(buffer)
        self._moved.set()

    def seek(
        self, name: TopicPartition, position: Position | None, reset: Reset | None = None
    ) -> None:
        """Read on from elsewhere: a position, or one end of the log.

        Raises:
            IllegalState: the partition is not assigned to this consumer.
        """
        buffer = self.buffer(name)
        old = self._readers[name]
        self._stop(old)
        buffer.clear(position)
        self._readers[name] = Reader(self._shared, buffer, reset=reset, by_group=old.by_group)

    def pause(self, name: TopicPartition) -> None:
        """Hand out nothing of a partition, and fetch nothing; what was fetched is kept."""
        self.buffer(name).pause()

    def resume(self, name: TopicPartition) -> None:
        """Hand out records of a partition again."""
        buffer = self.buffer(name)
        buffer.resume()
        self._readers[name].nudge()
        if buffer.has_records:
            self._enqueue(buffer)

    def requeue(self, buffer: PartitionBuffer) -> None:
        """Records were given back to a buffer: it has the next turn."""
        if self._buffers.get(buffer.partition.name) is not buffer:
            return
        if buffer in self._queued:
            self._ready.remove(buffer)
        self._queued.add(buffer)
        self._ready.appendleft(buffer)
        self._ripe = True

    async def located(self, name: TopicPartition) -> Position:
        """The position of a partition, once it is known.

        Raises:
            IllegalState: the partition is not assigned (any more).
            PartstreamError: why it cannot be known.
        """
        while True:
            buffer = self.buffer(name)
            if buffer.position is not None:
                return buffer.position
            if buffer.error is not None:
                raise type(buffer.error)(*buffer.error.args)
            self._moved.clear()
            await self._moved.wait()

    def take(self, most: int) -> list[Slice]:
        """At most so many records, without waiting: batch by batch, partitions in turns.

        Nothing is taken before `fetch_min_bytes` are there, or `fetch_max_wait_ms` have passed.

        Raises:
            PartstreamError: what stands in the way of the partition whose turn it is. Records
                before that are taken first, and the others have their turn before it comes again.
            Exception: whatever else happened (no memory, say); it goes the same way.
        """
        slices: list[Slice] = []
        if not self._ready or not self._is_ripe():
            return slices
        while most > 0 and self._ready:
            buffer = self._ready.popleft()
            self._queued.discard(buffer)
            if buffer.paused:
                continue
            try:
                found = buffer.take(most)
            except Exception:
                if slices:
                    self.requeue(buffer)  # it comes again, when these have been handed out
                    break
                self._enqueue(buffer)
                raise
            finally:
                reader = self._readers[buffer.partition.name]
                if reader.waits:
                    reader.nudge()
            if found is not None:
                slices.append(found)
                most -= len(found.records)
                self._tell(buffer, len(found.records))
            if buffer.is_within_batch:
                # It keeps its turn: what has just been decoded is still in the CPU's cache.
                self._ready.appendleft(buffer)
                self._queued.add(buffer)
            elif buffer.has_records:
                self._enqueue(buffer)
        if not self._ready:
            self._ripe, self._waiting_since = False, None
        return slices

    def _tell(self, buffer: PartitionBuffer, records: int) -> None:
        where = buffer.partition
        self._shared.store.observer.handed_out(
            where.topic, where.index, records=records, lag=buffer.lag
        )

    def ripe_in(self) -> float | None:
        """Seconds until what is there may be taken though it is little; None if nothing is."""
        if self._waiting_since is None or self._ripe:
            return None
        ripe_at = self._waiting_since + self._config.fetch_max_wait_ms / 1000
        return max(0.0, ripe_at - self._loop.time())

    async def close(self) -> None:
        """Stop reading."""
        for name in list(self._buffers):
            self.remove(name)
        await asyncio.gather(*(reader.closed() for reader in self._stopping))

    def _is_ripe(self) -> bool:
        if not self._ripe:
            least = self._config.fetch_min_bytes
            self._ripe = (
                least <= 1
                or sum(buffer.buffered for buffer in self._ready) >= least
                or any(buffer.error for buffer in self._ready)
                or self.ripe_in() == 0.0
            )
        return self._ripe

    def _enqueue(self, buffer: PartitionBuffer) -> None:
        if buffer not in self._queued:
            self._queued.add(buffer)
            self._ready.append(buffer)
            if self._waiting_since is None:
                self._waiting_since = self._loop.time()
        self._news.set()
        if buffer.error is not None:
            self._moved.set()

    def _located(self, buffer: PartitionBuffer) -> None:
        self._moved.set()

    def _stop(self, reader: Reader) -> None:
        reader.cancel()
        self._stopping.add(reader)
        reader.on_closed(self._stopping.discard)

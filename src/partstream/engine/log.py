"""The log of a partition: append a batch, ask for its bounds and epochs, delete from its start."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from partstream.engine.partition import Partition
from partstream.engine.reading import read_entries
from partstream.errors import PartstreamError, UnknownTopicId
from partstream.store.barrier import Barrier
from partstream.store.scripts import Script
from partstream.store.store import Store

_APPEND = Script("log/append")
_BEGIN_EPOCH = Script("log/begin_epoch")
_TRUNCATE = Script("log/truncate")
_MORE, _UNDECLARED = -1, -2
"""The script's answers where segments are left, and where it needs the keys of the cleaned part."""
_MOST_SEGMENTS = 200
_MOST_BYTES = 4 * 1024 * 1024
"""So much is deleted in one call of it, or a segment that is larger."""
_CHUNK_ENTRIES = 512
_CHUNK_BYTES = 256 * 1024

BEGIN = "begin"
"""The producer's first batch to this partition, at its epoch."""
GO_ON = "go on"
"""A later one: the partition must know the producer."""
ANY = "any"
"""The caller can not tell, as a wire protocol can not."""


class Appended(NamedTuple):
    """Where a batch is, and what the answer says of the partition."""

    base_offset: int
    leader_epoch: int
    append_time: int
    """Milliseconds since 1970 with LogAppendTime, or -1."""
    log_start: int
    replicas: int
    """Replicas connected to the primary that took it."""
    token: str
    """The primary's master_replid, or empty where INFO is refused."""
    duplicate: bool
    """Whether the batch was there already: an earlier answer was lost."""


class Bounds(NamedTuple):
    """A partition's log, in numbers."""

    start: int
    end: int
    leader_epoch: int
    size: int
    """Bytes of batches held."""


class EpochEnd(NamedTuple):
    """Where the records of an epoch end (OffsetForLeaderEpoch, KIP-320)."""

    leader_epoch: int
    """The asked epoch, or the largest one below it that there was; -1 if it is not known here."""
    end_offset: int


class History(NamedTuple):
    """A partition's leader epochs, as its log knows them."""

    epochs: list[tuple[int, int]]
    """Each with its first offset, in order."""
    end: int
    """The end of the log."""
    start: int = 0
    """The start of it."""

    @property
    def leader_epoch(self) -> int:
        """The newest epoch."""
        return self.epochs[-1][0] if self.epochs else -1

    @property
    def newest_start(self) -> int:
        """Where the newest epoch begins."""
        return self.epochs[-1][1] if self.epochs else 0

    @property
    def oldest_kept(self) -> int:
        """The epoch of the log's first record; -1 if the history does not reach back to it.

        It stays what it is when others begin behind it. librdkafka relies on that: told of another
        epoch at the log's start than before, it reads the log again from there.
        """
        return max((epoch for epoch, start in self.epochs if start <= self.start), default=-1)


class Log:
    """The logs of all partitions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def submit(
        self,
        partition: Partition,
        batch: bytes,
        line: str,
        *,
        least_replicas: int = 0,
        oldest: int | None = None,
    ) -> asyncio.Future[list[Any]] | None:
        """Send a batch behind all that was sent to the same partition, once, without waiting.

        The answer is for `appended`, an exception of it for `mend`. None if it has to wait: await
        `ready` and try again.

        `oldest` is the batch's smallest timestamp, where the topic bounds times and the caller has
        not checked each record; without it the first record's stands for it.
        """
        keys = partition.keys
        return self._store.courses.submit(
            keys.log,
            "EVALSHA",
            _APPEND.sha,
            5,
            *keys.all,
            partition.topic_id,
            batch,
            keys.bell,
            line,
            least_replicas,
            "" if oldest is None else oldest,
            bell=keys.bell,
        )

    async def ready(self, partition: Partition) -> None:
        """Wait until `submit` may send: a link is open, and what went another way is answered.

        Raises:
            StoreUnavailable: the node cannot be reached.
        """
        await self._store.courses.ready(partition.keys.log)

    async def mend(self, partition: Partition, error: BaseException) -> PartstreamError:
        """Do what can be done about a failure of `submit`, and say what it means."""
        return await self._store.mend(partition.keys.log, error)

    def barrier(self, partition: Partition) -> Barrier:
        """Confirms that the replicas in sync have what was appended to a partition."""
        return self._store.barrier(partition.keys.log)

    async def append(
        self, partition: Partition, batch: bytes, *, line: str = ANY, least_replicas: int = 0
    ) -> Appended:
        """Append one batch, whose CRC the caller has checked.

        Raises:
            UnknownTopicId: the topic was deleted.
            NotEnoughReplicas: fewer than `least_replicas` replicas are connected.
            RecordTooLarge, InvalidTimestamp: the topic's configs forbid it.
            OutOfOrderSequenceNumber, InvalidProducerEpoch, UnknownProducerId: idempotence.
            OutcomeUnknown: the connection broke; with a sequence it may be sent again.
        """
        keys = partition.keys
        return appended(
            await self._store.run(
                _APPEND,
                keys.all,
                (partition.topic_id, batch, keys.bell, line, least_replicas),
            )
        )

    async def bounds(self, partition: Partition) -> Bounds:
        """Start, end, epoch and size.

        Raises:
            UnknownTopicId: the topic was deleted.
        """
        start, end, epoch, total, base = await self._state(
            partition, "start", "end", "epoch", "total", "base"
        )
        return Bounds(int(start), int(end), int(epoch), int(total) - int(base))

    async def begin_epoch(self, partition: Partition) -> int:
        """The leader epoch of what would be appended now: it begins, if it has not yet.

        Raises:
            UnknownTopicId: the topic was deleted.
        """
        keys = partition.keys
        epoch: int = await self._store.run(
            _BEGIN_EPOCH, (keys.state,), (partition.topic_id, keys.bell), idempotent=True
        )
        return epoch

    async def epoch_end(self, partition: Partition, epoch: int) -> EpochEnd:
        """Where the records of a leader epoch end.

        Raises:
            UnknownTopicId: the topic was deleted.
        """
        history = await self.history(partition)
        return epoch_end(history.epochs, history.end, epoch)

    async def history(self, partition: Partition) -> History:
        """The leader epochs.

        Raises:
            UnknownTopicId: the topic was deleted.
        """
        epochs, end, start = await self._state(partition, "epochs", "end", "start")
        return History(parse_epochs(epochs), int(end), int(start))

    async def delete_records(self, partition: Partition, offset: int) -> int:
        """Delete the records below an offset; -1 is all there are. Returns the log start.

        It moves in steps, so that Redis is never held for long, however much is deleted.

        Raises:
            OffsetOutOfRange: there is no such offset.
            UnknownTopicId: the topic was deleted.
        """
        keys = partition.keys
        declared = [keys.log, keys.state, keys.index]
        counted: tuple[int | str, ...] = ("", "", "")
        while True:
            low, *told = await self._store.run(
                _TRUNCATE,
                declared,
                [partition.topic_id, offset, _MOST_SEGMENTS, _MOST_BYTES, *counted],
                idempotent=True,
            )
            if low >= 0:
                await self._store.confirm(keys.log, told[0])
                return int(low)
            if low == _MORE:
                (offset,) = told
            elif low == _UNDECLARED:
                declared = [*declared[:3], *keys.clean]
            else:
                start, cleanings, is_clean, largest = told
                key = keys.cleaned(cleanings) if is_clean else keys.log
                size = await self._bytes_between(key, start, offset, largest)
                counted = (size, start, cleanings)

    async def _bytes_between(self, key: str, begin: int, end: int, largest: int) -> int:
        """Bytes of the batches of a segment that end behind one offset and up to another one.

        Args:
            key: of the stream.
            begin: the first offset, in the segment.
            end: the second one, in the same.
            largest: bytes of its largest batch.
        """
        entries, size = max(1, min(_CHUNK_ENTRIES, _CHUNK_BYTES // max(1, largest))), 0
        while True:
            batches = await read_entries(self._store, key, begin, entries, until=end)
            size += sum(len(batch.payload) for batch in batches)
            if len(batches) < entries:
                return size
            begin = batches[-1].next_offset

    async def _state(self, partition: Partition, *fields: str) -> list[bytes]:
        key = partition.keys.state
        values: list[bytes | None] = await self._store.execute("HMGET", key, *fields, key=key)
        present = [value for value in values if value is not None]
        if len(present) < len(fields):
            raise UnknownTopicId(f"partition {partition} was deleted")
        return present


def appended(answer: list[Any]) -> Appended:
    """The append script's answer."""
    base, epoch, time, start, replicas, token, duplicate = answer
    return Appended(base, epoch, time, start, replicas, token.decode(), bool(duplicate))


def parse_epochs(history: bytes) -> list[tuple[int, int]]:
    """A partition's history: pairs of leader epoch and its first offset, in order."""
    return [
        (int(epoch), int(start)) for epoch, start in (pair.split(b":") for pair in history.split())
    ]


def epoch_end(history: list[tuple[int, int]], log_end: int, epoch: int) -> EpochEnd:
    """Where the records of `epoch` end, by a partition's history, as Kafka answers it.

    An epoch above all that are known is not known: its records are lost. One below all of them is
    older than the history, and ends where that begins.
    """
    below = -1
    for own, start in history:
        if own > epoch:
            return EpochEnd(below if below >= 0 else epoch, start)
        below = own
    return EpochEnd(epoch, log_end) if below == epoch >= 0 else EpochEnd(-1, -1)

"""What is fetched and not yet handed out: batches as they came, decoded when somebody wants them.

A buffer belongs to one partition. Nothing here does I/O, and nothing waits.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from partstream.client.positions import Position
from partstream.engine.partition import Partition
from partstream.engine.reading import StoredBatch
from partstream.errors import PartstreamError
from partstream.model import Record
from partstream.records.codec import decode, deserialize


@dataclass(frozen=True, slots=True)
class Decoding:
    """How batches become records."""

    check_crcs: bool = True
    key_deserializer: Callable[[bytes], Any] | None = None
    value_deserializer: Callable[[bytes], Any] | None = None

    @property
    def deserializes(self) -> bool:
        """Whether keys or values become something else than bytes."""
        return self.key_deserializer is not None or self.value_deserializer is not None


class _Decoded(NamedTuple):
    """Records of one batch, or what is left of them."""

    records: list[Record]
    end: Position
    """Where the reader stands behind them."""
    finished: bool
    """Whether keys and values are what the user is to get."""


class PartitionBuffer:
    """One partition's position, and what lies ahead of it."""

    __slots__ = (
        "_account",
        "_batches",
        "_decoded",
        "_decoding",
        "buffered",
        "error",
        "log_end",
        "partition",
        "paused",
        "position",
    )

    def __init__(
        self, partition: Partition, decoding: Decoding, account: Callable[[int], None]
    ) -> None:
        """Start without a position.

        Args:
            account: told how many bytes have come into the buffer, or (negative) left it. While
                the partition is paused they do not count: others must not starve for them.
        """
        self.partition = partition
        self.position: Position | None = None
        """Behind the last record that was taken; None until it is known."""
        self.paused = False
        self.error: PartstreamError | None = None
        """Why nothing comes after what is buffered, if something is wrong."""
        self.log_end = 0
        """Where the log ended at the last fetch."""
        self.buffered = 0
        """Bytes of batches that are not decoded yet."""
        self._decoding = decoding
        self._account = account
        self._batches: deque[StoredBatch] = deque()
        self._decoded: deque[_Decoded] = deque()

    @property
    def has_records(self) -> bool:
        """Whether there is something to take, be it only an error."""
        return bool(self._decoded or self._batches or self.error)

    @property
    def lag(self) -> int:
        """Records between the position and the end of the log, as of the last fetch."""
        return 0 if self.position is None else max(0, self.log_end - self.position.offset)

    @property
    def is_within_batch(self) -> bool:
        """Whether a batch is decoded, and not all of it taken."""
        return bool(self._decoded)

    @property
    def is_drained(self) -> bool:
        """Whether all that was fetched has been taken."""
        return not self._decoded and not self._batches

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        if not self.paused:
            self._account(-self.buffered)
            self.paused = True

    def resume(self) -> None:
        """Hand out records again."""
        if self.paused:
            self.paused = False
            self._account(self.buffered)

    def add(self, batches: list[StoredBatch]) -> None:
        """Take in what was fetched."""
        self._batches.extend(batches)
        self._grow(sum(len(batch.payload) for batch in batches))

    def clear(self, position: Position | None) -> None:
        """Forget what was fetched, and stand elsewhere."""
        self._batches.clear()
        self._decoded.clear()
        self.error = None
        self.position = position
        self._grow(-self.buffered)

    def take(self, most: int) -> Slice | None:
        """At most so many records of one batch; None if it had none, or if there is nothing.

        Raises:
            CorruptRecord, RecordTooLarge, UnsupportedCompressionType: the batch cannot be read.
            SerializationError: a deserializer failed on the next record.
            PartstreamError: what the reader of the partition met.
                In each case the position stays, and `seek` goes past it.
        """
        if not self._decoded and not self._decode():
            return None
        records, end, finished = self._decoded[0]
        taken = records if len(records) <= most else records[:most]
        failure = None
        if not finished and self._decoding.deserializes:
            taken, failure = deserialize(
                taken, self._decoding.key_deserializer, self._decoding.value_deserializer
            )
            if failure is not None and not taken:
                raise failure
        # Nothing has changed before this line: whatever was raised above, no record is lost.
        if len(taken) == len(records):
            self._decoded.popleft()
        else:
            rest = records[len(taken) :]
            self._decoded[0] = _Decoded(rest, end, finished)
            stop = taken[-1].offset + 1 if failure is None else rest[0].offset
            end = Position(stop, end.leader_epoch)
        self.position = end
        return Slice(self, taken, end)

    def give_back(self, records: list[Record], end: Position) -> None:
        """Put records that nobody got back in front; they are not deserialized twice."""
        self._decoded.appendleft(_Decoded(records, end, True))
        self.position = Position(records[0].offset, end.leader_epoch)

    def _grow(self, size: int) -> None:
        self.buffered += size
        if not self.paused:
            self._account(size)

    def _decode(self) -> bool:
        """Decode batches until there are records; False if there are none."""
        assert self.position is not None or not self._batches
        while self._batches:
            batch = self._batches[0]
            records = self._records(batch)
            del self._batches[0]
            self._grow(-len(batch.payload))
            end = Position(batch.next_offset, batch.leader_epoch)
            if records:
                self._decoded.append(_Decoded(records, end, False))
                return True
            self.position = end  # a transaction's marker, or nothing at or after the position
        if self.error is not None:
            # A copy: one that is raised again and again would gather tracebacks.
            raise type(self.error)(*self.error.args) from self.error.__cause__
        return False

    def _records(self, batch: StoredBatch) -> list[Record]:
        partition, position = self.partition, self.position
        assert position is not None
        try:
            return decode(
                batch.payload,
                partition.topic,
                partition.index,
                batch.base_offset,
                from_offset=position.offset,
                append_time=batch.append_time,
                check_crcs=self._decoding.check_crcs,
            )
        except PartstreamError as error:
            raise type(error)(
                f"{error}; the next batch begins at offset {batch.next_offset}: seek there to skip "
                "this one"
            ) from error


@dataclass(slots=True, eq=False)
class Slice:
    """Records of one batch that were taken together."""

    buffer: PartitionBuffer
    records: list[Record]
    end: Position
    """Where the reader stands behind them."""


class Hand:
    """Slices that were taken to be handed out one record at a time.

    It knows which records were handed out without counting them: a list's iterator tells how many
    are left. So handing one out costs nothing but the iteration itself.
    """

    __slots__ = ("_at", "_iterator", "_slices")

    def __init__(self, slices: list[Slice]) -> None:
        self._slices = slices
        self._at = -1
        self._iterator: Iterator[Record] = iter(())

    def advance(self) -> Iterator[Record] | None:
        """The records of the next slice; None if that was the last, or the rest was given back."""
        self._at += 1
        if self._at >= len(self._slices):
            return None
        self._iterator = iter(self._slices[self._at].records)
        return self._iterator

    def all(self) -> list[Record]:
        """Every record, as one list."""
        if not self._slices:
            return []
        records = self._slices[0].records
        for one in self._slices[1:]:
            records += one.records
        return records

    def rest(self) -> dict[PartitionBuffer, Position]:
        """The first record of each partition that was not handed out."""
        found: dict[PartitionBuffer, Position] = {}
        for one, left in self._left():
            if left:
                first = Position(one.records[-left].offset, one.end.leader_epoch)
                found.setdefault(one.buffer, first)
        return found

    def current(self) -> dict[PartitionBuffer, Position]:
        """The record that was handed out last, if it was of this hand: nobody came back from it."""
        if self._at < 0 or not self._slices:
            return {}
        at = min(self._at, len(self._slices) - 1)
        handed = len(self._slices[at].records)
        if at == self._at:
            handed -= operator.length_hint(self._iterator)
        if not handed and at > 0:
            at -= 1
            handed = len(self._slices[at].records)
        if not handed:
            return {}
        one = self._slices[at]
        return {one.buffer: Position(one.records[handed - 1].offset, one.end.leader_epoch)}

    def first(self) -> dict[PartitionBuffer, Position]:
        """The first record of each partition."""
        found: dict[PartitionBuffer, Position] = {}
        for one in self._slices:
            first = Position(one.records[0].offset, one.end.leader_epoch)
            found.setdefault(one.buffer, first)
        return found

    def give_back(self) -> None:
        """Return what was not handed out to where it came from; iterations over it end."""
        for one, left in reversed(self._left()):
            if left:
                one.buffer.give_back(one.records[-left:], one.end)
        for one in self._slices:
            one.records.clear()  # whoever is iterating over it is done now
        self._slices = []

    def _left(self) -> list[tuple[Slice, int]]:
        """Slices that are not finished, and how many of their records are left."""
        left = []
        if 0 <= self._at < len(self._slices):
            left.append((self._slices[self._at], operator.length_hint(self._iterator)))
        left.extend((one, len(one.records)) for one in self._slices[self._at + 1 :])
        return left

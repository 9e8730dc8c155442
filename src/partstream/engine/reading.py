"""Reading a partition: whole batches from any offset, within a budget of bytes.

XRANGE counts entries, not bytes, so a reader asks for as many entries as its budget holds at the
largest entry of the stretch that it is in. Where the stretches end, and the largest entry of each,
stands in the index; of the one being written, in the state. The state is read along with every
fetch: the log's start and end and the leader epoch come with it, so that a reader notices at once
when the log was truncated, deleted or taken back.

The cleaned part of a compacted log is in a key of its own. Which of the two keys holds an offset is
known from the last fetch; the state, which is read after the batches, says whether it was right.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, NamedTuple

from partstream.engine.index import rows_behind
from partstream.engine.partition import Partition
from partstream.errors import PartstreamError, UnknownTopicId
from partstream.store.store import Store

_DELTA = Struct(">i")
_DELTA_AT = 23
_LEAST_BATCH = 61
_LAST_SEQUENCE = "18446744073709551615"
_STATE_FIELDS = (
    "id",
    "start",
    "end",
    "epoch",
    "segment_base",
    "segment_max",
    "max_message_bytes",
    "boundary",
    "cleanings",
)


class StoredBatch(NamedTuple):
    """One entry of the log."""

    base_offset: int
    next_offset: int
    """The offset after its last record."""
    leader_epoch: int
    append_time: int | None
    """Milliseconds since 1970 if the log stamped it, else None."""
    payload: bytes
    """The RecordBatch as it was appended; base offset and leader epoch in it mean nothing."""


class Fetched(NamedTuple):
    """What one fetch brought of one partition."""

    batches: list[StoredBatch]
    log_start: int
    log_end: int
    leader_epoch: int


class Stretch(NamedTuple):
    """A part of the log whose largest entry is known."""

    end: int
    largest: int
    """Bytes."""


@dataclass(slots=True)
class Cursor:
    """Where one reader stands in one partition, and what it knows of what lies ahead."""

    partition: Partition
    offset: int
    stretches: list[Stretch] = field(default_factory=list)
    """In order; what is known, up to the part that is being written and as far as that was seen, or
    up to where the last page of the index ended."""
    largest_ever: int | None = None
    """No entry beyond the known stretches is larger; None before anything is known."""
    segment: bytes = b""
    """Where the segment being written began when it was last seen: how many bytes came before."""
    reached: int = 0
    leader_epoch: int = -1
    boundary: int = 0
    """Below it the log is cleaned, and in a key of its own."""
    cleanings: int = 0
    """How often it had been cleaned when it was last seen."""

    @property
    def key(self) -> str:
        """Where the batch at the offset is."""
        keys = self.partition.keys
        return keys.cleaned(self.cleanings) if self.offset < self.boundary else keys.log

    def was_cleaned(self, boundary: int, cleanings: int) -> bool:
        """Whether the log is another one than it was thought to be; then it is no more."""
        if (boundary, cleanings) == (self.boundary, self.cleanings):
            return False
        self.boundary, self.cleanings = boundary, cleanings
        self.stretches, self.segment = [], b""
        return True

    def forget_if_moved(self, leader_epoch: int) -> None:
        """What is known holds for what lies ahead, in the history in which it was seen."""
        if self.offset < self.reached or leader_epoch != self.leader_epoch:
            self.stretches, self.segment = [], b""
        self.reached, self.leader_epoch = self.offset, leader_epoch

    def entries_within(self, budget: int) -> tuple[int, int | None]:
        """How many entries to ask for, and the end offset beyond which not to (None: any)."""
        at = bisect_right(self.stretches, self.offset, key=lambda stretch: stretch.end)
        if at == len(self.stretches):
            return (1 if self.largest_ever is None else max(1, budget // self.largest_ever)), None
        stretch = self.stretches[at]
        return max(1, budget // max(1, stretch.largest)), stretch.end

    def learn(self, stretches: list[Stretch]) -> None:
        """Take in stretches that were seen; what is known already counts."""
        while self.stretches and self.stretches[0].end <= self.offset:
            del self.stretches[0]
        for stretch in stretches:
            if stretch.end > (self.stretches[-1].end if self.stretches else self.offset):
                self.stretches.append(stretch)


async def fetch(store: Store, cursor: Cursor, max_bytes: int) -> Fetched:
    """Whole batches from the cursor's offset on, about `max_bytes` of them but at least one.

    The first may begin below the offset: the reader skips what it has. The cursor stays.

    Raises:
        UnknownTopicId: the topic was deleted.
        StoreUnavailable: as it says.
    """
    partition = cursor.partition
    while True:
        cursor.forget_if_moved(cursor.leader_epoch)
        entries, until = cursor.entries_within(max_bytes)
        range_command = _range(cursor.key, cursor.offset, until, entries)
        state_command = ("HMGET", partition.keys.state, *_STATE_FIELDS)
        rows, state = await _both(store, partition, range_command, state_command)
        topic_id, start, end, epoch, segment, largest, most, boundary, cleanings = state
        if topic_id is None or topic_id.decode() != partition.topic_id:
            raise UnknownTopicId(f"partition {partition} was deleted")
        if not cursor.was_cleaned(int(boundary or 0), int(cleanings or 0)):
            break
    log_start, log_end = int(start), int(end)
    cursor.forget_if_moved(int(epoch))
    cursor.largest_ever = max(cursor.largest_ever or 1, int(most))
    if until is None and log_end > cursor.offset:
        if segment != cursor.segment:
            # Segments ended since the last look: the largest entry of the one being written now
            # says nothing of theirs.
            page = await rows_behind(store, partition.keys.index, cursor.offset)
            cursor.learn([Stretch(row.end, row.largest) for row in page.rows])
            if page.is_last:
                cursor.segment = segment
        if segment == cursor.segment:
            cursor.learn([Stretch(log_end, max(1, int(largest)))])
    return Fetched([stored_batch(row) for row in rows], log_start, log_end, int(epoch))


async def read_entries(
    store: Store, key: str, offset: int, entries: int, *, until: int | None = None
) -> list[StoredBatch]:
    """At most so many batches of a stream from an offset on, up to the end offset `until`."""
    rows = await store.execute(*_range(key, offset, until, entries), key=key)
    return [stored_batch(row) for row in rows]


def _range(key: str, offset: int, until: int | None, entries: int) -> tuple[str | int, ...]:
    last = "+" if until is None else f"{until}-{_LAST_SEQUENCE}"
    return ("XRANGE", key, str(offset + 1), last, "COUNT", entries)


def stored_batch(row: list[Any]) -> StoredBatch:
    """An entry of the stream as a batch. What is no batch is found out when it is decoded."""
    entry_id, fields = row
    end, _, epoch = entry_id.partition(b"-")
    next_offset = int(end)
    payload = fields[1] if len(fields) >= 2 and fields[0] == b"b" else b""
    delta = _DELTA.unpack_from(payload, _DELTA_AT)[0] if len(payload) >= _LEAST_BATCH else 0
    return StoredBatch(
        base_offset=next_offset - delta - 1,
        next_offset=next_offset,
        leader_epoch=int(epoch),
        append_time=int(fields[3]) if len(fields) >= 4 else None,
        payload=payload,
    )


def batch_at(
    base_offset: int, leader_epoch: int, append_time: int | None, payload: bytes
) -> StoredBatch:
    """A batch that has been appended there, as a fetch would bring it."""
    delta = _DELTA.unpack_from(payload, _DELTA_AT)[0]
    return StoredBatch(base_offset, base_offset + delta + 1, leader_epoch, append_time, payload)


async def _both(
    store: Store, partition: Partition, first: tuple[Any, ...], second: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Two commands in one round trip, or each on its own if something is in the way."""
    try:
        one = store.submit(partition.slot, *first)
        two = store.submit(partition.slot, *second)
    except PartstreamError:
        one = two = None
    if one is not None and two is not None:
        try:
            later = await two
        except asyncio.CancelledError:
            one.cancel()  # nobody will hear of it any more, not even that the connection was closed
            raise
        except Exception:  # noqa: BLE001 (it is asked again, and then it counts)
            later = None
        # Answers come in order: this one is there. It is asked in any case, or a failure would be
        # one that nobody heard of.
        if one.exception() is None and later is not None:
            return one.result(), later
    key = partition.keys.log
    return await store.execute(*first, key=key), await store.execute(*second, key=key)

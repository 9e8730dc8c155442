"""What log compaction leaves of a batch: the last record of every key.

A batch that loses records keeps all by which others know it: where it begins and ends, its
producer's id, epoch and sequence, its codec. Records are taken apart and put together by the C
codec, never in Python, and a batch that loses nothing stays as it is, byte for byte.

Tombstones stay for a while, so that whoever reads along hears of them. Until when stands in the
batch itself, as in Kafka (KIP-534): bit 6 of the attributes says that the base timestamp is the
time from which on they go.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from partstream.errors import CorruptRecord
from partstream.records import compression, header
from partstream.records.codec import MAX_DECOMPRESSED
from partstream.records.native import DefaultRecordBatch, DefaultRecordBatchBuilder, KafkaError

_NO_LIMIT: Final = (1 << 31) - 1
_UNREADABLE = (KafkaError, ValueError, IndexError, OverflowError, MemoryError)
NEVER: Final = -1
"""The delete horizon of a batch that has none."""


class Seen(NamedTuple):
    """What was seen of a batch."""

    records: int
    buries: bool = False
    """Whether it holds a tombstone."""
    latest: int = -1
    """The largest timestamp, ms."""


class LastOffsets:
    """Where the last record of every key is, in a stretch of the log that begins at an offset."""

    __slots__ = ("_begin", "_last", "_marks", "end")

    def __init__(self, begin: int) -> None:
        self._begin = self.end = begin
        self._last: dict[bytes | None, int] = {}
        self._marks = bytearray()

    def __len__(self) -> int:
        return len(self._last)

    def see(self, batch: bytes, base_offset: int) -> Seen:
        """Take a batch in, in the log's order.

        Raises:
            CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
        """
        head = header.parse(batch)
        self.end = max(self.end, base_offset + head.last_offset_delta + 1)
        if head.is_control or not head.record_count:
            return Seen(head.record_count, latest=head.max_timestamp)
        shift = base_offset - head.base_offset
        last, buries = self._last, False
        try:
            # A plain loop is twice as fast as anything that gathers the records in a list first.
            for record in DefaultRecordBatch(_plain(batch, head)):
                last[record.key] = record.offset + shift
                if record.value is None:
                    buries = True
        except _UNREADABLE as error:
            raise CorruptRecord(f"the batch at offset {base_offset}: {error}") from error
        return Seen(head.record_count, buries, head.max_timestamp)

    def mark(self, pace: int) -> Iterator[None]:
        """Get ready for the questions below, once all was seen; pauses after every `pace` keys."""
        self._last.pop(None, None)
        begin, end = self._begin, self.end
        marks = self._marks = bytearray(end - begin)
        offsets = iter(self._last.values())
        while stretch := list(islice(offsets, pace)):
            for offset in stretch:
                if begin <= offset < end:  # or whoever made the batch has lied about it
                    marks[offset - begin] = 1
            yield

    def staying(self, base_offset: int, next_offset: int) -> int:
        """How many records between two offsets are the last of their key."""
        return self._marks.count(1, base_offset - self._begin, next_offset - self._begin)

    def filter(self, plain: bytes | bytearray, shift: int) -> list[Any]:
        """Of the records of a batch, those that are the last of their key."""
        begin, reader = self._begin, DefaultRecordBatch(plain)
        if reader.base_offset + shift < begin:
            last = self._last
            return [r for r in reader if (key := r.key) is not None and key not in last]
        marks, shift = self._marks, shift - begin
        return [record for record in reader if marks[record.offset + shift]]


class Terms(NamedTuple):
    """By what is decided which records stay."""

    last: LastOffsets
    now_ms: int
    """The server's clock."""
    delete_retention_ms: int
    """How long a tombstone stays after it was first cleaned."""


class Cleaned(NamedTuple):
    """What is left of a batch."""

    payload: bytes | None
    """The very object that was given if nothing goes; None if nothing stays."""
    records: int
    horizon: int = NEVER
    """When its tombstones are to go, ms; `NEVER` if it has none."""
    latest: int = -1
    """The largest timestamp, ms."""


def clean(batch: bytes, base_offset: int, terms: Terms, *, keep_empty: bool) -> Cleaned:
    """A batch without the records that a later one stands for, and without old tombstones.

    Args:
        batch: one whole batch; the base offset that it carries itself does not count.
        base_offset: the offset of its first record.
        terms: what decides.
        keep_empty: whether its header stays even if no record does.

    Raises:
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
    """
    head = header.parse(batch)
    if head.is_control:
        return Cleaned(batch, head.record_count, latest=head.max_timestamp)
    if not head.record_count:
        return Cleaned(batch if keep_empty else None, 0, latest=head.max_timestamp)
    horizon = head.base_timestamp if head.attributes & header.DELETE_HORIZON_BIT else NEVER
    try:
        kept = _kept(_plain(batch, head), base_offset - head.base_offset, terms, horizon)
    except _UNREADABLE as error:
        raise CorruptRecord(f"the batch at offset {base_offset}: {error}") from error
    if not kept:
        return Cleaned(_emptied(head) if keep_empty else None, 0, latest=head.max_timestamp)
    buries = any(record.value is None for record in kept)
    if len(kept) == head.record_count and (horizon != NEVER or not buries):
        return Cleaned(batch, len(kept), horizon if buries else NEVER, head.max_timestamp)
    if buries and horizon == NEVER:
        horizon = terms.now_ms + terms.delete_retention_ms
    payload, latest = _rebuilt(head, kept, horizon)
    return Cleaned(payload, len(kept), horizon if buries else NEVER, latest)


def keys_missing(batch: bytes) -> list[int]:
    """Which of a batch's records have no key, by their place in it.

    Raises:
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
    """
    head = header.parse(batch)
    try:
        reader = DefaultRecordBatch(_plain(batch, head))
        return [place for place, record in enumerate(reader) if record.key is None]
    except _UNREADABLE as error:
        raise CorruptRecord(str(error)) from error


def _plain(batch: bytes, head: header.BatchHeader) -> bytes | bytearray:
    """The batch as the C decoder reads it: not compressed, and with its records' own timestamps."""
    if not head.attributes & (header.CODEC_MASK | header.TIMESTAMP_TYPE_BIT):
        return batch
    patched = head._replace(
        attributes=head.attributes & ~(header.CODEC_MASK | header.TIMESTAMP_TYPE_BIT)
    )
    with memoryview(batch) as view, view[header.HEADER_SIZE :] as payload:
        return compression.decompress(head.codec, payload, MAX_DECOMPRESSED, header.pack(patched))


def _kept(plain: bytes | bytearray, shift: int, terms: Terms, horizon: int) -> list[Any]:
    """The records that stay."""
    kept = terms.last.filter(plain, shift)
    expired = horizon != NEVER and terms.now_ms >= horizon
    return [record for record in kept if record.value is not None] if expired else kept


def _rebuilt(head: header.BatchHeader, kept: list[Any], horizon: int) -> tuple[bytes, int]:
    """The batch with these records only, and their largest timestamp."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, _NO_LIMIT)
    append = builder.append
    begins, base_timestamp = header.HEADER_SIZE, kept[0].timestamp
    if horizon != NEVER:
        # A record ahead, which is cut off again, makes the others count from its time.
        append(0, horizon, None, None, [])
        begins, base_timestamp = builder.size(), horizon
    base = head.base_offset
    for record in kept:
        append(record.offset - base, record.timestamp, record.key, record.value, record.headers)
    payload = bytes(builder.build())[begins:]
    if head.codec != compression.NONE:
        payload = compression.compress(head.codec, payload)
    latest = head.max_timestamp
    if not head.timestamp_type:
        latest = max(record.timestamp for record in kept)
    bit = header.DELETE_HORIZON_BIT if horizon != NEVER else 0
    return (
        header.assemble(
            head._replace(
                attributes=head.attributes & ~header.DELETE_HORIZON_BIT | bit,
                base_timestamp=base_timestamp,
                max_timestamp=latest,
                record_count=len(kept),
            ),
            payload,
        ),
        latest,
    )


def _emptied(head: header.BatchHeader) -> bytes:
    """The batch's header, for those who have to know that it was there."""
    flags = header.CODEC_MASK | header.DELETE_HORIZON_BIT
    return header.assemble(
        head._replace(
            attributes=head.attributes & ~flags,
            base_timestamp=head.max_timestamp,
            record_count=0,
        ),
        b"",
    )


def has_producer(batch: bytes) -> bool:
    """Whether a producer with an id, and so with sequences, has made the batch."""
    return header.parse(batch).producer_id >= 0

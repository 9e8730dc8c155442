"""What log compaction leaves of a batch: the last record of every key.

A batch that loses records keeps all by which others know it: where it begins and ends, its
producer's id, epoch and sequence, its codec. Records are taken apart and put together by the C
codec, never in Python, and a batch that loses nothing stays as it is, byte for byte.

Tombstones stay for a while, so that whoever reads along hears of them. Until when stands in the
batch itself, as in Kafka (KIP-534): bit 6 of the attributes says that the base timestamp is the
time from which on they go.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import compress, islice
from sys import getsizeof
from typing import Any, Final, NamedTuple

from partstream.errors import CorruptRecord
from partstream.records import compression, header
from partstream.records.codec import MAX_DECOMPRESSED
from partstream.records.native import DefaultRecordBatch, DefaultRecordBatchBuilder, KafkaError

_NO_LIMIT: Final = (1 << 31) - 1
_UNREADABLE = (KafkaError, ValueError, IndexError, OverflowError, MemoryError)
NEVER: Final = -1
"""The delete horizon of a batch that has none."""

# What CPython needs, on 64 bits: it is counted, since whoever cleans has a limit.
_INT_BYTES: Final = 32
_TABLE_BYTES: Final = 30
"""Of a dict's table for a key, at the time when it is full."""
_BATCH_BYTES: Final = 64
"""Of what is remembered of a batch, here and by the one who asks; a column may just have grown."""


class LastRecords:
    """Which record is the last of every key, in a stretch of the log.

    Batches and records are known by the order in which they were seen, from 0 on. So neither gaps
    between offsets count, nor what a record says of its own.
    """

    __slots__ = ("_controls", "_firsts", "_key_bytes", "_last", "_marks", "_produced", "_tombs")

    def __init__(self) -> None:
        self._last: dict[bytes | None, int] = {}
        self._key_bytes = 0
        self._firsts = array("q", [0])
        """Records below each batch, and all of them at the end."""
        self._tombs = bytearray()
        self._controls = bytearray()
        self._produced = bytearray()
        self._marks = bytearray()

    def __len__(self) -> int:
        """How many batches were seen."""
        return len(self._tombs)

    def see(self, batch: bytes, base_offset: int) -> header.BatchHeader:
        """Take a batch in, in the log's order.

        Raises:
            CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
        """
        head = header.parse(batch)
        first, last, buries = self._firsts[-1], self._last, False
        if head.record_count and not head.is_control:
            before = len(last)
            try:
                # A plain loop is no slower than anything that gathers the records in a list first.
                for place, record in enumerate(DefaultRecordBatch(_plain(batch, head)), first):
                    last[record.key] = place
                    if record.value is None:
                        buries = True
            except _UNREADABLE as error:
                raise CorruptRecord(f"the batch at offset {base_offset}: {error}") from error
            last.pop(None, None)
            if new := len(last) - before:
                # A dict is in the order in which its keys came. An object of 33 bytes beside the
                # key's own takes a multiple of 16.
                added = [len(key) + 48 & -16 for key in islice(reversed(last), new) if key]
                self._key_bytes += new * _INT_BYTES + sum(added)
        self._firsts.append(first + head.record_count)
        self._tombs.append(buries)
        self._controls.append(head.is_control)
        self._produced.append(head.producer_id >= 0)
        return head

    def bytes_with(self, records: int) -> int:
        """What is needed at most while so many records are taken in, their new keys apart."""
        table = getsizeof(self._last)
        if (len(self._last) + records) * _TABLE_BYTES > table:
            table += 2 * table  # it grows to twice its size, and the old one is there meanwhile
        return table + self._key_bytes + _BATCH_BYTES * len(self) + self._firsts[-1] + records

    def mark(self, pace: int) -> Iterator[None]:
        """Get ready for the questions below, once all was seen; pauses after every `pace` keys."""
        marks = self._marks = bytearray(self._firsts[-1])
        places = iter(self._last.values())
        while stretch := list(islice(places, pace)):
            for place in stretch:
                marks[place] = 1
            yield

    def staying(self, number: int) -> int:
        """How many records of a batch are the last of their key."""
        return self._marks.count(1, self._firsts[number], self._firsts[number + 1])

    def stays(self, number: int, *, keep_empty: bool) -> bool:
        """Whether something of a batch stays."""
        return _stays(
            self.staying(number), is_control=bool(self._controls[number]), keep_empty=keep_empty
        )

    def is_whole(self, number: int) -> bool:
        """Whether all records of a batch stay, and none of them is a tombstone."""
        records = self._firsts[number + 1] - self._firsts[number]
        return self.staying(number) == records > 0 and not self._tombs[number]

    def is_produced(self, number: int) -> bool:
        """Whether a producer with an id, and so with sequences, has made the batch."""
        return bool(self._produced[number])

    def filter(self, plain: bytes | bytearray, number: int | None) -> list[Any]:
        """Of the records of a batch, those that are the last of their key.

        Args:
            plain: the batch, not compressed.
            number: the one under which it was seen; None if it lies before all that were.
        """
        reader = DefaultRecordBatch(plain)
        if number is None:
            last = self._last
            return [r for r in reader if (key := r.key) is not None and key not in last]
        return list(compress(reader, self._marks[self._firsts[number] : self._firsts[number + 1]]))


def _stays(records: int, *, is_control: bool, keep_empty: bool) -> bool:
    """Whether a batch of which so many records stay does so itself.

    What control batches say of transactions is for readers to know, so they stay whole.
    """
    return records > 0 or is_control or keep_empty


class Terms(NamedTuple):
    """By what is decided which records stay."""

    last: LastRecords
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


def clean(
    batch: bytes, base_offset: int, terms: Terms, *, number: int | None, keep_empty: bool
) -> Cleaned:
    """A batch without the records that a later one stands for, and without old tombstones.

    Args:
        batch: one whole batch; the base offset that it carries itself does not count.
        base_offset: the offset of its first record.
        terms: what decides.
        number: the one under which `terms.last` has seen it; None if it lies before all of those.
        keep_empty: whether its header stays even if no record does.

    Raises:
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
    """
    head = header.parse(batch)
    if head.is_control or (number is not None and terms.last.is_whole(number)):
        return Cleaned(batch, head.record_count, latest=head.max_timestamp)
    horizon = head.base_timestamp if head.attributes & header.DELETE_HORIZON_BIT else NEVER
    try:
        kept = _kept(_plain(batch, head), terms, number, horizon) if head.record_count else []
    except _UNREADABLE as error:
        raise CorruptRecord(f"the batch at offset {base_offset}: {error}") from error
    if not _stays(len(kept), is_control=False, keep_empty=keep_empty):
        return Cleaned(None, 0, latest=head.max_timestamp)
    if not kept:
        empty = _emptied(head) if head.record_count else batch
        return Cleaned(empty, 0, latest=head.max_timestamp)
    buries = None in [record.value for record in kept]
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


def _kept(plain: bytes | bytearray, terms: Terms, number: int | None, horizon: int) -> list[Any]:
    """The records that stay."""
    kept = terms.last.filter(plain, number)
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
        latest = max([record.timestamp for record in kept])
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

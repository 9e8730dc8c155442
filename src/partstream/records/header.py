"""The 61-byte header of a RecordBatch v2: read it, check it, patch it. No record is decoded here.

Layout (https://kafka.apache.org/documentation/#recordbatch). The CRC-32C covers everything from
the attributes on, so base offset and leader epoch may be rewritten without touching it.

| bytes | field | bytes | field |
|---|---|---|---|
| 0-7 | base offset | 27-34 | base timestamp |
| 8-11 | batch length, from byte 12 on | 35-42 | max timestamp |
| 12-15 | partition leader epoch | 43-50 | producer id |
| 16 | magic, 2 | 51-52 | producer epoch |
| 17-20 | CRC-32C | 53-56 | base sequence |
| 21-22 | attributes | 57-60 | record count |
| 23-26 | last offset delta | 61- | records |
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, TypeVar

from partstream.errors import CorruptRecord
from partstream.records.checksum import crc32c

HEADER_SIZE = 61
LENGTH_END = 12
"""The batch length counts from here: what stands before is not in it."""
MAGIC = 2

CODEC_MASK = 0x07
TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

_MAGIC_AT = 16
_CRC_AT = 17
_ATTRIBUTES_AT = 21
_MAX_TIMESTAMP_AT = 35
_PRODUCER_AT = 43

_HEADER = Struct(">qiibIhiqqqhii")
_PREFIX = Struct(">q4si")
_CRC = Struct(">I")
_ATTRIBUTES = Struct(">h")
_INT32 = Struct(">i")
_INT64 = Struct(">q")
_PRODUCER = Struct(">qhi")

Bytes = TypeVar("Bytes", bytes, memoryview)


class BatchHeader(NamedTuple):
    """The header's fields, with Kafka's names."""

    base_offset: int
    length: int
    """Bytes after the length field itself: the whole batch is 12 bytes longer."""
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    """-1 for a producer without idempotence; so are its epoch and sequence."""
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def codec(self) -> int:
        """The compression codec's number, 0 (none) to 4 (zstd); 5 to 7 are unknown to Kafka."""
        return self.attributes & CODEC_MASK

    @property
    def timestamp_type(self) -> int:
        """0 CreateTime, 1 LogAppendTime."""
        return (self.attributes & TIMESTAMP_TYPE_BIT) >> 3

    @property
    def is_transactional(self) -> bool:
        """Whether the batch belongs to a transaction (KIP-98)."""
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def is_control(self) -> bool:
        """Whether the batch holds a transaction marker instead of records (KIP-98)."""
        return bool(self.attributes & CONTROL_BIT)

    @property
    def has_delete_horizon(self) -> bool:
        """Whether the base timestamp says when tombstones may go (KIP-534)."""
        return bool(self.attributes & DELETE_HORIZON_BIT)


def parse(batch: bytes | bytearray | memoryview) -> BatchHeader:
    """Read the header of exactly one batch; the CRC is not checked.

    Raises:
        CorruptRecord: it is no RecordBatch v2, or its header contradicts itself.
    """
    size = len(batch)
    if size < HEADER_SIZE:
        raise CorruptRecord(f"a record batch has at least {HEADER_SIZE} bytes, this one {size}")
    header = BatchHeader._make(_HEADER.unpack_from(batch))
    if header.magic != MAGIC:
        raise CorruptRecord(f"magic is {header.magic}, only record batches of magic 2 are known")
    if header.length != size - LENGTH_END:
        raise CorruptRecord(
            f"batch length says {header.length} bytes, {size - LENGTH_END} are there"
        )
    if header.record_count < 0:
        raise CorruptRecord(f"record count is {header.record_count}")
    if header.last_offset_delta < 0:
        raise CorruptRecord(f"last offset delta is {header.last_offset_delta}")
    if header.last_offset_delta + 1 < header.record_count:
        raise CorruptRecord(
            f"{header.record_count} records do not fit a last offset delta"
            f" of {header.last_offset_delta}"
        )
    return header


def pack(header: BatchHeader) -> bytes:
    """The 61 bytes of a header, as they are: neither length nor CRC is computed."""
    return _HEADER.pack(*header)


def assemble(header: BatchHeader, payload: bytes) -> bytes:
    """A batch of this header and these bytes of records; its length and CRC are computed."""
    length = HEADER_SIZE - LENGTH_END + len(payload)
    return _sealed(bytearray(b"".join((pack(header._replace(length=length)), payload))))


def check_crc(batch: bytes | bytearray | memoryview) -> None:
    """Compare the batch's CRC-32C with its bytes.

    Raises:
        CorruptRecord: they differ, or the batch is shorter than a header.
    """
    if len(batch) < HEADER_SIZE:
        raise CorruptRecord(
            f"a record batch has at least {HEADER_SIZE} bytes, this one {len(batch)}"
        )
    (stored,) = _CRC.unpack_from(batch, _CRC_AT)
    with memoryview(batch) as view, view[_ATTRIBUTES_AT:] as body:
        computed = crc32c(body)
    if stored != computed:
        raise CorruptRecord(f"CRC-32C is {stored:#010x}, the bytes give {computed:#010x}")


def prefix(batch: bytes | memoryview, base_offset: int, leader_epoch: int) -> bytes:
    """The batch's first 16 bytes as they go to a reader; what follows is sent as it is stored."""
    return _PREFIX.pack(base_offset, bytes(batch[8:LENGTH_END]), leader_epoch)


def stamp(batch: bytes | memoryview, base_offset: int, leader_epoch: int) -> bytes:
    """The batch with its base offset and leader epoch; neither is under the CRC."""
    return b"".join((prefix(batch, base_offset, leader_epoch), batch[_MAGIC_AT:]))


def stamp_log_append_time(batch: bytes | memoryview, timestamp_ms: int) -> bytes:
    """The batch as the log re-dates it for LogAppendTime: type bit, max timestamp, new CRC."""
    patched = bytearray(batch)
    (attributes,) = _ATTRIBUTES.unpack_from(patched, _ATTRIBUTES_AT)
    _ATTRIBUTES.pack_into(patched, _ATTRIBUTES_AT, attributes | TIMESTAMP_TYPE_BIT)
    _INT64.pack_into(patched, _MAX_TIMESTAMP_AT, timestamp_ms)
    return _sealed(patched)


def with_create_time(batch: bytes | memoryview) -> bytes:
    """The batch without the claim that a log has dated it (LogAppendTime), with a new CRC."""
    patched = bytearray(batch)
    (attributes,) = _ATTRIBUTES.unpack_from(patched, _ATTRIBUTES_AT)
    _ATTRIBUTES.pack_into(patched, _ATTRIBUTES_AT, attributes & ~TIMESTAMP_TYPE_BIT)
    return _sealed(patched)


def with_producer(
    batch: bytes | memoryview, producer_id: int, producer_epoch: int, base_sequence: int
) -> bytes:
    """The batch under another producer id, epoch and sequence, with a new CRC."""
    patched = bytearray(batch)
    _PRODUCER.pack_into(patched, _PRODUCER_AT, producer_id, producer_epoch, base_sequence)
    return _sealed(patched)


def with_payload(batch: bytes | bytearray, payload: bytes, codec: int) -> bytes:
    """The batch with its records replaced by `payload`, which `codec` compressed; new CRC."""
    patched = bytearray(b"".join((batch[:HEADER_SIZE], payload)))
    _INT32.pack_into(patched, 8, len(patched) - LENGTH_END)
    (attributes,) = _ATTRIBUTES.unpack_from(patched, _ATTRIBUTES_AT)
    _ATTRIBUTES.pack_into(patched, _ATTRIBUTES_AT, attributes & ~CODEC_MASK | codec)
    return _sealed(patched)


def _sealed(batch: bytearray) -> bytes:
    with memoryview(batch) as view, view[_ATTRIBUTES_AT:] as body:
        _CRC.pack_into(batch, _CRC_AT, crc32c(body))
    return bytes(batch)


def batches(buffer: Bytes) -> list[Bytes]:
    """Split batches that stand one behind the other; slices are of the buffer's own type.

    Only lengths and magic are checked here; `parse` and `check_crc` check the rest.

    Raises:
        CorruptRecord: a length runs past the buffer, or bytes are left over.
    """
    found: list[Bytes] = []
    at, end = 0, len(buffer)
    while at < end:
        if end - at < HEADER_SIZE:
            raise CorruptRecord(f"{end - at} bytes at {at} are too few for a record batch")
        magic = buffer[at + _MAGIC_AT]
        if magic != MAGIC:
            raise CorruptRecord(
                f"magic at {at} is {magic}, only record batches of magic 2 are known"
            )
        (length,) = _INT32.unpack_from(buffer, at + 8)
        stop = at + LENGTH_END + length
        if length < HEADER_SIZE - LENGTH_END or stop > end:
            raise CorruptRecord(
                f"batch length at {at} says {length} bytes, {end - at - LENGTH_END} are there"
            )
        found.append(buffer[at:stop])
        at = stop
    return found

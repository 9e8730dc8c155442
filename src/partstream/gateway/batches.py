"""What a broker checks of the batches that a client sends, and makes of those that it hands out."""

from __future__ import annotations

import time
from contextlib import suppress

from partstream.config.topic import TopicConfig
from partstream.engine.partition import Partition, Topic
from partstream.engine.reading import StoredBatch
from partstream.errors import (
    CorruptRecord,
    InvalidRecord,
    InvalidTimestamp,
    PartstreamError,
    RecordBatchTooLarge,
    TransactionalIdAuthorizationFailed,
    UnsupportedCompressionType,
)
from partstream.gateway.framing import Piece
from partstream.records import compression, header
from partstream.records.cleaning import keys_missing
from partstream.records.codec import decode

_MAGIC_AT = 16
_ATTRIBUTES_AT = 22
"""The byte that names the codec."""
_LEAST_LENGTH = 14
"""Kafka takes a smaller length of a batch for a damaged one."""
_ZSTD_SINCE = 7
"""The first version of Produce whose clients know zstd (KIP-110)."""
_MAX_DECOMPRESSED = 64 << 20
_MAX_LOOKED_INTO = 4 << 20
_PREFIX = 16
_NO_TIMESTAMP = -1
_DEFAULTS = TopicConfig()
_FIRST = 3
"""So many errors of records are named in the text of a batch's."""


class RecordsRefused(InvalidRecord, name="INVALID_RECORD"):
    """Records of a batch that may not be stored, and so the whole batch (KIP-467)."""

    def __init__(self, places: list[int], why: str) -> None:
        self.rows = [(place, why) for place in places]
        first = ", ".join(
            f"RecordError(batchIndex={place}, message='{why}')" for place in places[:_FIRST]
        )
        super().__init__(
            f"One or more records have been rejected due to {len(places)} record errors in total, "
            f"and only showing the first three errors at most: [{first}]"
        )


RecordsRefused.code = InvalidRecord.code  # not by keyword, which would make it the code's own class


def framed(records: bytes | None, version: int) -> bytes:
    """The one batch of a partition in a Produce request, by its length; bytes behind it that are
    no batch are cut off, as Kafka does it.

    Raises:
        InvalidRecord: there is not just one batch, or it is of an older kind.
        CorruptRecord: it is of no kind, or shorter than it can be.
        UnsupportedCompressionType: the version knows no zstd.
    """
    if records is None or len(records) <= _MAGIC_AT:
        raise _no_batch(version)
    end = _end(records, 0)
    if end > len(records):
        raise _no_batch(version)
    magic = records[_MAGIC_AT]
    if magic < header.MAGIC:
        raise InvalidRecord(
            f"Produce requests with version {version} are only allowed to contain record batches "
            "with magic version 2"
        )
    if magic > header.MAGIC:
        raise CorruptRecord(f"Invalid magic found in record: {magic}")
    if len(records) - end > _MAGIC_AT and _end(records, end) <= len(records):
        raise InvalidRecord(
            f"Produce requests with version {version} are only allowed to contain exactly one "
            "record batch per partition"
        )
    codec = records[_ATTRIBUTES_AT] & header.CODEC_MASK if end > _ATTRIBUTES_AT else 0
    if codec == compression.ZSTD and version < _ZSTD_SINCE:
        raise UnsupportedCompressionType(
            f"Produce requests with version {version} are not allowed to use ZStandard compression"
        )
    return records if end == len(records) else records[:end]


def _no_batch(version: int) -> InvalidRecord:
    return InvalidRecord(
        f"Produce requests with version {version} must have at least one record batch per partition"
    )


def _end(records: bytes, begin: int) -> int:
    """Where the batch that begins there ends, by its own word."""
    length = int.from_bytes(records[begin + 8 : begin + header.LENGTH_END], "big", signed=True)
    if length < _LEAST_LENGTH:
        if begin:
            raise CorruptRecord  # of bytes behind the batch, Kafka says no more than that
        raise CorruptRecord(f"Record size {length} is less than the minimum {_LEAST_LENGTH}")
    return begin + header.LENGTH_END + length


def checked(topic: Topic, partition: Partition, batch: bytes) -> bytes:
    """A batch as it is to be stored. Its records are not looked at, unless the topic asks for that:
    each needs a key, or times that are not the default ones.

    Raises:
        InvalidRecord: its header contradicts itself, or a client may not send it.
        CorruptRecord: it is damaged.
        UnsupportedCompressionType: it is compressed in a way that nobody knows.
        TransactionalIdAuthorizationFailed: it belongs to a transaction.
        InvalidTimestamp: the topic says how old or how far ahead records may be, and some are not.
        RecordsRefused: the topic is compacted, and records have no key.
        RecordBatchTooLarge: it is larger than a segment. Larger still, and the log refuses it.
    """
    header.check_crc(batch)
    try:
        head = header.parse(batch)
    except CorruptRecord as error:
        raise InvalidRecord(str(error)) from None
    if head.is_control:
        raise InvalidRecord("Clients are not allowed to write control records")
    if head.is_transactional:
        raise TransactionalIdAuthorizationFailed("there are no transactions yet")
    if head.codec > compression.ZSTD:
        raise UnsupportedCompressionType(f"Unknown compression type id: {head.codec}")
    if not head.record_count or head.record_count != head.last_offset_delta + 1:
        raise InvalidRecord(
            f"Inconsistent batch offset range: {head.record_count} records, last offset delta "
            f"{head.last_offset_delta}"
        )
    if head.base_offset:
        raise InvalidRecord(
            f"The baseOffset of the record batch should be 0, but it is {head.base_offset}"
        )
    if head.producer_id >= 0 and head.base_sequence < 0:
        raise InvalidRecord(f"Invalid sequence number {head.base_sequence} with a producer id")
    if topic.config.compacts and (places := keys_missing(batch)):
        raise RecordsRefused(
            places,
            f"Compacted topic cannot accept message without key in topic partition {partition}",
        )
    if head.timestamp_type:
        batch = header.with_create_time(batch)
    if _bounds_times(topic.config) and _misdated(topic, batch, _MAX_DECOMPRESSED):
        raise InvalidTimestamp("a timestamp of the batch is out of range")
    batch = _recompressed(topic, batch, head)
    if topic.config.segment_bytes < len(batch) <= topic.config.max_message_bytes:
        raise RecordBatchTooLarge(
            f"a batch of {len(batch)} bytes; segment.bytes is {topic.config.segment_bytes}"
        )
    return batch


def misdated(topic: Topic, batch: bytes) -> list[tuple[int, str]]:
    """Which records of a batch that was refused for its timestamps have such: number and reason.

    A batch that is large when it is unpacked is not looked into; its first record stands for all.
    """
    with suppress(PartstreamError):
        if found := _misdated(topic, batch, _MAX_LOOKED_INTO):
            return found
    return [(0, "A timestamp of the batch is out of range.")]


def _bounds_times(config: TopicConfig) -> bool:
    """Whether a batch's header is not enough. The largest timestamp, which it has, is all that the
    default bounds ask for."""
    return config.message_timestamp_type == "CreateTime" and (
        config.message_timestamp_before_max_ms < _DEFAULTS.message_timestamp_before_max_ms
        or config.message_timestamp_after_max_ms < _DEFAULTS.message_timestamp_after_max_ms
    )


def _misdated(topic: Topic, batch: bytes, max_decompressed: int) -> list[tuple[int, str]]:
    """As `misdated`, of any batch.

    Raises:
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
    """
    config, now_ms = topic.config, int(time.time() * 1000)
    least = now_ms - config.message_timestamp_before_max_ms
    most = now_ms + config.message_timestamp_after_max_ms
    records = decode(batch, topic.name, 0, 0, max_decompressed=max_decompressed)
    return [
        (
            number,
            f"Timestamp {record.timestamp} of message with offset {number} is out of range. The "
            f"timestamp should be within [{least}, {most}]",
        )
        for number, record in enumerate(records)
        if record.timestamp != _NO_TIMESTAMP and not least <= record.timestamp <= most
    ]


def _recompressed(topic: Topic, batch: bytes, head: header.BatchHeader) -> bytes:
    """The batch in the compression that the topic asks for, if it asks for one."""
    kind = topic.config.compression_type
    if kind == "producer":
        return batch
    codec = compression.codec_of("none" if kind == "uncompressed" else kind)
    if codec == head.codec:
        return batch
    with memoryview(batch) as view, view[header.HEADER_SIZE :] as payload:
        plain = bytes(compression.decompress(head.codec, payload, _MAX_DECOMPRESSED))
    packed = (
        plain
        if codec == compression.NONE
        else compression.compress(codec, plain, topic.config.compression_level)
    )
    return header.with_payload(batch, packed, codec)


def handed_out(stored: StoredBatch) -> tuple[Piece, Piece]:
    """A batch as a client gets it: its first bytes with offset and epoch, and the rest as it is."""
    payload = stored.payload
    if stored.append_time is not None:
        payload = header.stamp_log_append_time(payload, stored.append_time)
    prefix = header.prefix(payload, stored.base_offset, stored.leader_epoch)
    return prefix, memoryview(payload)[_PREFIX:]

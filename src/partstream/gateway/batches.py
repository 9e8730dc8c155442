"""What a broker checks of the batches that a client sends, and makes of those that it hands out."""

from __future__ import annotations

from partstream.engine.partition import Topic
from partstream.engine.reading import StoredBatch
from partstream.errors import (
    CorruptRecord,
    InvalidRecord,
    InvalidTxnState,
    UnsupportedCompressionType,
)
from partstream.gateway.framing import Piece
from partstream.records import compression, header

_MAGIC_AT = 16
_ZSTD_SINCE = 7
"""The first version of Produce whose clients know zstd (KIP-110)."""
_MAX_DECOMPRESSED = 64 << 20
_PREFIX = 16


def checked(topic: Topic, records: bytes | None, version: int) -> bytes:
    """The one batch of a partition in a Produce request, as it is to be stored.

    Raises:
        InvalidRecord: there is not just one batch, or a client may not send it.
        CorruptRecord: it is damaged.
        UnsupportedCompressionType: the version knows no zstd.
        InvalidTxnState: it belongs to a transaction.
    """
    if not records:
        raise _no_batch(version)
    head = _parse_first(records, version)
    if head.is_control:
        raise InvalidRecord("Clients are not allowed to write control records")
    if head.is_transactional:
        raise InvalidTxnState("the batch belongs to a transaction, and there are none yet")
    if head.codec > compression.ZSTD:
        raise UnsupportedCompressionType(f"Unknown compression type id: {head.codec}")
    if head.codec == compression.ZSTD and version < _ZSTD_SINCE:
        raise UnsupportedCompressionType(
            f"Produce requests with version {version} are not allowed to use ZStandard compression"
        )
    header.check_crc(records)
    if head.record_count != head.last_offset_delta + 1:
        raise InvalidRecord(
            f"Inconsistent batch offset range: {head.record_count} records, last offset delta "
            f"{head.last_offset_delta}"
        )
    if head.producer_id >= 0 and head.base_sequence < 0:
        raise InvalidRecord(f"Invalid sequence number {head.base_sequence} with a producer id")
    return _recompressed(topic, records, head)


def _no_batch(version: int) -> InvalidRecord:
    return InvalidRecord(
        f"Produce requests with version {version} must have at least one record batch per partition"
    )


def _parse_first(records: bytes, version: int) -> header.BatchHeader:
    if len(records) > _MAGIC_AT and records[_MAGIC_AT] != header.MAGIC:
        raise InvalidRecord(
            f"Produce requests with version {version} are only allowed to contain record batches "
            "with magic version 2"
        )
    if len(records) >= header.HEADER_SIZE:
        length = int.from_bytes(records[8:12], "big", signed=True) + header.LENGTH_END
        if header.HEADER_SIZE <= length < len(records):
            raise InvalidRecord(
                f"Produce requests with version {version} are only allowed to contain exactly one "
                "record batch per partition"
            )
        if length > len(records):
            raise _no_batch(version)
    else:
        raise _no_batch(version)
    head = header.parse(records)
    if not head.record_count:
        raise CorruptRecord("a batch without records")
    return head


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
    packed = plain if codec == compression.NONE else compression.compress(codec, plain)
    return header.with_payload(batch, packed, codec)


def handed_out(stored: StoredBatch) -> tuple[Piece, Piece]:
    """A batch as a client gets it: its first bytes with offset and epoch, and the rest as it is."""
    payload = stored.payload
    if stored.append_time is not None:
        payload = header.stamp_log_append_time(payload, stored.append_time)
    prefix = header.prefix(payload, stored.base_offset, stored.leader_epoch)
    return prefix, memoryview(payload)[_PREFIX:]

"""Records to record batches and back, around aiokafka's C codec.

Only whole `bytes` and `bytearray` objects are handed to the C decoder. It looks one byte past the
end before it notices that a batch is cut, and those two types end in a zero byte that it may read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final

from partstream.errors import (
    CorruptRecord,
    IllegalState,
    InvalidTimestamp,
    PartstreamError,
    SerializationError,
)
from partstream.model import Record, TimestampType
from partstream.records import compression, header
from partstream.records.native import DefaultRecordBatch, DefaultRecordBatchBuilder, KafkaError

HeaderList = list[tuple[str, bytes | None]]
"""Record headers as the C codec takes them: a list of tuples, nothing else."""

MAX_DECOMPRESSED: Final = 256 * 1024 * 1024
"""Bytes that one batch may decompress to, unless the caller says otherwise."""

_NO_LIMIT: Final = (1 << 31) - 1
"""A batch's length is an int32."""

_new_record: Callable[[Iterable[tuple[Any, ...]]], Iterable[Record]] = partial(
    map, tuple.__new__, repeat(Record)
)
"""Tuples -> `Record`s. `Record(...)` runs in Python and takes twice as long."""


class BatchBuilder:
    """Collects records into one batch, up to a number of bytes.

    `append` costs some 80 ns more than the C call that it wraps. A caller for whom that is too
    much calls `c_append(count, timestamp, key, value, headers)` itself, which answers None if the
    record does not fit, raises plain TypeError, ValueError, OverflowError or BufferError for what
    it cannot take, and leaves it to the caller to raise `count` and to refuse negative timestamps.
    """

    __slots__ = ("_builder", "_codec", "_level", "c_append", "count", "max_timestamp")

    def __init__(self, codec: int = 0, limit: int = _NO_LIMIT, level: int | None = None) -> None:
        """Start an empty batch.

        Args:
            codec: the compression codec's number (see `compression.CODECS`), applied by `build`.
            limit: bytes that the batch may have before compression, header included; a first
                record that is larger is taken all the same.
            level: the codec's compression level; by default what Kafka's clients use.
        """
        # The C builder refuses a record that would make the batch as large as its size or larger.
        self._builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, limit + 1)
        self.c_append: Callable[..., Any] = self._builder.append
        self._codec = codec
        self._level = level
        self.count = 0
        """Records in the batch; also the offset delta of the next one."""
        self.max_timestamp = -1
        """The largest timestamp, milliseconds; known only after `build`."""

    def append(
        self, timestamp: int, key: bytes | None, value: bytes | None, headers: HeaderList
    ) -> bool:
        """Add a record; False if it does not fit any more.

        Args:
            timestamp: milliseconds since 1970, not negative.
            key: any buffer, or None.
            value: any buffer, or None for a tombstone.
            headers: a list of (name, bytes or None) tuples.

        Raises:
            InvalidTimestamp: the timestamp is negative.
            SerializationError: something has the wrong type; the batch is as it was before.
        """
        try:
            if timestamp < 0:
                raise InvalidTimestamp(f"timestamp {timestamp} is negative")
            if self.c_append(self.count, timestamp, key, value, headers) is None:
                return False
        except (TypeError, ValueError, OverflowError, BufferError) as error:
            raise unfit(timestamp, key, value, headers, error) from error
        self.count += 1
        return True

    @property
    def size(self) -> int:
        """Bytes so far, header included and before compression."""
        size: int = self._builder.size()
        return size

    def build(
        self, producer_id: int = -1, producer_epoch: int = -1, base_sequence: int = -1
    ) -> bytes:
        """The batch, compressed, with base offset 0; may be called again under another producer.

        Raises:
            IllegalState: the batch has no record.
        """
        if not self.count:
            raise IllegalState("a batch without records cannot be built")
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)
        built = self._builder.build()
        if self._codec == compression.NONE:
            batch = bytes(built)
        else:
            with memoryview(built) as view, view[header.HEADER_SIZE :] as records:
                payload = compression.compress(self._codec, records, self._level)
            batch = header.with_payload(built, payload, self._codec)
        self.max_timestamp = header.parse(batch).max_timestamp
        return batch


def unfit(
    timestamp: object, key: object, value: object, headers: object, error: Exception
) -> SerializationError:
    """Name the part of a record that the C codec refused with `error`."""
    if not isinstance(timestamp, int) or isinstance(timestamp, bool):
        return SerializationError(
            f"timestamp must be an int, not {type(timestamp).__name__}: {timestamp!r:.100}"
        )
    for name, part in (("key", key), ("value", value)):
        if not isinstance(part, bytes | bytearray | memoryview | None):
            kind = type(part).__name__
            return SerializationError(f"{name} must be bytes or None, not {kind}: {part!r:.100}")
    if not isinstance(headers, list):
        return SerializationError(
            f"headers must be a list, not {type(headers).__name__}: {headers!r:.100}"
        )
    for entry in headers:
        match entry:
            case (str(), bytes() | None) if isinstance(entry, tuple):
                continue
        return SerializationError(
            f"a header must be a tuple of a str and bytes or None, not {entry!r:.100}"
        )
    return SerializationError(f"the record cannot be encoded: {error}")


def size_of(key: bytes | None, value: bytes | None, headers: HeaderList) -> int:
    """Bytes that a batch with this record alone has at most, before compression."""
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
    return size


def encode(
    records: Iterable[tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]],
    codec: int = 0,
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
) -> bytes:
    """One batch of all these (timestamp, key, value, headers), however large.

    Raises:
        IllegalState: there are no records.
        InvalidTimestamp: a timestamp is negative.
        SerializationError: something has the wrong type.
    """
    builder = BatchBuilder(codec)
    for timestamp, key, value, headers in records:
        builder.append(timestamp, key, value, list(headers))
    return builder.build(producer_id, producer_epoch, base_sequence)


def decode(
    batch: bytes,
    topic: str,
    partition: int,
    base_offset: int,
    *,
    from_offset: int = 0,
    append_time: int | None = None,
    max_decompressed: int = MAX_DECOMPRESSED,
    check_crcs: bool = True,
) -> list[Record]:
    """The records of a batch, in order, from `from_offset` on.

    Args:
        batch: one whole batch; the base offset that it carries itself does not count.
        topic: goes into the records, and into the text of errors.
        partition: as `topic`.
        base_offset: the offset of the batch's first record.
        from_offset: records before it are left out.
        append_time: when the log took the batch, milliseconds, if that is to stand for the
            records' own timestamps (LogAppendTime).
        max_decompressed: bytes that the batch may decompress to; checked before they are there.
        check_crcs: compare the CRC-32C first.

    Raises:
        CorruptRecord: the batch is damaged; the text names topic, partition and offset.
        RecordTooLarge: it decompresses to more than `max_decompressed` bytes.
        UnsupportedCompressionType: it is compressed in a way that Kafka does not know.
    """
    try:
        head = header.parse(batch)
        if check_crcs:
            header.check_crc(batch)
        if head.is_control or not head.record_count:
            return []
        reader = DefaultRecordBatch(_readable(batch, head, append_time, max_decompressed))
        kind = head.timestamp_type if append_time is None else TimestampType.LOG_APPEND_TIME.value
        records = _records(reader, topic, partition, base_offset - head.base_offset, kind)
        if records[0].offset < base_offset or (
            records[-1].offset > base_offset + head.last_offset_delta
        ):
            raise CorruptRecord("offsets of records lie outside the batch")
    except PartstreamError as error:
        raise type(error)(f"{_where(topic, partition, base_offset)}: {error}") from error
    except (KafkaError, ValueError, OverflowError, MemoryError) as error:
        raise CorruptRecord(f"{_where(topic, partition, base_offset)}: {error}") from error
    if from_offset > base_offset:
        return [record for record in records if record.offset >= from_offset]
    return records


def oldest_timestamp(batch: bytes) -> int:
    """The smallest timestamp of a batch that has records, ms: its header has only the largest.

    Raises:
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: it cannot be read.
    """
    head = header.parse(batch)
    try:
        reader = DefaultRecordBatch(_readable(batch, head, None, MAX_DECOMPRESSED))
        oldest: int = min(record.timestamp for record in reader)
    except (KafkaError, ValueError, OverflowError, MemoryError) as error:
        raise CorruptRecord(str(error)) from error
    return oldest


def _where(topic: str, partition: int, base_offset: int) -> str:
    return f"the batch of {topic}-{partition} at offset {base_offset} cannot be read"


def _readable(
    batch: bytes, head: header.BatchHeader, append_time: int | None, max_decompressed: int
) -> bytes | bytearray:
    """The batch as the C decoder can read it: in plain, and dated by the log if that is asked."""
    if not head.codec and append_time is None:
        return bytes(batch)
    attributes, max_timestamp = head.attributes & ~header.CODEC_MASK, head.max_timestamp
    if append_time is not None:
        attributes, max_timestamp = attributes | header.TIMESTAMP_TYPE_BIT, append_time
    patched = head._replace(attributes=attributes, max_timestamp=max_timestamp)
    with memoryview(batch) as view, view[header.HEADER_SIZE :] as payload:
        return compression.decompress(head.codec, payload, max_decompressed, header.pack(patched))


def _records(
    reader: Iterable[Any], topic: str, partition: int, shift: int, kind: int
) -> list[Record]:
    """Every record of the batch. This loop is what a consumer spends its time in."""
    return list(
        _new_record(
            [
                (
                    topic,
                    partition,
                    record.offset + shift,
                    record.timestamp,
                    kind,
                    record.key,
                    record.value,
                    tuple(record.headers) if record.headers else (),
                )
                for record in reader
            ]
        )
    )


def deserialize(
    records: Sequence[Record],
    key_deserializer: Callable[[bytes], Any] | None = None,
    value_deserializer: Callable[[bytes], Any] | None = None,
) -> tuple[list[Record], SerializationError | None]:
    """Records with keys and values deserialized, up to the first that fails, and its failure.

    None stays None: no deserializer sees it. The failure names topic, partition and offset of the
    record; whoever seeks past it goes on.
    """
    done: list[Record] = []
    for record in records:
        key, value = record.key, record.value
        try:
            if key_deserializer is not None and key is not None:
                key = key_deserializer(key)
            if value_deserializer is not None and value is not None:
                value = value_deserializer(value)
        except Exception as error:  # noqa: BLE001 (a deserializer is the user's code)
            place = f"{record.topic}-{record.partition} at offset {record.offset}"
            failure = SerializationError(f"the record of {place} cannot be deserialized: {error!r}")
            failure.__cause__ = error
            return done, failure
        done.append(tuple.__new__(Record, (*record[:5], key, value, record.headers)))
    return done, None

"""Whatever is written is read back alike, by us and by the real clients' readers; and no bytes,
however damaged, make the reader raise anything but our own errors."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords as AiokafkaRecords
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import codec as kafka_python_codecs
from kafka.record import MemoryRecords as KafkaPythonRecords
from kafka.record import MemoryRecordsBuilder

from partstream.errors import PartstreamError
from partstream.model import Record
from partstream.records import compression, header
from partstream.records.codec import decode, encode
from partstream.records.compression import NAMES, decompress

codecs = st.integers(0, 4)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
blobs = st.none() | st.binary(max_size=40) | st.binary(min_size=100, max_size=300)
headers = st.lists(st.tuples(texts, st.none() | st.binary(max_size=10)), max_size=4)
timestamps = st.integers(0, 2_000_000_000_000) | st.integers(0, (1 << 63) - 1)
record_lists = st.lists(st.tuples(timestamps, blobs, blobs, headers), min_size=1, max_size=20)
offsets = st.integers(0, 1 << 62)


@given(record_lists, codecs, offsets, st.data())
def test_our_own_reader(records: list[Any], codec: int, base: int, data: st.DataObject) -> None:
    raw = encode(records, codec)
    expected = [
        Record("t", 1, base + i, timestamp, 0, key, value, tuple(names))
        for i, (timestamp, key, value, names) in enumerate(records)
    ]
    start = data.draw(st.integers(base - 1, base + len(records)))
    assert decode(raw, "t", 1, base) == expected
    assert decode(raw, "t", 1, base, from_offset=start) == [
        r for r in expected if r.offset >= start
    ]
    stamped = header.stamp(raw, base, 3)
    assert decode(stamped, "t", 1, base) == expected
    assert header.parse(raw).max_timestamp == max(timestamp for timestamp, *_ in records)


@given(record_lists, codecs, offsets)
def test_aiokafkas_reader(records: list[Any], codec: int, base: int) -> None:
    batch = AiokafkaRecords(header.stamp(encode(records, codec), base, 3)).next_batch()
    assert batch.validate_crc()
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in batch] == [
        (base + i, *record) for i, record in enumerate(records)
    ]


@pytest.mark.parametrize("codec", range(5))
@given(records=record_lists, base=offsets)
@settings(max_examples=40)
def test_kafka_pythons_reader(codec: int, records: list[Any], base: int) -> None:
    assert codec == 0 or getattr(kafka_python_codecs, f"has_{NAMES[codec]}")()
    batch = KafkaPythonRecords(header.stamp(encode(records, codec), base, 3)).next_batch()
    assert batch.validate_crc()
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in batch] == [
        (base + i, *record) for i, record in enumerate(records)
    ]


@pytest.mark.parametrize("codec", range(5))
@given(records=record_lists, base=offsets)
@settings(max_examples=40)
def test_kafka_pythons_writer(codec: int, records: list[Any], base: int) -> None:
    builder = MemoryRecordsBuilder(2, codec, 1 << 20)
    for timestamp, key, value, names in records:
        builder.append(timestamp, key, value, names)
    builder.close()
    assert decode(bytes(builder.buffer()), "t", 1, base) == [
        Record("t", 1, base + i, timestamp, 0, key, value, tuple(names))
        for i, (timestamp, key, value, names) in enumerate(records)
    ]


@given(st.lists(record_lists, min_size=1, max_size=4), codecs)
def test_splitting(lists: list[list[Any]], codec: int) -> None:
    parts = [encode(records, codec) for records in lists]
    assert header.batches(b"".join(parts)) == parts


@given(record_lists, codecs, st.data())
@settings(max_examples=300)
def test_damaged_batches(records: list[Any], codec: int, data: st.DataObject) -> None:
    """Cut, changed and lengthened; half of them with a CRC that is right again."""
    raw = bytearray(encode(records, codec))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255) | st.just(raw[at] ^ 1 << at % 8))
    cut = data.draw(st.just(len(raw)) | st.integers(0, len(raw)))
    broken = bytes(raw[:cut]) + data.draw(st.just(b"") | st.binary(max_size=20))
    if len(broken) >= header.HEADER_SIZE and data.draw(st.booleans()):
        (attributes,) = struct.unpack_from(">h", broken, 21)
        broken = header.with_payload(broken, broken[61:], attributes & 7)
    try:
        out = decode(broken, "t", 0, 0, max_decompressed=1 << 20)
    except PartstreamError as error:
        assert "t-0 at offset 0" in str(error)  # noqa: PT017 (that nothing is raised is fine, too)
    else:
        assert all(isinstance(record, Record) for record in out)


@given(st.binary(max_size=200))
def test_noise(noise: bytes) -> None:
    for call in (
        lambda: decode(noise, "t", 0, 0),
        lambda: header.batches(noise),
        lambda: header.parse(noise),
        lambda: header.check_crc(noise),
    ):
        try:
            call()
        except PartstreamError:
            continue


@given(codecs, st.binary(min_size=1, max_size=300), st.data())
@settings(max_examples=300)
def test_damaged_compressed_data(codec: int, plain: bytes, data: st.DataObject) -> None:
    limit = 4_096
    packed = bytearray(compression.compress(codec, plain * data.draw(st.integers(1, 50))))
    for _ in range(data.draw(st.integers(0, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        out = decompress(codec, bytes(packed), limit)
    except PartstreamError:
        return
    assert len(out) <= limit

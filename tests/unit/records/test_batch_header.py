"""The batch header: what `parse` refuses, and that patches change what they name and no more."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from partstream.errors import CorruptRecord
from partstream.records import header
from partstream.records.checksum import crc32c
from partstream.records.codec import decode, encode
from partstream.records.native import DefaultRecordBatch, crc32c_software


def batch(count: int = 3, **producer: int) -> bytes:
    return encode([(1_000 + i, b"k", b"value", []) for i in range(count)], **producer)


def patched(raw: bytes, at: int, layout: str, value: int) -> bytes:
    copy = bytearray(raw)
    struct.pack_into(layout, copy, at, value)
    return bytes(copy)


def test_the_fields_of_a_header() -> None:
    raw = batch(producer_id=7, producer_epoch=2, base_sequence=40)
    parsed = header.parse(raw)
    assert parsed.base_offset == 0
    assert parsed.length == len(raw) - 12
    assert parsed.leader_epoch == -1
    assert parsed.magic == 2
    assert parsed.last_offset_delta == 2
    assert (parsed.base_timestamp, parsed.max_timestamp) == (1_000, 1_002)
    assert (parsed.producer_id, parsed.producer_epoch, parsed.base_sequence) == (7, 2, 40)
    assert parsed.record_count == 3
    assert (parsed.codec, parsed.timestamp_type) == (0, 0)
    assert not any((parsed.is_transactional, parsed.is_control, parsed.has_delete_horizon))
    assert header.pack(parsed) == raw[: header.HEADER_SIZE]


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x04, {"codec": 4}),
        (0x08, {"timestamp_type": 1}),
        (0x10, {"is_transactional": True}),
        (0x20, {"is_control": True}),
        (0x40, {"has_delete_horizon": True}),
    ],
)
def test_the_attributes(bits: int, expected: dict[str, Any]) -> None:
    plain = {
        "codec": 0,
        "timestamp_type": 0,
        "is_transactional": False,
        "is_control": False,
        "has_delete_horizon": False,
    }
    parsed = header.parse(patched(batch(), 21, ">h", bits))
    assert {name: getattr(parsed, name) for name in plain} == plain | expected


@pytest.mark.parametrize(
    ("at", "layout", "value", "text"),
    [
        (16, ">b", 1, "magic is 1"),
        (8, ">i", 1_000_000, "1000000 bytes"),
        (8, ">i", -1, "-1 bytes"),
        (57, ">i", -4, "record count is -4"),
        (23, ">i", -1, "last offset delta is -1"),
        (23, ">i", 1, "3 records do not fit"),
    ],
)
def test_a_header_that_contradicts_itself(at: int, layout: str, value: int, text: str) -> None:
    with pytest.raises(CorruptRecord, match=text):
        header.parse(patched(batch(), at, layout, value))


@pytest.mark.parametrize("size", [0, 1, 60])
def test_too_short(size: int) -> None:
    with pytest.raises(CorruptRecord, match=f"this one {size}"):
        header.parse(batch()[:size])
    with pytest.raises(CorruptRecord, match=f"this one {size}"):
        header.check_crc(batch()[:size])


def test_a_compacted_batch_may_hold_fewer_records_than_offsets() -> None:
    assert header.parse(patched(batch(), 23, ">i", 90)).record_count == 3


def test_every_bit_under_the_crc_counts() -> None:
    raw = batch()
    header.check_crc(raw)
    for at in range(17, len(raw)):
        with pytest.raises(CorruptRecord, match="CRC-32C"):
            header.check_crc(raw[:at] + bytes([raw[at] ^ 0x40]) + raw[at + 1 :])


def test_crc32c_gives_the_published_check_value() -> None:
    assert crc32c(b"123456789") == crc32c_software(b"123456789") == 0xE3069283


def test_stamping_needs_no_new_crc() -> None:
    raw = batch()
    stamped = header.stamp(raw, 1 << 40, 77)
    header.check_crc(stamped)
    assert header.parse(stamped) == header.parse(raw)._replace(base_offset=1 << 40, leader_epoch=77)
    assert stamped[16:] == raw[16:]
    assert header.prefix(memoryview(raw), 1 << 40, 77) == stamped[:16]
    assert header.stamp(memoryview(raw), 1 << 40, 77) == stamped


def test_log_append_time() -> None:
    raw = batch()
    redated = header.stamp_log_append_time(raw, 99_000)
    header.check_crc(redated)
    parsed = header.parse(redated)
    assert (parsed.timestamp_type, parsed.max_timestamp) == (1, 99_000)
    assert redated[61:] == raw[61:]
    records = decode(redated, "t", 0, 0)
    assert [(r.timestamp, r.timestamp_type) for r in records] == [(99_000, 1)] * 3


def test_another_producer() -> None:
    raw = batch(producer_id=7, producer_epoch=2, base_sequence=40)
    moved = header.with_producer(raw, 1 << 50, 3, 0)
    header.check_crc(moved)
    expected = header.parse(raw)._replace(producer_id=1 << 50, producer_epoch=3, base_sequence=0)
    assert header.parse(moved)._replace(crc=0) == expected._replace(crc=0)
    assert DefaultRecordBatch(moved).validate_crc()


def test_batches_one_behind_the_other() -> None:
    parts = [batch(1), batch(5), batch(2)]
    assert header.batches(b"".join(parts)) == parts
    views = header.batches(memoryview(b"".join(parts)))
    assert all(isinstance(view, memoryview) for view in views)
    assert [bytes(view) for view in views] == parts
    assert header.batches(b"") == []


@pytest.mark.parametrize(
    ("buffer", "text"),
    [
        (batch() + b"\0" * 10, "10 bytes at"),
        (batch() + batch()[:-1], "batch length at"),
        (patched(batch(), 8, ">i", 48), "batch length at 0 says 48"),
        (patched(batch(), 8, ">i", -100), "batch length at 0 says -100"),
        (patched(batch(), 16, ">b", 1), "magic at 0 is 1"),
    ],
)
def test_batches_that_are_cut_or_followed_by_something_else(buffer: bytes, text: str) -> None:
    with pytest.raises(CorruptRecord, match=text):
        header.batches(buffer)

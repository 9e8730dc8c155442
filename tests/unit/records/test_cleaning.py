"""What cleaning leaves of a batch, beside a plain model of it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partstream.errors import CorruptRecord
from partstream.records import header
from partstream.records.cleaning import NEVER, LastOffsets, Terms, clean, keys_missing
from partstream.records.codec import decode, encode

NOW = 1_700_000_000_000
RETENTION = 1_000


class Own(NamedTuple):
    """A record of the model."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


KEYS = st.none() | st.sampled_from([b"", b"a", b"b", b"c", b"d" * 200])
VALUES = st.none() | st.binary(max_size=5) | st.just(b"v" * 300)
HEADERS = st.sampled_from([(), (("h", b"x"), ("n", None), ("h", b""))])
RECORDS = st.builds(Own, st.integers(0, 2**42), KEYS, VALUES, HEADERS)
BATCHES = st.lists(st.lists(RECORDS, min_size=1, max_size=6), min_size=1, max_size=8)


def seen(batches: list[bytes], begin: int = 0) -> tuple[LastOffsets, list[int]]:
    """The offsets of their keys, and where each begins, and where the last ends."""
    last, bases = LastOffsets(begin), [begin]
    for data in batches:
        last.see(data, bases[-1])
        bases.append(bases[-1] + header.parse(data).last_offset_delta + 1)
    for _ in last.mark(2):
        pass
    return last, bases


def read(data: bytes | None, base: int) -> list[tuple[int, Own]]:
    """Its records, by offset."""
    if data is None:
        return []
    return [
        (one.offset, Own(one.timestamp, one.key, one.value, one.headers))
        for one in decode(data, "t", 0, base)
    ]


@given(history=BATCHES, codec=st.integers(0, 4), begin=st.sampled_from([0, 7, 10**12]))
def test_the_last_record_of_every_key_stays(
    history: list[list[Own]], codec: int, begin: int
) -> None:
    batches = [encode(records, codec, producer_id=5, base_sequence=9) for records in history]
    last, bases = seen(batches, begin)
    flat = [record for records in history for record in records]
    newest = {record.key: begin + place for place, record in enumerate(flat)}
    expected = [
        (offset, record)
        for offset, record in enumerate(flat, begin)
        if record.key is not None and newest[record.key] == offset
    ]
    found = []
    for data, base, records in zip(batches, bases, history, strict=False):
        left = clean(data, base, Terms(last, NOW, RETENTION), keep_empty=False)
        kept = read(left.payload, base)
        found += kept
        assert last.staying(base, base + len(records)) == left.records == len(kept)
        if left.payload is None:
            continue
        header.check_crc(left.payload)
        before, after = header.parse(data), header.parse(left.payload)
        buries = any(record.value is None for _, record in kept)
        if len(kept) == len(records) and not buries:
            assert left.payload is data
        assert after.codec == codec
        assert after.last_offset_delta == before.last_offset_delta
        assert after[9:12] == before[9:12], "who made it, and in which order"
        assert after.record_count == len(kept)
        assert after.max_timestamp == left.latest == max(one.timestamp for _, one in kept)
        assert left.horizon == (NOW + RETENTION if buries else NEVER)
        assert bool(after.attributes & header.DELETE_HORIZON_BIT) == buries
        if buries:
            assert after.base_timestamp == NOW + RETENTION
    assert found == expected


@given(history=BATCHES, newer=st.lists(RECORDS, min_size=1, max_size=6), codec=st.integers(0, 4))
def test_a_cleaned_batch_is_cleaned_again(
    history: list[list[Own]], newer: list[Own], codec: int
) -> None:
    """Newer records replace it, and its tombstones go at their time: not before, and then all."""
    batches = [encode(records, codec) for records in history]
    last, bases = seen(batches)
    first = [
        clean(data, base, Terms(last, NOW, RETENTION), keep_empty=False).payload
        for data, base in zip(batches, bases, strict=False)
    ]
    replaced = {record.key for record in newer}
    later, _ = seen([encode(newer)], bases[-1])
    for now in (NOW + RETENTION - 1, NOW + RETENTION):
        for data, base in zip(first, bases, strict=False):
            if data is None:
                continue
            left = clean(data, base, Terms(later, now, RETENTION), keep_empty=False)
            assert read(left.payload, base) == [
                (offset, record)
                for offset, record in read(data, base)
                if record.key not in replaced
                and (record.value is not None or now < NOW + RETENTION)
            ]
            if left.payload is not None and left.horizon != NEVER:
                assert header.parse(left.payload).base_timestamp == NOW + RETENTION


def test_an_emptied_batch_keeps_what_others_know_it_by() -> None:
    data = encode(
        [(5, b"a", b"1", ()), (9, b"a", b"2", ())],
        3,
        producer_id=7,
        producer_epoch=2,
        base_sequence=40,
    )
    newer = encode([(6, b"a", b"3", ())])
    last, _ = seen([data, newer])
    left = clean(data, 0, Terms(last, NOW, RETENTION), keep_empty=True)
    assert left.payload is not None
    header.check_crc(left.payload)
    head = header.parse(left.payload)
    assert (head.record_count, head.codec, len(left.payload)) == (0, 0, header.HEADER_SIZE)
    assert (head.last_offset_delta, head.producer_id, head.producer_epoch) == (1, 7, 2)
    assert (head.base_sequence, head.max_timestamp) == (40, 9)
    assert decode(left.payload, "t", 0, 0) == []
    again = Terms(last, NOW, RETENTION)
    assert clean(left.payload, 0, again, keep_empty=True).payload is left.payload
    assert clean(left.payload, 0, again, keep_empty=False).payload is None


def test_a_date_of_the_log_stays() -> None:
    data = header.stamp_log_append_time(
        encode([(5, b"a", b"1", ()), (9, b"b", b"2", ())]), 1_000_000
    )
    last, _ = seen([data, encode([(6, b"a", b"3", ())])])
    left = clean(data, 0, Terms(last, NOW, RETENTION), keep_empty=False)
    assert read(left.payload, 0) == [(1, Own(1_000_000, b"b", b"2"))]
    plain = bytearray(left.payload or b"")
    plain[22] &= ~header.TIMESTAMP_TYPE_BIT
    assert decode(bytes(plain), "t", 0, 0, check_crcs=False)[0].timestamp == 9


def test_a_marker_of_a_transaction_is_left_alone() -> None:
    data = bytearray(encode([(5, b"a", b"1", ())]))
    data[22] |= header.CONTROL_BIT
    last, _ = seen([bytes(data), encode([(6, b"a", b"3", ())])])
    kept = bytes(data)
    assert clean(kept, 0, Terms(last, NOW, RETENTION), keep_empty=False).payload is kept


@pytest.mark.parametrize("at", [61, 65])
def test_a_batch_that_cannot_be_read_says_so(at: int) -> None:
    data = bytearray(encode([(5, b"key", b"value" * 9, ())]))
    data[at] ^= 0x5A
    with pytest.raises(CorruptRecord, match="offset 77"):
        LastOffsets(0).see(bytes(data), 77)


def test_offsets_that_a_batch_lies_about_harm_no_other() -> None:
    good = encode([(5, b"a", b"1", ()), (5, b"b", b"1", ())])
    bad = bytearray(encode([(5, b"c", b"1", ())]))
    bad[64] = 0x7E  # the record's own offset delta: 63
    last, bases = seen([good, bytes(bad)])
    terms = Terms(last, NOW, RETENTION)
    assert len(read(clean(good, 0, terms, keep_empty=False).payload, 0)) == 2
    with pytest.raises(CorruptRecord):
        clean(bytes(bad), bases[1], terms, keep_empty=False)


def test_which_records_have_no_key() -> None:
    keys = [b"a", None, b"", None]
    for codec in range(5):
        assert keys_missing(encode([(1, key, b"", ()) for key in keys], codec)) == [1, 3]

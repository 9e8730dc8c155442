"""What cleaning leaves of a batch, beside a plain model of it."""

from __future__ import annotations

import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partstream.errors import CorruptRecord
from partstream.records import header
from partstream.records.cleaning import (
    NEVER,
    Cleaned,
    LastRecords,
    Terms,
    clean,
    keys_missing,
)
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


def seen(batches: list[bytes], begin: int = 0) -> tuple[LastRecords, list[int]]:
    """Their last records, and where each begins, and where the last ends."""
    last, bases = LastRecords(), [begin]
    for data in batches:
        last.see(data, bases[-1])
        bases.append(bases[-1] + header.parse(data).last_offset_delta + 1)
    for _ in last.mark(2):
        pass
    return last, bases


def left_of(
    data: bytes, last: LastRecords, number: int | None, *, now: int = NOW, keep_empty: bool = False
) -> Cleaned:
    """What is left of a batch that begins at offset 0."""
    terms = Terms(last, now, RETENTION)
    return clean(data, 0, terms, number=number, keep_empty=keep_empty)


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
    for number, (data, base, records) in enumerate(zip(batches, bases, history, strict=False)):
        left = clean(data, base, Terms(last, NOW, RETENTION), number=number, keep_empty=False)
        kept = read(left.payload, base)
        found += kept
        assert last.staying(number) == left.records == len(kept)
        assert last.stays(number, keep_empty=False) == (left.payload is not None)
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
        clean(data, base, Terms(last, NOW, RETENTION), number=number, keep_empty=False).payload
        for number, (data, base) in enumerate(zip(batches, bases, strict=False))
    ]
    replaced = {record.key for record in newer}
    later, _ = seen([encode(newer)], bases[-1])
    for now in (NOW + RETENTION - 1, NOW + RETENTION):
        for data, base in zip(first, bases, strict=False):
            if data is None:
                continue
            terms = Terms(later, now, RETENTION)
            left = clean(data, base, terms, number=None, keep_empty=False)
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
    left = left_of(data, last, 0, keep_empty=True)
    assert left.payload is not None
    header.check_crc(left.payload)
    head = header.parse(left.payload)
    assert (head.record_count, head.codec, len(left.payload)) == (0, 0, header.HEADER_SIZE)
    assert (head.last_offset_delta, head.producer_id, head.producer_epoch) == (1, 7, 2)
    assert (head.base_sequence, head.max_timestamp) == (40, 9)
    assert decode(left.payload, "t", 0, 0) == []
    assert left_of(left.payload, last, None, keep_empty=True).payload is left.payload
    assert left_of(left.payload, last, None).payload is None


def test_a_date_of_the_log_stays() -> None:
    data = header.stamp_log_append_time(
        encode([(5, b"a", b"1", ()), (9, b"b", b"2", ())]), 1_000_000
    )
    last, _ = seen([data, encode([(6, b"a", b"3", ())])])
    left = left_of(data, last, 0)
    assert read(left.payload, 0) == [(1, Own(1_000_000, b"b", b"2"))]
    plain = bytearray(left.payload or b"")
    plain[22] &= ~header.TIMESTAMP_TYPE_BIT
    assert decode(bytes(plain), "t", 0, 0, check_crcs=False)[0].timestamp == 9


@pytest.mark.parametrize("keep_empty", [False, True])
def test_whether_a_batch_stays_is_known_before_it_is_read_again(keep_empty: bool) -> None:
    """Also of markers of transactions, which stay whole, and of batches that are empty."""
    marker = bytearray(encode([(5, b"a", b"1", ())]))
    marker[22] |= header.CONTROL_BIT
    gone, other = encode([(6, b"a", b"3", ())]), encode([(6, None, b"3", ())])
    empty = left_of(gone, seen([gone, gone])[0], 0, keep_empty=True).payload
    assert empty is not None
    batches = [bytes(marker), gone, other, empty, encode([(7, b"a", b"4", ())])]
    last, _ = seen(batches)
    lefts = [
        left_of(data, last, number, keep_empty=keep_empty).payload
        for number, data in enumerate(batches)
    ]
    assert lefts[0] is batches[0]
    assert lefts[-1] is batches[-1]
    assert [left is not None for left in lefts] == [True, *3 * [keep_empty], True]
    for number, left in enumerate(lefts):
        assert last.stays(number, keep_empty=keep_empty) == (left is not None)


@pytest.mark.parametrize("at", [61, 65])
def test_a_batch_that_cannot_be_read_says_so(at: int) -> None:
    data = bytearray(encode([(5, b"key", b"value" * 9, ())]))
    data[at] ^= 0x5A
    with pytest.raises(CorruptRecord, match="offset 77"):
        LastRecords().see(bytes(data), 77)


def test_offsets_that_a_batch_lies_about_harm_no_other() -> None:
    good = encode([(5, b"a", b"1", ()), (5, b"b", b"1", ())])
    patched = bytearray(encode([(5, b"c", b"1", ())]))
    patched[64] = 0x7E  # the record's own offset delta: 63
    bad = bytes(patched)
    last, _ = seen([good, bad, good])
    assert left_of(good, last, 0).payload is None
    assert left_of(bad, last, 1).payload is bad
    assert left_of(good, last, 2).payload is good


def test_gaps_between_offsets_do_not_count() -> None:
    """A batch that was cleaned elsewhere, and then written here as it was."""
    whole = encode([(5, b"%d" % n, b"1", ()) for n in range(6)])
    last, _ = seen([whole, encode([(5, b"%d" % n, b"2", ()) for n in range(0, 6, 2)])])
    holed = left_of(whole, last, 0).payload
    assert holed is not None
    last, _ = seen([holed, encode([(5, b"3", b"3", ())])])
    assert [offset for offset, _ in read(left_of(holed, last, 0).payload, 0)] == [1, 5]


@pytest.mark.parametrize("size", [4, 40, 4_000])
def test_what_is_remembered_is_counted(size: int) -> None:
    """While the map grows, and when it has: by what Python itself has allocated."""
    last, batches = LastRecords(), 400
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(batches):
            keys = [b"%0*d" % (size, number * 20 + i) for i in range(20)]
            data = encode([(5, key, b"", ()) for key in keys])
            expected = last.bytes_with(20)
            tracemalloc.reset_peak()
            last.see(data, 20 * number)
            used, peak = tracemalloc.get_traced_memory()
            assert peak - before < expected + 4 * len(data) + 65_536
        assert 0.4 * last.bytes_with(0) < used - before
    finally:
        tracemalloc.stop()


def test_which_records_have_no_key() -> None:
    keys = [b"a", None, b"", None]
    for codec in range(5):
        assert keys_missing(encode([(1, key, b"", ()) for key in keys], codec)) == [1, 3]

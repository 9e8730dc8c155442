"""Building and reading batches: limits, refusals, and what each error says."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import Any

import pytest

from partstream.errors import (
    CorruptRecord,
    IllegalState,
    InvalidTimestamp,
    RecordTooLarge,
    SerializationError,
    UnsupportedCompressionType,
)
from partstream.model import Record
from partstream.records import compression, header
from partstream.records.codec import (
    BatchBuilder,
    decode,
    deserialize,
    encode,
    oldest_timestamp,
    size_of,
)

RECORDS: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (1_700_000_000_000, b"key", b"value", []),
    (1_700_000_000_005, None, None, []),
    (1_600_000_000_000, b"", b"", [("a", b"1"), ("a", None), ("", b""), ("ключ", b"\0")]),
]


def resealed(raw: bytes, at: int, new: bytes) -> bytes:
    """The batch with some bytes replaced and a CRC that is right again."""
    copy = raw[:at] + new + raw[at + len(new) :]
    return header.with_payload(copy, copy[61:], copy[22] & 7)


@pytest.mark.parametrize("codec", range(5))
def test_round_trip(codec: int) -> None:
    raw = encode(RECORDS, codec)
    assert header.parse(raw).codec == codec
    header.check_crc(raw)
    assert decode(raw, "orders", 3, 40) == [
        Record("orders", 3, 40 + i, timestamp, 0, key, value, tuple(headers))
        for i, (timestamp, key, value, headers) in enumerate(RECORDS)
    ]


@pytest.mark.parametrize("codec", range(5))
def test_reading_from_the_middle(codec: int) -> None:
    raw = encode(RECORDS, codec)
    assert [r.offset for r in decode(raw, "t", 0, 40, from_offset=41)] == [41, 42]
    assert [r.offset for r in decode(raw, "t", 0, 40, from_offset=42)] == [42]
    assert decode(raw, "t", 0, 40, from_offset=43) == []


@pytest.mark.parametrize("codec", range(5))
def test_the_logs_time_stands_for_the_records_own(codec: int) -> None:
    records = decode(encode(RECORDS, codec), "t", 0, 0, append_time=5)
    assert [(r.timestamp, r.timestamp_type, r.key) for r in records] == [
        (5, 1, b"key"),
        (5, 1, None),
        (5, 1, b""),
    ]


@pytest.mark.parametrize("codec", range(5))
def test_the_oldest_timestamp_wherever_it_stands(codec: int) -> None:
    raw = encode(RECORDS, codec)
    assert header.parse(raw).base_timestamp == 1_700_000_000_000
    assert oldest_timestamp(raw) == 1_600_000_000_000
    assert oldest_timestamp(encode(RECORDS[:2], codec)) == 1_700_000_000_000


def test_the_oldest_timestamp_of_a_damaged_batch() -> None:
    with pytest.raises(CorruptRecord):
        oldest_timestamp(encode(RECORDS)[:61] + b"\xff" * 40)


def test_the_base_offset_in_the_batch_does_not_count() -> None:
    stamped = header.stamp(encode(RECORDS), 999, 4)
    assert [r.offset for r in decode(stamped, "t", 0, 7)] == [7, 8, 9]


def test_a_batch_is_filled_up_to_its_limit_and_no_further() -> None:
    exact = len(encode([(5, b"k", b"v" * 10, [])] * 4))
    builder = BatchBuilder(limit=exact)
    taken = [builder.append(5, b"k", b"v" * 10, []) for _ in range(5)]
    assert taken == [True, True, True, True, False]
    assert (builder.count, builder.size) == (4, exact)
    assert len(builder.build()) == exact


def test_the_first_record_always_fits() -> None:
    builder = BatchBuilder(limit=100)
    assert builder.append(5, None, b"v" * 1_000, [])
    assert not builder.append(5, None, b"", [])
    assert len(decode(builder.build(), "t", 0, 0)) == 1


def test_building_again_under_another_producer() -> None:
    builder = BatchBuilder(compression.LZ4)
    for timestamp, key, value, headers in RECORDS:
        builder.append(timestamp, key, value, headers)
    first = builder.build(1, 0, 0)
    assert builder.max_timestamp == 1_700_000_000_005
    second = builder.build(9, 1, 30)
    assert header.with_producer(first, 9, 1, 30) == second
    assert decode(second, "t", 0, 0) == decode(first, "t", 0, 0)


def test_an_empty_batch_cannot_be_built() -> None:
    with pytest.raises(IllegalState):
        BatchBuilder().build()


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [(None, None, []), (b"k", b"v" * 200, [("h", b"x" * 300), ("g", None)]), (b"k" * 70, b"", [])],
)
def test_size_of_is_enough(key: bytes | None, value: bytes | None, headers: Any) -> None:
    actual = len(encode([(1 << 50, key, value, headers)]))
    assert actual <= size_of(key, value, headers) <= actual + 21


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((5, "key", b"", []), "key must be bytes or None, not str: 'key'"),
        ((5, b"", 12, []), "value must be bytes or None, not int: 12"),
        ((5, b"", b"", ()), "headers must be a list, not tuple"),
        ((5, b"", b"", [("a", "b")]), r"a header must be a tuple .* not \('a', 'b'\)"),
        ((5, b"", b"", [(b"a", b"b")]), r"a header must be a tuple"),
        ((5, b"", b"", [["a", b"b"]]), r"a header must be a tuple"),
        ((5, b"", b"", [("a",)]), r"a header must be a tuple"),
        ((5, b"", b"", [("\ud800", b"b")]), "surrogates"),
        (("now", b"", b"", []), "timestamp must be an int, not str"),
        ((1 << 70, b"", b"", []), "cannot be encoded"),
    ],
)
def test_what_cannot_be_encoded_leaves_the_batch_as_it_was(arguments: Any, text: str) -> None:
    builder = BatchBuilder()
    builder.append(1, b"a", b"b", [])
    before = builder.build()
    with pytest.raises(SerializationError, match=text):
        builder.append(*arguments)
    assert builder.count == 1
    assert builder.build() == before


def test_negative_timestamps_are_refused() -> None:
    # The C builder takes -1 for "no record yet", and would date the first record anew.
    with pytest.raises(InvalidTimestamp, match="-1"):
        BatchBuilder().append(-1, None, None, [])


def test_a_damaged_batch_says_where() -> None:
    raw = encode(RECORDS)
    with pytest.raises(CorruptRecord, match=r"orders-3 at offset 40 .*CRC-32C"):
        decode(raw[:-1] + b"\xff", "orders", 3, 40)
    with pytest.raises(CorruptRecord, match=r"orders-3 at offset 40 .*unconsumed bytes"):
        decode(resealed(raw, 57, struct.pack(">i", 2)), "orders", 3, 40)
    with pytest.raises(CorruptRecord, match=r"orders-3 at offset 40 .*this one 10"):
        decode(raw[:10], "orders", 3, 40)


def test_the_crc_is_looked_at_only_if_asked() -> None:
    raw = encode(RECORDS)
    broken = raw[:17] + b"\0\0\0\0" + raw[21:]
    assert decode(broken, "t", 0, 0, check_crcs=False) == decode(raw, "t", 0, 0)


def test_offsets_outside_the_batch() -> None:
    # The offset delta of a batch's only record, right behind the header: length, attributes, time.
    raw = encode([(5, b"k", b"v", [])])
    with pytest.raises(CorruptRecord, match="outside the batch"):
        decode(resealed(raw, 64, b"\x02"), "t", 0, 0)
    with pytest.raises(CorruptRecord, match="outside the batch"):
        decode(resealed(raw, 64, b"\x01"), "t", 0, 0)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec(codec: int) -> None:
    raw = resealed(encode(RECORDS), 21, struct.pack(">h", codec))
    with pytest.raises(UnsupportedCompressionType, match=f"t-0 at offset 0 .*codec {codec}"):
        decode(raw, "t", 0, 0)


def test_control_batches_hold_no_records() -> None:
    assert decode(resealed(encode(RECORDS), 21, struct.pack(">h", 0x30)), "t", 0, 0) == []


def test_a_batch_that_compaction_emptied() -> None:
    raw = resealed(encode(RECORDS), 57, struct.pack(">i", 0))[:61]
    assert decode(header.with_payload(raw, b"", 0), "t", 0, 0) == []


@pytest.mark.parametrize("codec", range(5))
def test_the_bound_on_decompressed_bytes(codec: int) -> None:
    raw = encode([(5, None, bytes(100_000), [])], codec)
    inside = len(encode([(5, None, bytes(100_000), [])])) - 61
    assert len(decode(raw, "t", 0, 0, max_decompressed=inside)) == 1
    if codec:  # what is not compressed is there already
        with pytest.raises(RecordTooLarge, match=f"t-0 at offset 0 .*more than {inside - 1} bytes"):
            decode(raw, "t", 0, 0, max_decompressed=inside - 1)


_BOMB = """
import json, resource, sys, zlib
import cramjam
from partstream.errors import PartstreamError
from partstream.records import codec, compression, header
size, limit = 1 << 29, 1 << 26
name = sys.argv[1]
if name == "gzip":
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    payload = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(size >> 20))
    payload += deflater.flush()
elif name == "snappy":
    block = bytes(cramjam.snappy.compress_raw(bytes(1 << 22)))
    from partstream.records.framing import XERIAL_HEADER
    payload = XERIAL_HEADER + (len(block).to_bytes(4, "big") + block) * (size >> 22)
else:
    number = compression.CODECS[name]
    frame = compression.compress(number, bytes(1 << 20))
    if name == "zstd":  # frames may follow each other
        payload = frame * (size >> 20)
    else:  # repeat the first block of the frame, with its checksum
        length = int.from_bytes(frame[7:11], "little")
        payload = frame[:7] + frame[7 : 15 + length] * (size >> 16) + bytes(4)
batch = header.with_payload(codec.encode([(5, None, b"", [])]), payload, compression.CODECS[name])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    codec.decode(batch, "t", 0, 0, max_decompressed=limit)
    error = None
except PartstreamError as caught:
    error = type(caught).__name__
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(json.dumps({"error": error, "grown": grown / limit}))
"""


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_a_bomb_takes_no_more_memory_than_the_limit(name: str) -> None:
    """512 MiB come out of a small batch whose limit is 64 MiB; measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _BOMB, name], capture_output=True, text=True, check=True
    )
    outcome = json.loads(done.stdout)
    assert outcome["error"] == "RecordTooLarge"
    assert outcome["grown"] < 1.5


def test_deserializers() -> None:
    records = decode(encode([(1, b"1", b"[2]", []), (2, None, None, [])]), "t", 0, 0)
    done, failure = deserialize(records, int, json.loads)
    assert failure is None
    assert [(r.key, r.value) for r in done] == [(1, [2]), (None, None)]
    expected: Any = records[0]
    assert done[0] == expected._replace(key=1, value=[2])
    assert isinstance(done[0], Record)


def test_a_deserializer_that_fails_gives_what_came_before() -> None:
    raw = encode([(1, b"1", b"a", []), (2, b"x", b"b", []), (3, b"3", b"c", [])])
    records = decode(raw, "orders", 3, 40)
    done, failure = deserialize(records, key_deserializer=int)
    read: list[Any] = [(r.offset, r.key, r.value) for r in done]
    assert read == [(40, 1, b"a")]
    assert failure is not None
    assert "orders-3 at offset 41" in str(failure)
    assert isinstance(failure.__cause__, ValueError)

"""Codecs by name, the formats on the wire, and what damaged frames give."""

from __future__ import annotations

import gzip
import struct

import cramjam
import lz4.frame
import pytest
import zstandard

from partstream.errors import ConfigError, CorruptRecord, RecordTooLarge, UnsupportedCompressionType
from partstream.records import compression, framing
from partstream.records.compression import GZIP, LZ4, SNAPPY, ZSTD, compress, decompress

LIMIT = 1 << 24
DATA = b"".join(b'{"id":%d,"name":"user-%d"}' % (i * 7919, i % 97) for i in range(20_000))


def test_names_and_numbers() -> None:
    assert compression.CODECS == {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    assert [compression.codec_of(name) for name in compression.NAMES] == [0, 1, 2, 3, 4]


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'zstandard', expected one of none, gzip.*'zstd'\?"):
        compression.codec_of("zstandard")


def test_an_unknown_number() -> None:
    for call in (lambda: compress(5, b""), lambda: decompress(5, b"", LIMIT)):
        with pytest.raises(UnsupportedCompressionType, match="codec 5"):
            call()


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "text"])
def test_round_trip(codec: int, data: bytes) -> None:
    packed = compress(codec, data)
    assert decompress(codec, packed, LIMIT) == data
    assert decompress(codec, memoryview(packed), LIMIT, b"head") == b"head" + data
    assert decompress(codec, packed, len(data)) == data
    if data:
        with pytest.raises(RecordTooLarge):
            decompress(codec, packed, len(data) - 1)


@pytest.mark.parametrize(("codec", "levels"), [(GZIP, (1, 9)), (LZ4, (1, 9)), (ZSTD, (1, 19))])
def test_levels_count(codec: int, levels: tuple[int, int]) -> None:
    quick, small = (compress(codec, DATA, level) for level in levels)
    assert len(small) < len(quick)
    assert decompress(codec, small, LIMIT) == DATA


@pytest.mark.parametrize(
    ("codec", "level"),
    [
        *((GZIP, level) for level in (-1, *range(1, 10))),
        *((LZ4, level) for level in range(1, 18)),
        *((ZSTD, level) for level in (-131_072, -100, -1, *range(23))),
    ],
)
def test_every_level_that_may_be_configured(codec: int, level: int) -> None:
    assert decompress(codec, compress(codec, DATA, level), LIMIT) == DATA


def test_the_reference_libraries_read_what_is_written() -> None:
    assert gzip.decompress(compress(GZIP, DATA)) == DATA
    assert lz4.frame.decompress(compress(LZ4, DATA)) == DATA
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    assert unpacker.decompress(compress(ZSTD, DATA)) == DATA


def test_what_other_writers_make_is_read() -> None:
    assert decompress(GZIP, gzip.compress(DATA), LIMIT) == DATA
    assert decompress(SNAPPY, bytes(cramjam.snappy.compress_raw(DATA)), LIMIT) == DATA
    for size in (True, False):
        for checksum in (True, False):
            sized = zstandard.ZstdCompressor(write_content_size=size, write_checksum=checksum)
            assert decompress(ZSTD, sized.compress(DATA), LIMIT) == DATA
            for block in (0, 4, 5, 6, 7):
                frame = lz4.frame.compress(
                    DATA,
                    store_size=size,
                    content_checksum=checksum,
                    block_checksum=checksum,
                    block_linked=not size,
                    block_size=block,
                )
                assert decompress(LZ4, frame, LIMIT) == DATA
    for head in (b"", b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"):
        streamed = head + zstandard.ZstdCompressor().compress(DATA) * 2
        assert decompress(ZSTD, streamed, LIMIT) == DATA * 2


def test_kafka_reads_only_independent_lz4_blocks() -> None:
    frame = compress(LZ4, DATA)
    assert frame[4] >> 6 == 1, "version"
    assert frame[4] & 0x20, "blocks must be independent (KIP-57)"
    assert not frame[4] & 0x01, "no dictionary"


def test_snappy_comes_in_xerials_framing() -> None:
    packed = compress(SNAPPY, DATA)
    assert packed[:16] == b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    (length,) = struct.unpack_from(">i", packed, 16)
    assert bytes(cramjam.snappy.decompress_raw(packed[20 : 20 + length])) == DATA[: 32 * 1024]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_cut_data(codec: int) -> None:
    packed = compress(codec, DATA[:5_000])
    for size in range(len(packed)):
        try:
            out = decompress(codec, packed[:size], LIMIT)
        except CorruptRecord:
            continue
        # No frame at all is valid zstd, and so is no block at all behind the header of xerial.
        assert out == b""
        assert (codec, size) in ((ZSTD, 0), (SNAPPY, 16))


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        (GZIP, gzip.compress(b"a", mtime=0) + b"b", "1 bytes follow"),
        (GZIP, b"not gzip", "incorrect header"),
        (SNAPPY, framing.XERIAL_HEADER + b"\0\0\0", "block's length"),
        (SNAPPY, framing.XERIAL_HEADER + b"\0\0\0\x09abc", "9 bytes, 3 are left"),
        (SNAPPY, framing.XERIAL_HEADER + b"\xff\xff\xff\xff", "-1 bytes, 0 are left"),
        (SNAPPY, b"\xff\xff\xff\x7f\x00", "promise 268435455 bytes"),
        (LZ4, b"not an lz4 frame", "no LZ4 frame"),
        (LZ4, b"\x04\x22\x4d\x18\x60\x70\x73\xff\xff\0\0", "runs past"),
        (LZ4, b"\x04\x22", "too early"),
        (ZSTD, b"not zstd", "no zstd frame"),
        (ZSTD, b"\x28\xb5\x2f\xfd\x00\x00\xff\xff\xff", "runs past"),
        (ZSTD, b"\x28\xb5\x2f\xfd", "too early"),
    ],
)
def test_what_is_no_compressed_data(codec: int, data: bytes, text: str) -> None:
    with pytest.raises(CorruptRecord, match=text):
        decompress(codec, data, LIMIT)


def test_a_frame_that_promises_too_little_or_too_much() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(DATA))
    at = 5  # a single segment: no window, and the size in four bytes
    assert struct.unpack_from("<I", frame, at) == (len(DATA),)
    struct.pack_into("<I", frame, at, 1 << 30)
    assert framing.zstd_bound(memoryview(frame)) < 2 * len(DATA)
    with pytest.raises(CorruptRecord):
        decompress(ZSTD, bytes(frame), LIMIT)
    struct.pack_into("<I", frame, at, 10)
    with pytest.raises(CorruptRecord):
        decompress(ZSTD, bytes(frame), LIMIT)

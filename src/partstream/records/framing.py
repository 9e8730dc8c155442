"""How much a compressed frame can hold at most, read from its block headers alone.

Nothing is decompressed here. The answer is never too small for valid data: it bounds the room
that the decompressor gets, and a lie about the size of the content gains a sender nothing.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error

import cramjam

from partstream.errors import CorruptRecord

XERIAL_HEADER = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""Opens snappy data in the framing of xerial's Java library: magic, version 1, compatible to 1."""
_XERIAL_MAGIC = XERIAL_HEADER[:8]

_SNAPPY_RATIO = 32
"""A snappy copy of 64 bytes takes three: no block gives more than 22 times its size."""

_LZ4_MAGIC = 0x184D2204
_LZ4_BLOCK_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_LZ4_RATIO = 255
"""A byte of an LZ4 match length stands for at most 255 bytes."""
_LZ4_SLACK = 64
"""The first bytes of a token stand for a few more than that."""

_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SKIPPABLE = 0x184D2A50
_ZSTD_BLOCK = 1 << 17
"""No zstd block holds more than 128 KiB (RFC 8878, 3.1.1.2.4)."""
_ZSTD_DICTIONARY_ID = (0, 1, 2, 4)
_ZSTD_CONTENT_SIZE = (0, 2, 4, 8)

_BE32 = Struct(">i")
_LE32 = Struct("<I")
_LE64 = Struct("<Q")


def snappy_blocks(data: memoryview) -> list[tuple[int, int, int]]:
    """Where each snappy block starts and stops, and how many bytes it gives.

    Raises:
        CorruptRecord: a block runs past the data, or promises more than snappy can give.
    """
    if data[:8] != _XERIAL_MAGIC:
        return [(0, len(data), _snappy_size(data))]
    if len(data) < len(XERIAL_HEADER):
        raise CorruptRecord("snappy data ends within xerial's header")
    blocks = []
    at, end = len(XERIAL_HEADER), len(data)
    while at < end:
        if end - at < 4:
            raise CorruptRecord("snappy data ends within a block's length")
        (length,) = _BE32.unpack_from(data, at)
        at += 4
        if not 0 < length <= end - at:
            raise CorruptRecord(f"a snappy block says {length} bytes, {end - at} are left")
        blocks.append((at, at + length, _snappy_size(data[at : at + length])))
        at += length
    return blocks


def _snappy_size(block: memoryview) -> int:
    size: int = cramjam.snappy.decompress_raw_len(block)
    if size > _SNAPPY_RATIO * len(block):
        raise CorruptRecord(f"{len(block)} bytes of snappy promise {size} bytes")
    return size


def lz4_bound(data: memoryview) -> int:
    """What one LZ4 frame can hold at most, in bytes.

    Raises:
        CorruptRecord: it is no LZ4 frame, or a block runs past the data.
    """
    try:
        return _lz4_bound(data)
    except (struct_error, IndexError) as error:
        raise CorruptRecord("the LZ4 frame ends too early") from error


def _lz4_bound(data: memoryview) -> int:
    (magic,) = _LE32.unpack_from(data)
    flags, descriptor = data[4], data[5]
    largest = _LZ4_BLOCK_SIZES.get(descriptor >> 4 & 7)
    if magic != _LZ4_MAGIC or flags >> 6 != 1 or largest is None:
        raise CorruptRecord("this is no LZ4 frame")
    has_block_checksum = flags & 0x10
    has_size = flags & 0x08
    has_dictionary = flags & 0x01
    at = 6 + (8 if has_size else 0) + (4 if has_dictionary else 0) + 1
    total = 0
    while True:
        (header,) = _LE32.unpack_from(data, at)
        at += 4
        if header == 0:
            break
        length = header & 0x7FFFFFFF
        stored = header & 0x80000000
        total += length if stored else min(largest, _LZ4_RATIO * length + _LZ4_SLACK)
        at += length + (4 if has_block_checksum else 0)
        if at > len(data):
            raise CorruptRecord("an LZ4 block runs past the data")
    if has_size:
        declared: int = _LE64.unpack_from(data, 6)[0]
        return min(total, declared)
    return total


def zstd_bound(data: memoryview) -> int:
    """What the zstd frames in `data` can hold at most, in bytes.

    Raises:
        CorruptRecord: it is no zstd frame, or a block runs past the data.
    """
    total = at = 0
    try:
        while at < len(data):
            (magic,) = _LE32.unpack_from(data, at)
            if magic & 0xFFFFFFF0 == _ZSTD_SKIPPABLE:
                at += 8 + _LE32.unpack_from(data, at + 4)[0]
            elif magic == _ZSTD_MAGIC:
                at, held = _zstd_frame(data, at + 4)
                total += held
            else:
                raise CorruptRecord("this is no zstd frame")
    except (struct_error, IndexError) as error:
        raise CorruptRecord("the zstd frame ends too early") from error
    if at > len(data):
        raise CorruptRecord("a zstd block runs past the data")
    return total


def _zstd_frame(data: memoryview, at: int) -> tuple[int, int]:
    """Where the frame ends, and what it can hold at most (RFC 8878, 3.1.1)."""
    descriptor = data[at]
    single_segment = descriptor & 0x20
    size_bytes = _ZSTD_CONTENT_SIZE[descriptor >> 6] or (1 if single_segment else 0)
    at += 1 + (0 if single_segment else 1) + _ZSTD_DICTIONARY_ID[descriptor & 3]
    declared = int.from_bytes(data[at : at + size_bytes], "little")
    if size_bytes == 2:
        declared += 256
    at += size_bytes
    total, last = 0, 0
    while not last:
        header = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        # Raw and repeated blocks say what they give; a repeated one is a single byte here.
        total += size if kind < 2 else _ZSTD_BLOCK
        at += 3 + (1 if kind == 1 else size)
    at += 4 if descriptor & 0x04 else 0
    return at, min(total, declared) if size_bytes else total

"""Compression of record batches: Kafka's codecs by name and number, and a bound on what comes out.

A few kilobytes of zstd may decompress to gigabytes. So the room is fixed before anything is
decompressed: from what the format declares and what its blocks can hold at most, and never more
than the caller's limit. Formats are those that Kafka's clients write and read: gzip (RFC 1952),
snappy raw or in xerial's framing, LZ4 frames of independent blocks (KIP-57), zstd frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from difflib import get_close_matches
from struct import Struct

import cramjam

from partstream.errors import (
    ConfigError,
    CorruptRecord,
    RecordTooLarge,
    UnsupportedCompressionType,
)
from partstream.records import framing

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

CODECS: dict[str, int] = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
"""Kafka's `compression.type` -> the number in a batch's attributes."""

NAMES: tuple[str, ...] = tuple(CODECS)
"""The codecs' names, by number."""

_DEFAULT_LEVELS = {GZIP: 6, LZ4: 1, ZSTD: 3}
"""zlib's own, lz4's fast mode, zstd's own: what Kafka's clients use unless told (KIP-390)."""

_GZIP_WINDOW = zlib.MAX_WBITS + 16
"""zlib's way to ask for gzip's header and trailer."""
_GZIP_STEP = 1 << 20
"""Bytes to inflate at a time, so that a bomb is noticed one step past the limit."""

_XERIAL_BLOCK = 32 * 1024
_INT32 = Struct(">i")


def codec_of(name: str) -> int:
    """The number of a codec.

    Raises:
        ConfigError: there is no codec of this name.
    """
    codec = CODECS.get(name)
    if codec is None:
        near = get_close_matches(str(name), CODECS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"unknown compression type {name!r}, expected one of {', '.join(CODECS)}{hint}"
        )
    return codec


def compress(codec: int, data: bytes | memoryview, level: int | None = None) -> bytes:
    """Compress a batch's records; `level` is the codec's own, by default what Kafka's clients use.

    Raises:
        UnsupportedCompressionType: there is no codec of this number.
    """
    if level is None:
        level = _DEFAULT_LEVELS.get(codec)
    if codec == NONE:
        return bytes(data)
    if codec == GZIP:
        deflater = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, _GZIP_WINDOW)
        return deflater.compress(data) + deflater.flush()
    if codec == SNAPPY:
        return _compress_snappy(data)
    if codec == LZ4:
        # Kafka reads no linked blocks (KIP-57).
        compressor = cramjam.lz4.Compressor(level=level, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))  # it takes no other buffer
        return bytes(compressor.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data, level=level))
    raise UnsupportedCompressionType(f"unknown compression codec {codec}")


def _compress_snappy(data: bytes | memoryview) -> bytes:
    parts = [framing.XERIAL_HEADER]
    with memoryview(data) as view:
        for at in range(0, len(view), _XERIAL_BLOCK):
            block = bytes(cramjam.snappy.compress_raw(view[at : at + _XERIAL_BLOCK]))
            parts += _INT32.pack(len(block)), block
    return b"".join(parts)


def decompress(codec: int, data: bytes | memoryview, limit: int, head: bytes = b"") -> bytearray:
    """`head`, followed by what `data` decompresses to: at most `limit` bytes, and never more room.

    Raises:
        RecordTooLarge: more than `limit` bytes would come out.
        CorruptRecord: the data is not what the codec writes.
        UnsupportedCompressionType: there is no codec of this number.
    """
    inflate = _INFLATE.get(codec)
    if inflate is None:
        raise UnsupportedCompressionType(f"unknown compression codec {codec}")
    try:
        return inflate(data, limit, head)
    except (cramjam.DecompressionError, zlib.error, MemoryError) as error:
        raise CorruptRecord(f"{NAMES[codec]} data cannot be decompressed: {error}") from error


def _too_large(limit: int) -> RecordTooLarge:
    return RecordTooLarge(f"the batch decompresses to more than {limit} bytes")


def _copy(data: bytes | memoryview, limit: int, head: bytes) -> bytearray:
    if len(data) > limit:
        raise _too_large(limit)
    return bytearray(b"".join((head, data)))


def _inflate_gzip(data: bytes | memoryview, limit: int, head: bytes) -> bytearray:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    out = bytearray(head)
    most = len(head) + limit
    rest: bytes | memoryview = data
    while not inflater.eof:
        # One byte more than may come out, to tell "just fits" from "too large".
        piece = inflater.decompress(rest, min(_GZIP_STEP, most - len(out) + 1))
        rest = inflater.unconsumed_tail
        out += piece
        if len(out) > most:
            raise _too_large(limit)
        if not piece and not rest and not inflater.eof:
            raise CorruptRecord("gzip data ends too early")
    if inflater.unused_data:
        raise CorruptRecord(f"{len(inflater.unused_data)} bytes follow the gzip data")
    return out


def _inflate_snappy(data: bytes | memoryview, limit: int, head: bytes) -> bytearray:
    with memoryview(data) as view:
        blocks = framing.snappy_blocks(view)
        total = sum(size for _, _, size in blocks)
        if total > limit:
            raise _too_large(limit)
        out = bytearray(len(head) + total)
        out[: len(head)] = head
        at = len(head)
        with memoryview(out) as room:
            for start, stop, size in blocks:
                written = cramjam.snappy.decompress_raw_into(view[start:stop], room[at : at + size])
                if written != size:
                    raise CorruptRecord(f"a snappy block gives {written} bytes, not {size}")
                at += size
    return out


def _inflate_into(
    bound: Callable[[memoryview], int], decompress_into: Callable[[memoryview, memoryview], int]
) -> Callable[[bytes | memoryview, int, bytes], bytearray]:
    """A decompressor for frames, whose blocks tell how much they can hold at most."""

    def inflate(data: bytes | memoryview, limit: int, head: bytes) -> bytearray:
        with memoryview(data) as view:
            most = bound(view)
            out = bytearray(len(head) + min(most, limit))
            out[: len(head)] = head
            try:
                with memoryview(out) as whole, whole[len(head) :] as room:
                    written = decompress_into(view, room)
            except cramjam.DecompressionError as error:
                if most > limit:
                    raise _too_large(limit) from error
                raise
        del out[len(head) + written :]
        return out

    return inflate


_INFLATE: dict[int, Callable[[bytes | memoryview, int, bytes], bytearray]] = {
    NONE: _copy,
    GZIP: _inflate_gzip,
    SNAPPY: _inflate_snappy,
    LZ4: _inflate_into(framing.lz4_bound, cramjam.lz4.decompress_into),
    ZSTD: _inflate_into(framing.zstd_bound, cramjam.zstd.decompress_into),
}

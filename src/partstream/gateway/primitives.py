"""How single values stand in a message: numbers, varints, strings, bytes, topic ids, lengths.

Nothing here takes memory for a length that the frame does not have.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from struct import Struct as Packer
from typing import Any, TypeAlias

from partstream.errors import InvalidRequest

Reader: TypeAlias = Callable[["Input", int], tuple[Any, int]]
Writer: TypeAlias = Callable[[bytearray, Any], None]


class Malformed(InvalidRequest):
    """The bytes are no message of the kind that they say."""


class Input:
    """A frame that is being read."""

    __slots__ = ("data", "size", "structs")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.structs = 0

    def need(self, at: int, count: int) -> int:
        """Where so many bytes end.

        Raises:
            Malformed: the frame ends before.
        """
        if count < 0 or count > self.size - at:
            raise Malformed(f"{count} bytes at {at}, and {self.size - at} are left")
        return at + count


# Numbers.


def _number(format_: str) -> tuple[Reader, Writer]:
    packer = Packer(format_)
    unpack, pack, size = packer.unpack_from, packer.pack, packer.size

    def read(source: Input, at: int) -> tuple[Any, int]:
        return unpack(source.data, at)[0], at + size

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return read, write


def uvarint(source: Input, at: int) -> tuple[int, int]:
    """An unsigned varint of at most five bytes.

    Raises:
        Malformed: it is longer, or the frame ends before it does.
    """
    data, value, shift = source.data, 0, 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 28:
                raise Malformed(f"a varint at {at} has more than five bytes")
    except IndexError:
        raise Malformed("the frame ends within a varint") from None


def write_uvarint(out: bytearray, value: int) -> None:
    """Append an unsigned varint."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


int8, write_int8 = _number(">b")
_int16, _write_int16 = _number(">h")
_int32, _write_int32 = _number(">i")


# Lengths: null is -1, as any other negative number is, or 0 in the compact form, which adds one.


def _compact_length(source: Input, at: int) -> tuple[int, int]:
    value, at = uvarint(source, at)
    return value - 1, at


def _write_compact_length(out: bytearray, length: int) -> None:
    write_uvarint(out, length + 1)


def length_of(kind: str, flexible: bool) -> tuple[Reader, Writer]:
    """How the length of a `string`, of bytes or of an array stands before it."""
    if flexible:
        return _compact_length, _write_compact_length
    return (_int16, _write_int16) if kind == "string" else (_int32, _write_int32)


def _text(kind: str, flexible: bool, optional: bool) -> tuple[Reader, Writer]:
    read_length, write_length = length_of(kind, flexible)
    is_text = kind == "string"

    def read(source: Input, at: int) -> tuple[Any, int]:
        length, at = read_length(source, at)
        if length < 0:
            if not optional:
                raise Malformed(f"a {kind} at {at} that must not be null is")
            return None, at
        end = source.need(at, length)
        value = source.data[at:end]
        if not is_text:
            return value, end
        try:
            return value.decode(), end
        except UnicodeDecodeError as error:
            raise Malformed(f"a string at {at} is not UTF-8: {error.reason}") from None

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            if not optional:
                raise TypeError(f"a {kind} that must not be None is")
            write_length(out, -1)
            return
        data = value.encode() if is_text else value
        write_length(out, len(data))
        out += data

    return read, write


def _read_bool(source: Input, at: int) -> tuple[bool, int]:
    value, at = int8(source, at)
    return value != 0, at


def _write_bool(out: bytearray, value: Any) -> None:
    out.append(1 if value else 0)


@lru_cache(1024)
def id_text(raw: bytes) -> str | None:
    """A topic id of 16 bytes as text; None for zero."""
    return urlsafe_b64encode(raw).decode()[:22] if any(raw) else None


@lru_cache(1024)
def id_bytes(text: str | None) -> bytes:
    """The 16 bytes of a topic id; zero for None."""
    return urlsafe_b64decode(text + "==") if text else bytes(16)


def _read_uuid(source: Input, at: int) -> tuple[str | None, int]:
    end = source.need(at, 16)
    return id_text(source.data[at:end]), end


def _write_uuid(out: bytearray, value: Any) -> None:
    out += id_bytes(value)


_FIXED: dict[str, tuple[Reader, Writer, int]] = {
    "int8": (int8, write_int8, 1),
    "int16": (_int16, _write_int16, 2),
    "int32": (_int32, _write_int32, 4),
    "int64": (*_number(">q"), 8),
    "uint8": (*_number(">B"), 1),
    "uint16": (*_number(">H"), 2),
    "uint32": (*_number(">I"), 4),
    "uint64": (*_number(">Q"), 8),
    "float64": (*_number(">d"), 8),
    "bool": (_read_bool, _write_bool, 1),
    "uuid": (_read_uuid, _write_uuid, 16),
}


def primitive(kind: str, flexible: bool, optional: bool) -> tuple[Reader, Writer, int]:
    """How a value of type `kind` is read and written, and the fewest bytes that it takes."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind not in ("string", "bytes", "records"):
        raise TypeError(f"a field of type {kind}")
    size = 1 if flexible else (2 if kind == "string" else 4)
    return *_text(kind, flexible, optional), size

"""Reads hot requests and writes their answers by hand, piece by piece.

No object is made for what is only looked at, and none for what is only written down.
"""

from __future__ import annotations

from struct import Struct
from struct import error as PackError  # noqa: N812 (it is no class of ours)
from typing import Any

from partstream.gateway.primitives import (
    Input,
    Malformed,
    id_bytes,
    id_text,
    uvarint,
    write_uvarint,
)

_INT8 = Struct(">b")
_INT16 = Struct(">h")
_INT32 = Struct(">i")
_INT64 = Struct(">q")


class Wire:
    """A place in a request, and what stands there."""

    __slots__ = ("at", "data", "flexible", "source")

    def __init__(self, data: bytes, at: int, *, flexible: bool) -> None:
        self.data = data
        self.at = at
        self.flexible = flexible
        self.source = Input(data)

    def fixed(self, layout: Struct) -> tuple[Any, ...]:
        """Numbers, one behind the other.

        Raises:
            Malformed: the frame ends before; so do all the others here.
        """
        try:
            values = layout.unpack_from(self.data, self.at)
        except PackError:
            raise Malformed("the frame ends within a number") from None
        self.at += layout.size
        return values

    def int8(self) -> int:
        """One byte."""
        value: int = self.fixed(_INT8)[0]
        return value

    def int16(self) -> int:
        """Two bytes."""
        value: int = self.fixed(_INT16)[0]
        return value

    def int32(self) -> int:
        """Four bytes."""
        value: int = self.fixed(_INT32)[0]
        return value

    def int64(self) -> int:
        """Eight bytes."""
        value: int = self.fixed(_INT64)[0]
        return value

    def string(self) -> str:
        """A string that must not be null."""
        text = self.nullable_string()
        if text is None:
            raise Malformed(f"a string at {self.at} that must not be null is")
        return text

    def nullable_string(self) -> str | None:
        """A string, or null."""
        length = self._compact() if self.flexible else self.int16()
        if length < 0:
            return None
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a string is not UTF-8: {error.reason}") from None

    def uuid(self) -> str | None:
        """A topic id as text; None for zero."""
        return id_text(self._take(16))

    def payload(self) -> bytes | None:
        """A run of bytes, or null."""
        length = self._compact() if self.flexible else self.int32()
        return None if length < 0 else self._take(length)

    def count(self, least_size: int) -> int:
        """How many elements of at least that size an array has, which must not be null."""
        count = self._compact() if self.flexible else self.int32()
        if count < 0:
            raise Malformed(f"an array at {self.at} that must not be null is")
        if count * least_size > self.source.size - self.at:
            raise Malformed(f"an array of {count}, and {self.source.size - self.at} bytes are left")
        return count

    def tags(self) -> None:
        """Skip tagged fields, where there are any."""
        if not self.flexible:
            return
        count, self.at = uvarint(self.source, self.at)
        for _ in range(count):
            _, self.at = uvarint(self.source, self.at)
            size, at = uvarint(self.source, self.at)
            self.at = self.source.need(at, size)

    def _compact(self) -> int:
        value, self.at = uvarint(self.source, self.at)
        return value - 1

    def _take(self, length: int) -> bytes:
        begin, self.at = self.at, self.source.need(self.at, length)
        return self.data[begin : self.at]


def write_length(out: bytearray, length: int, *, flexible: bool) -> None:
    """The length of an array or a run of bytes; -1: null."""
    if flexible:
        write_uvarint(out, length + 1)
    else:
        out += _INT32.pack(length)


def write_text(out: bytearray, text: str | None, *, flexible: bool) -> None:
    """A string, or null."""
    data = None if text is None else text.encode()
    length = -1 if data is None else len(data)
    if flexible:
        write_uvarint(out, length + 1)
    else:
        out += _INT16.pack(length)
    out += data or b""


def write_topic(out: bytearray, name: str | None, *, by_id: bool, flexible: bool) -> None:
    """Which topic: its id, or its name."""
    if by_id:
        out += id_bytes(name)
    else:
        write_text(out, name or "", flexible=flexible)

"""Cuts a connection's bytes into frames: four bytes of length, then so many bytes. No I/O here.

A frame's length is a claim. Memory is taken as its bytes arrive, never because it promises some.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import TypeAlias

from partstream.errors import InvalidRequest

Piece: TypeAlias = bytes | bytearray | memoryview
"""A part of an answer."""

_LENGTH = Struct(">i")
_LEAST = 4_096
_KEPT = 2 << 20
"""A buffer that one frame made larger than this is given back after it."""


class FrameReader:
    """The bytes of one connection that are no whole frame yet."""

    __slots__ = ("_buffer", "_end", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: the longest frame, Kafka's socket.request.max.bytes."""
        self._buffer = bytearray(_LEAST)
        self._end = 0
        self._max_bytes = max_bytes

    @property
    def waiting(self) -> int:
        """Bytes held."""
        return self._end

    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._end == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int) -> list[bytes]:
        """Take in `count` bytes that were written to `room`; the frames that are whole now.

        Raises:
            InvalidRequest: a length is negative, or above the limit.
        """
        self._end += count
        frames: list[bytes] = []
        at, end = 0, self._end
        with memoryview(self._buffer) as view:
            while end - at >= 4:
                (length,) = _LENGTH.unpack_from(view, at)
                if not 0 <= length <= self._max_bytes:
                    raise InvalidRequest(
                        f"a frame of {length} bytes; socket.request.max.bytes is {self._max_bytes}"
                    )
                if end - at - 4 < length:
                    break
                frames.append(bytes(view[at + 4 : at + 4 + length]))
                at += 4 + length
        if at:
            self._keep(at)
        return frames

    def _keep(self, at: int) -> None:
        """Move what is left to the front."""
        left = self._end - at
        if len(self._buffer) > _KEPT and left <= _LEAST:
            kept = bytearray(_LEAST)
            kept[:left] = self._buffer[at : self._end]
            self._buffer = kept
        else:
            self._buffer[:left] = self._buffer[at : self._end]
        self._end = left


def frame(parts: list[Piece]) -> list[Piece]:
    """The parts of a message as the parts of a frame."""
    return [_LENGTH.pack(sum(map(len, parts))), *parts]


def portions(pieces: list[Piece], size: int) -> Iterator[list[Piece]]:
    """Pieces in portions of at most so many bytes, cut where they have to be."""
    portion: list[Piece] = []
    room = size
    for piece in pieces:
        while len(piece) > room:
            view = memoryview(piece)
            portion.append(view[:room])
            piece = view[room:]  # noqa: PLW2901 (what is left of it)
            yield portion
            portion, room = [], size
        portion.append(piece)
        room -= len(piece)
    if portion:
        yield portion

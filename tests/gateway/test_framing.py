"""Frames come out as they went in, however the bytes are cut, and a claim costs no memory."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partstream.errors import InvalidRequest
from partstream.gateway.framing import FrameReader, frame


def _feed(reader: FrameReader, data: bytes, step: int) -> list[bytes]:
    frames: list[bytes] = []
    while data:
        room = reader.room()
        assert len(room) > 0
        piece = data[: min(step, len(room))]
        room[: len(piece)] = piece
        room.release()
        frames += reader.received(len(piece))
        data = data[len(piece) :]
    return frames


@given(payloads=st.lists(st.binary(max_size=9_000), max_size=8), step=st.integers(1, 20_000))
def test_frames_come_out_as_they_went_in(payloads: list[bytes], step: int) -> None:
    data = b"".join(struct.pack(">i", len(payload)) + payload for payload in payloads)
    reader = FrameReader(10_000)
    assert _feed(reader, data, max(step, len(data) // 200)) == payloads
    assert reader.waiting == 0


@pytest.mark.parametrize("length", [-1, 101, 2**31 - 1, -(2**31)])
def test_a_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(InvalidRequest, match=str(length)):
        _feed(FrameReader(100), struct.pack(">i", length), 4)


def test_a_large_claim_costs_no_memory() -> None:
    tracemalloc.start()
    reader = FrameReader(1 << 30)
    _feed(reader, struct.pack(">i", 1 << 29) + b"x" * 1_000, 4_096)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000


def test_a_frame_is_its_length_and_its_parts() -> None:
    assert b"".join(frame([b"ab", memoryview(b"cde")])) == b"\0\0\0\5abcde"

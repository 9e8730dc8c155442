"""Frames that no client would send: good ones of real clients and of every API, spoilt."""

from __future__ import annotations

import base64
import json
import random
import struct
from pathlib import Path

from partstream.gateway.table import TABLE
from tests.gateway.gateways import fetch_values, request
from tests.gateway.records import batch

RECORDED = Path(__file__).parent / "recorded.json"
_MAGIC = (0, 1, 0x7F, 0x80, 0xFF)
_LENGTHS = (-1, -2, 0, 1, 2**31 - 1, -(2**31), 1 << 20)
_WEIGHTS = (6, 4, 2, 1, 1, 1, 1)
"""How often each kind of harm is done: what changes no length is read the furthest."""
_BY_HAND = (0, 1)
"""APIs whose requests say nothing if they are empty."""


def recorded() -> list[bytes]:
    """Frames as real clients sent them, without their length."""
    frames: dict[str, str] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return [base64.b64decode(text) for text in frames.values()]


def made() -> list[bytes]:
    """Small good frames: every API, at its lowest and its highest version."""
    topic = {"name": "t", "partition_data": [{"index": 0, "records": batch(b"v" * 50, at=1)}]}
    frames = [
        request(0, 9, {"acks": 1, "timeout": 100, "topic_data": [topic]}),
        request(0, 3, {"acks": 1, "timeout": 100, "topic_data": [topic]}),
        request(1, 12, fetch_values("t", 0)),
        request(1, 4, fetch_values("t", 0)),
        request(3, 12, {"topics": [{"name": "t"}]}),
        request(8, 8, {"group_id": "g", "generation_id_or_member_epoch": -1, "topics": []}),
        request(68, 1, {"group_id": "g", "member_id": "m", "topic_partitions": []}),
    ]
    frames += [
        request(api.key, version, {})
        for api in TABLE
        if api.key not in _BY_HAND
        for version in (api.least, api.most)
    ]
    return [frame[4:] for frame in frames]


def good() -> list[bytes]:
    """All of them."""
    return recorded() + made()


class Spoiler:
    """Spoils frames: the same seed spoils them in the same way."""

    def __init__(self, seed: int, frames: list[bytes]) -> None:
        self._chance = random.Random(seed)
        self._frames = frames

    def next(self) -> bytes:
        """One spoilt frame, with its true length in front."""
        chance = self._chance
        if chance.random() < 0.02:
            body = chance.randbytes(chance.randint(0, 300))
        else:
            body = self._spoilt(chance.choice(self._frames))
        return struct.pack(">i", len(body)) + body

    def _spoilt(self, frame: bytes) -> bytes:
        chance, body = self._chance, bytearray(frame)
        # Most of it is to be read as far as possible: the header stays as it is.
        begin = 8 if len(body) > 8 and chance.random() < 0.95 else 0
        for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
            if len(body) <= begin:
                break
            self._change(body, chance.randrange(begin, len(body)))
        return bytes(body)

    def _change(self, body: bytearray, at: int) -> None:
        chance = self._chance
        match chance.choices(range(7), _WEIGHTS)[0]:
            case 0:
                body[at] ^= 1 << chance.randrange(8)
            case 1:
                body[at] = chance.choice((*_MAGIC, chance.randrange(256)))
            case 2:
                body[at : at + 4] = struct.pack(">i", chance.choice(_LENGTHS))
            case 3:
                del body[at : at + chance.randint(1, 8)]
            case 4:
                body[at:at] = chance.randbytes(chance.randint(1, 8))
            case 5:
                del body[at:]
            case 6:
                other = chance.choice(self._frames)
                body[at:] = other[chance.randrange(len(other)) :]

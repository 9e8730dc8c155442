"""Batches as a client would send them."""

from __future__ import annotations

import time

from partstream.gateway.codec import Struct
from partstream.records import header
from partstream.records.codec import decode, encode


def batch(*values: bytes, at: int | None = None, codec: int = 0, **producer: int) -> bytes:
    """A batch of these values, dated now."""
    timestamp = int(time.time() * 1000) if at is None else at
    return encode([(timestamp, None, value, ()) for value in values], codec, **producer)


def values(row: Struct, *, from_offset: int = 0) -> list[tuple[int, bytes]]:
    """Offset and value of every record in a fetched partition, by the header of each batch."""
    found = []
    for one in header.batches(row.records or b""):
        header.check_crc(one)
        head = header.parse(one)
        found += [
            (record.offset, record.value)
            for record in decode(one, "t", 0, head.base_offset, from_offset=from_offset)
        ]
    return found

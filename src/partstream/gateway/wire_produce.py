"""Produce (0) on the wire: its request is read, and its response written, by hand.

The general codec takes six times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from partstream.gateway.wire import Wire, write_length, write_text, write_topic

FLEXIBLE = 9
BY_ID = 13
"""The version since which topics are given by their id (KIP-516)."""

_ROW_V3, _ROW_V5, _INT32 = Struct(">ihqq"), Struct(">ihqqq"), Struct(">i")


class Request(NamedTuple):
    """What a client wants to append."""

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: list[tuple[str | None, list[tuple[int, bytes | None]]]]
    """Topics, as the client names them, each with its partitions and what they are to get."""


class Row(NamedTuple):
    """The answer for one partition."""

    number: int
    error_code: int
    base_offset: int = -1
    append_time: int = -1
    log_start: int = -1
    message: str | None = None
    records: Sequence[tuple[int, str]] = ()
    """What is wrong with single records (KIP-467)."""


def read(data: bytes, at: int, version: int) -> Request:
    """A request. It is read whole before anything is sent: of one that is cut off nothing is
    appended. A partition that is there twice gets only what comes last, as in Kafka.

    Raises:
        Malformed: it is none.
    """
    wire = Wire(data, at, flexible=version >= FLEXIBLE)
    transactional_id, acks, timeout_ms = wire.nullable_string(), wire.int16(), wire.int32()
    topics: dict[str | None, dict[int, bytes | None]] = {}
    for _ in range(wire.count(3)):
        name = wire.uuid() if version >= BY_ID else wire.string()
        partitions = topics.setdefault(name, {})
        for _ in range(wire.count(5)):
            number = wire.int32()
            partitions[number] = wire.payload()
            wire.tags()
        wire.tags()
    wire.tags()
    found = [(name, list(rows.items())) for name, rows in topics.items() if rows]
    return Request(transactional_id, acks, timeout_ms, found)


def written(version: int, topics: Sequence[tuple[str | None, Sequence[Row]]]) -> bytearray:
    """The body of a response."""
    flexible = version >= FLEXIBLE
    out = bytearray()
    write_length(out, len(topics), flexible=flexible)
    for name, rows in topics:
        write_topic(out, name, by_id=version >= BY_ID, flexible=flexible)
        write_length(out, len(rows), flexible=flexible)
        for row in rows:
            out += _ROW_V5.pack(*row[:5]) if version >= 5 else _ROW_V3.pack(*row[:4])
            if version >= 8:
                _write_records(out, row.records, flexible=flexible)
                write_text(out, row.message, flexible=flexible)
            if flexible:
                out.append(0)
        if flexible:
            out.append(0)
    out += _INT32.pack(0)
    if flexible:
        out.append(0)
    return out


def _write_records(out: bytearray, rows: Sequence[tuple[int, str]], *, flexible: bool) -> None:
    write_length(out, len(rows), flexible=flexible)
    for number, text in rows:
        out += _INT32.pack(number)
        write_text(out, text, flexible=flexible)
        if flexible:
            out.append(0)

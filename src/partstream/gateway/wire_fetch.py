"""Fetch (1) on the wire: its request is read, and its response written, by hand.

No payload is copied: the response's pieces are what Redis gave.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from partstream.errors import UnknownServerError, UnknownTopicId
from partstream.gateway.batches import handed_out
from partstream.gateway.connection import Parts
from partstream.gateway.faults import (
    NONE,
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_OR_PARTITION,
    code_of,
)
from partstream.gateway.seats import Got
from partstream.gateway.wire import Wire, write_length, write_topic

FLEXIBLE = 12
BY_ID = 13
"""The version since which topics are given by their id (KIP-516)."""
NO_TRANSACTIONS = -1
"""The length of a list of aborted transactions that is null."""
_CLIENT = -1
"""In place of the id of a broker."""
_FINAL = -1
"""The epoch of a Fetch outside of any session."""

_INT32 = Struct(">i")
_LIMITS = Struct(">iiib")
_SESSION = Struct(">ii")


# The request.


class Asked(NamedTuple):
    """One partition of a request."""

    number: int
    leader_epoch: int
    offset: int
    max_bytes: int


class Request(NamedTuple):
    """What a client wants to read."""

    replica_id: int
    """From 0 on: a broker that follows. Newer ones say so in a tagged field, which is not read."""
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    session_epoch: int
    topics: list[tuple[str | None, list[Asked]]]
    """Topics, as the client names them; a partition that is there twice counts once, as in
    Kafka."""


def read(data: bytes, at: int, version: int) -> Request:
    """A request.

    Raises:
        Malformed: it is none.
    """
    wire = Wire(data, at, flexible=version >= FLEXIBLE)
    replica_id = wire.int32() if version < 15 else _CLIENT
    max_wait_ms, min_bytes, max_bytes, isolation = wire.fixed(_LIMITS)
    _, session_epoch = wire.fixed(_SESSION) if version >= 7 else (0, _FINAL)
    topics: dict[str | None, dict[int, Asked]] = {}
    for _ in range(wire.count(3)):
        name = wire.uuid() if version >= BY_ID else wire.string()
        partitions = topics.setdefault(name, {})
        for _ in range(wire.count(16)):
            asked = _read_partition(wire, version)
            partitions[asked.number] = asked
        wire.tags()
    _skip_rest(wire, version)
    found = [(name, list(rows.values())) for name, rows in topics.items() if rows]
    limits = (max_wait_ms, min_bytes, max_bytes)
    return Request(replica_id, *limits, isolation, session_epoch, found)


def _skip_rest(wire: Wire, version: int) -> None:
    """What is for sessions and followers. It has to be there all the same."""
    for _ in range(wire.count(3) if version >= 7 else 0):
        if version >= BY_ID:
            wire.uuid()
        else:
            wire.string()
        for _ in range(wire.count(4)):
            wire.int32()
        wire.tags()
    if version >= 11:
        wire.string()
    wire.tags()


_V4, _V5, _V9, _V12 = Struct(">iqi"), Struct(">iqqi"), Struct(">iiqqi"), Struct(">iiqiqi")


def _read_partition(wire: Wire, version: int) -> Asked:
    epoch = -1
    if version >= 12:
        index, epoch, offset, _, _, max_bytes = wire.fixed(_V12)
        wire.tags()
    elif version >= 9:
        index, epoch, offset, _, max_bytes = wire.fixed(_V9)
    elif version >= 5:
        index, offset, _, max_bytes = wire.fixed(_V5)
    else:
        index, offset, max_bytes = wire.fixed(_V4)
    return Asked(index, epoch, offset, max_bytes)


# The response.


def write_head(version: int, error: int, topics: int) -> Parts:
    """A response up to its topics; all of it, if there are none."""
    out = bytearray(_INT32.pack(0))
    if version >= 7:
        out += Struct(">hi").pack(error, 0)
    _length(out, version, topics)
    parts: Parts = [out]
    if not topics:
        write_tags(parts, version)
    return parts


def write_topic_head(parts: Parts, version: int, name: str | None, partitions: int) -> None:
    """A topic up to its partitions."""
    out = _tail(parts)
    write_topic(out, name, by_id=version >= BY_ID, flexible=version >= FLEXIBLE)
    _length(out, version, partitions)


_ROW_V4, _ROW_V5 = Struct(">ihqq"), Struct(">ihqqq")


def write_row(parts: Parts, version: int, number: int, got: Got, transactions: int) -> int:
    """One partition; its error code."""
    error = got.error
    code = NONE if error is None else code_of(error)
    if isinstance(error, UnknownTopicId) and version < BY_ID:
        code = UNKNOWN_TOPIC_OR_PARTITION
    out = _tail(parts)
    start, end = (got.log_start, got.log_end) if error is None else (-1, -1)
    if version >= 5:
        out += _ROW_V5.pack(number, code, end, end, start)
    else:
        out += _ROW_V4.pack(number, code, end, end)
    _length(out, version, transactions)
    if version >= 11:
        out += _INT32.pack(-1)
    size = 0 if error is not None else got.size
    _length(out, version, size)
    if size:
        for batch in got.batches:
            parts += handed_out(batch)
        parts.append(bytearray())
    write_tags(parts, version)
    return code


def write_tags(parts: Parts, version: int) -> None:
    """The end of a struct."""
    if version >= FLEXIBLE:
        _tail(parts).append(0)


def refused(version: int, request: Request) -> Parts:
    """The response to a request that is refused as a whole; older versions have the error in
    every row."""
    topics = request.topics if version < BY_ID else []
    parts = write_head(version, UNKNOWN_SERVER_ERROR, len(topics))
    for name, rows in topics:
        write_topic_head(parts, version, name, len(rows))
        for asked in rows:
            write_row(parts, version, asked.number, Got(error=UnknownServerError()), 0)
        write_tags(parts, version)
    if topics:
        write_tags(parts, version)
    return parts


def _length(out: bytearray, version: int, length: int) -> None:
    write_length(out, length, flexible=version >= FLEXIBLE)


def _tail(parts: Parts) -> bytearray:
    """The last piece, to be written on."""
    last = parts[-1]
    if not isinstance(last, bytearray):
        last = bytearray()
        parts.append(last)
    return last

"""Fetch (1), versions 4-18: batches from offsets on, as they are stored.

No record is decoded, and no payload copied: the answer's pieces are what Redis gave. There are no
fetch sessions: id 0 is Kafka's own way to say so (KIP-227).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from partstream.engine.partition import Partition, Topic
from partstream.errors import (
    FencedLeaderEpoch,
    OffsetOutOfRange,
    PartstreamError,
    UnknownLeaderEpoch,
    UnknownServerError,
    UnknownTopicId,
)
from partstream.gateway.batches import handed_out
from partstream.gateway.broker import Broker, Call
from partstream.gateway.connection import Answer, Parts
from partstream.gateway.faults import (
    FETCH_SESSION_ID_NOT_FOUND,
    NONE,
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_OR_PARTITION,
    code_of,
)
from partstream.gateway.polls import Got, Reading, Want
from partstream.gateway.wire import Wire, write_length, write_topic

KEY, LEAST, MOST, FLEXIBLE = 1, 4, 18, 12
_BY_ID = 13
_NO_TRANSACTIONS = -1
"""The length of a list of aborted transactions that is null."""
_FINAL = -1
"""The epoch of a Fetch outside of any session."""

_INT32 = Struct(">i")
_LIMITS = Struct(">iiib")
_SESSION = Struct(">ii")


class _Asked(NamedTuple):
    """One partition of the request."""

    number: int
    leader_epoch: int
    offset: int
    max_bytes: int


class _Request(NamedTuple):
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    session_epoch: int
    topics: list[tuple[str | None, list[_Asked]]]


async def handle(broker: Broker, call: Call, data: bytes, at: int) -> Answer:
    """Batches of every partition that was asked for, or why there are none."""
    request = _read(Wire(data, at, flexible=call.version >= FLEXIBLE), call.version)
    if request.session_epoch > 0:
        return _head(call.version, FETCH_SESSION_ID_NOT_FOUND, 0)
    if request.isolation_level not in (0, 1):
        return _refused(call.version, request)
    wants: list[Want] = []
    found: list[tuple[str | None, list[tuple[_Asked, Want | PartstreamError]]]] = []
    for name, partitions in request.topics:
        rows = [(asked, await _want(broker, call.version, name, asked)) for asked in partitions]
        wants += [want for _, want in rows if isinstance(want, Want)]
        found.append((name, rows))
    failed = any(not isinstance(want, Want) for _, rows in found for _, want in rows)
    got = await Reading.of(broker, call.connection).poll(
        wants,
        max_bytes=min(max(0, request.max_bytes), broker.config.fetch_max_bytes),
        min_bytes=request.min_bytes,
        max_wait_ms=0 if failed else request.max_wait_ms,
    )
    read = dict(zip(map(id, wants), got, strict=True))
    parts = _head(call.version, NONE, len(found))
    for name, rows in found:
        _topic_head(parts, call.version, name, len(rows))
        for asked, want in rows:
            one = read[id(want)] if isinstance(want, Want) else Got(error=want)
            if isinstance(want, Want) and one.error is None:
                one.error = await _misplaced(broker, want.partition, asked, one)
                if one.error is None and min(asked.max_bytes, request.max_bytes) < 0:
                    one.error = UnknownServerError("a negative number of bytes")
            known = isinstance(want, Want) and not request.isolation_level
            code = _row(parts, call.version, asked.number, one, _NO_TRANSACTIONS if known else 0)
            if code != NONE:
                call.errors.append(code)
        _tags(parts, call.version)
    _tags(parts, call.version)
    return parts


# The request.


def _read(wire: Wire, version: int) -> _Request:
    if version < 15:
        wire.int32()  # the replica's id: followers are no concern of ours
    max_wait_ms, min_bytes, max_bytes, isolation = wire.fixed(_LIMITS)
    _, session_epoch = wire.fixed(_SESSION) if version >= 7 else (0, _FINAL)
    topics: dict[str | None, dict[int, _Asked]] = {}
    for _ in range(wire.count(3)):
        name = wire.uuid() if version >= _BY_ID else wire.string()
        partitions = topics.setdefault(name, {})
        for _ in range(wire.count(16)):
            asked = _read_partition(wire, version)
            partitions[asked.number] = asked
        wire.tags()
    _skip_rest(wire, version)
    found = [(name, list(rows.values())) for name, rows in topics.items() if rows]
    return _Request(max_wait_ms, min_bytes, max_bytes, isolation, session_epoch, found)


def _skip_rest(wire: Wire, version: int) -> None:
    """What is for sessions and followers. It has to be there all the same."""
    for _ in range(wire.count(3) if version >= 7 else 0):
        if version >= _BY_ID:
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


def _read_partition(wire: Wire, version: int) -> _Asked:
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
    return _Asked(index, epoch, offset, max_bytes)


async def _want(
    broker: Broker, version: int, name: str | None, asked: _Asked
) -> Want | PartstreamError:
    try:
        topic = await _topic(broker, version, name or "")
        partition = topic.partition(asked.number)
        return Want(partition, max(0, asked.offset), max(0, asked.max_bytes))
    except PartstreamError as error:
        return error


async def _topic(broker: Broker, version: int, name: str) -> Topic:
    return await (broker.named(None, name) if version >= _BY_ID else broker.named(name, None))


# The response.


def _head(version: int, error: int, topics: int) -> Parts:
    out = bytearray(_INT32.pack(0))
    if version >= 7:
        out += Struct(">hi").pack(error, 0)
    _length(out, version, topics)
    parts: Parts = [out]
    if not topics:
        _tags(parts, version)
    return parts


def _topic_head(parts: Parts, version: int, name: str | None, partitions: int) -> None:
    out = _tail(parts)
    write_topic(out, name, by_id=version >= _BY_ID, flexible=version >= FLEXIBLE)
    _length(out, version, partitions)


_ROW_V4, _ROW_V5 = Struct(">ihqq"), Struct(">ihqqq")


def _refused(version: int, request: _Request) -> Parts:
    """A request that is refused as a whole; older versions have the error in every row."""
    topics = request.topics if version < _BY_ID else []
    parts = _head(version, UNKNOWN_SERVER_ERROR, len(topics))
    for name, rows in topics:
        _topic_head(parts, version, name, len(rows))
        for asked in rows:
            _row(parts, version, asked.number, Got(error=UnknownServerError()), 0)
        _tags(parts, version)
    if topics:
        _tags(parts, version)
    return parts


def _row(parts: Parts, version: int, number: int, got: Got, transactions: int) -> int:
    """One partition of the answer; its error code."""
    error = got.error
    code = NONE if error is None else code_of(error)
    if isinstance(error, UnknownTopicId) and version < _BY_ID:
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
    _tags(parts, version)
    return code


async def _misplaced(
    broker: Broker, partition: Partition, asked: _Asked, got: Got
) -> PartstreamError | None:
    """What is wrong with where the client believes to be."""
    broker.epochs.saw(partition, got.leader_epoch)
    if asked.leader_epoch > got.leader_epoch:
        return UnknownLeaderEpoch()
    if 0 <= asked.leader_epoch < got.leader_epoch:
        # Kafka refuses any old epoch. Here a client may go on if all that it has read is still
        # there: that its epoch is old means nothing then.
        end = await broker.log.epoch_end(partition, asked.leader_epoch)
        if not 0 <= asked.offset <= end.end_offset:
            return FencedLeaderEpoch()
    if asked.offset > got.log_end and asked.leader_epoch >= 0:
        # What it has read may have been taken back, and nothing was written since. Told so by the
        # epoch, it goes back to where the histories part; else to the log's beginning, or its end.
        try:
            epoch = await broker.log.begin_epoch(partition)
        except PartstreamError:
            return FencedLeaderEpoch()  # it asks again
        broker.epochs.saw(partition, epoch)
        if epoch > asked.leader_epoch:
            return FencedLeaderEpoch()
    if not got.log_start <= asked.offset <= got.log_end:
        return OffsetOutOfRange()
    return None


def _length(out: bytearray, version: int, length: int) -> None:
    write_length(out, length, flexible=version >= FLEXIBLE)


def _tags(parts: Parts, version: int) -> None:
    if version >= FLEXIBLE:
        _tail(parts).append(0)


def _tail(parts: Parts) -> bytearray:
    """The last piece, to be written on."""
    last = parts[-1]
    if not isinstance(last, bytearray):
        last = bytearray()
        parts.append(last)
    return last

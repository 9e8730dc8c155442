"""Fetch (1), versions 4-18: batches from offsets on, as they are stored.

No record is decoded, and no payload copied: the answer's pieces are what Redis gave. There are no
fetch sessions: id 0 is Kafka's own way to say so (KIP-227).
"""

from __future__ import annotations

from collections.abc import Sequence

from partstream.engine.partition import Partition, Topic
from partstream.errors import (
    FencedLeaderEpoch,
    NotLeaderOrFollower,
    OffsetOutOfRange,
    PartstreamError,
    UnknownLeaderEpoch,
    UnknownServerError,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.connection import Answer
from partstream.gateway.each import side_by_side
from partstream.gateway.faults import FETCH_SESSION_ID_NOT_FOUND, NONE
from partstream.gateway.polls import Reading, Want
from partstream.gateway.seats import Got
from partstream.gateway.wire_fetch import (
    BY_ID,
    NO_TRANSACTIONS,
    Asked,
    read,
    refused,
    write_head,
    write_row,
    write_tags,
    write_topic_head,
)


async def handle(broker: Broker, call: Call, data: bytes, at: int) -> Answer:
    """Batches of every partition that was asked for, or why there are none."""
    request = read(data, at, call.version)
    if request.session_epoch > 0:
        return write_head(call.version, FETCH_SESSION_ID_NOT_FOUND, 0)
    if request.isolation_level not in (0, 1):
        return refused(call.version, request)
    wants: list[Want] = []
    found: list[tuple[str | None, list[tuple[Asked, Want | PartstreamError]]]] = []
    for name, partitions in request.topics:
        topic = await _topic(broker, call.version, name or "")
        rows = [(asked, _want(topic, asked, request.replica_id)) for asked in partitions]
        wants += [want for _, want in rows if isinstance(want, Want)]
        found.append((name, rows))
    failed = any(not isinstance(want, Want) for _, rows in found for _, want in rows)
    got = await Reading.of(broker, call.connection).poll(
        wants,
        max_bytes=min(max(0, request.max_bytes), broker.config.fetch_max_bytes),
        min_bytes=request.min_bytes,
        max_wait_ms=0 if failed else request.max_wait_ms,
    )
    there = dict(zip(map(id, wants), got, strict=True))
    placed = [
        (want.partition, asked, there[id(want)])
        for _, rows in found
        for asked, want in rows
        if isinstance(want, Want)
    ]
    await _judge(broker, placed)
    parts = write_head(call.version, NONE, len(found))
    for name, rows in found:
        write_topic_head(parts, call.version, name, len(rows))
        for asked, want in rows:
            one = there[id(want)] if isinstance(want, Want) else Got(error=want)
            if one.error is None and min(asked.max_bytes, request.max_bytes) < 0:
                one.error = UnknownServerError("a negative number of bytes")
            asks_for_none = isinstance(want, Want) and not request.isolation_level
            is_null = asks_for_none or isinstance(want, NotLeaderOrFollower)
            transactions = NO_TRANSACTIONS if is_null else 0
            code = write_row(parts, call.version, asked.number, one, transactions)
            if code != NONE:
                call.errors.append(code)
        write_tags(parts, call.version)
    write_tags(parts, call.version)
    return parts


async def _topic(broker: Broker, version: int, name: str) -> Topic | PartstreamError:
    try:
        return await (broker.named(None, name) if version >= BY_ID else broker.named(name, None))
    except PartstreamError as error:
        return error


def _want(topic: Topic | PartstreamError, asked: Asked, replica: int) -> Want | PartstreamError:
    if not isinstance(topic, Topic):
        return topic
    try:
        partition = topic.partition(asked.number)
    except PartstreamError as error:
        return error
    if replica >= 0:
        return NotLeaderOrFollower(f"partition {partition} has no follower {replica}")
    return Want(partition, max(0, asked.offset), max(0, asked.max_bytes))


async def _judge(broker: Broker, placed: Sequence[tuple[Partition, Asked, Got]]) -> None:
    """Find out what is wrong with where the client believes to be."""
    beyond = []
    for partition, asked, got in placed:
        if got.error is None:
            broker.epochs.saw(partition, got.leader_epoch)
            if 0 <= asked.leader_epoch == got.leader_epoch and asked.offset > got.log_end:
                beyond.append((partition, asked, got))
            else:
                got.error = _misplaced(asked, got)

    async def judge(one: tuple[Partition, Asked, Got]) -> None:
        partition, asked, got = one
        # What it has read may have been taken back, and nothing was written since. Told so by the
        # epoch, the client goes back to where the histories part; else to the log's beginning, or
        # its end.
        try:
            epoch = await broker.log.begin_epoch(partition)
        except PartstreamError:
            got.error = FencedLeaderEpoch()  # it asks again
            return
        broker.epochs.saw(partition, epoch)
        got.error = FencedLeaderEpoch() if epoch > asked.leader_epoch else _misplaced(asked, got)

    await side_by_side(judge, beyond)


def _misplaced(asked: Asked, got: Got) -> PartstreamError | None:
    if asked.leader_epoch > got.leader_epoch:
        return UnknownLeaderEpoch()
    if 0 <= asked.leader_epoch < got.leader_epoch:
        # Though all that it has read may be there: records of an epoch that librdkafka has not
        # heard of, read while it asks where its own ends, look to it as if they were taken back.
        # It then goes to that end, past all that its user has not been given yet.
        return FencedLeaderEpoch()
    if not got.log_start <= asked.offset <= got.log_end:
        return OffsetOutOfRange()
    return None

"""Produce (0), versions 3-13: append batches. 0 to 2 are advertised, as Kafka 4 does it
(KAFKA-18659), and not served.

Every batch of a request is on its way to the log before the request is done with: so the next one
of the connection may follow at once, and order holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from functools import partial
from struct import Struct
from typing import Any, NamedTuple

from partstream.engine.log import ANY, Appended, appended
from partstream.engine.partition import Partition, Topic
from partstream.errors import (
    InvalidProducerEpoch,
    InvalidRecord,
    InvalidRequest,
    InvalidTimestamp,
    InvalidTxnState,
    OutcomeUnknown,
    OutOfOrderSequenceNumber,
    PartstreamError,
    RequestTimedOut,
    StoreUnavailable,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from partstream.gateway.batches import RecordsRefused, checked, framed, misdated
from partstream.gateway.broker import Broker, Call
from partstream.gateway.connection import Answer, Parts, Refused
from partstream.gateway.faults import (
    INVALID_REQUIRED_ACKS,
    NONE,
    UNKNOWN_TOPIC_OR_PARTITION,
    code_of,
)
from partstream.gateway.unwritten import Unwritten
from partstream.gateway.wire import Wire, write_length, write_text, write_topic
from partstream.records import header

KEY, LEAST, MOST, FLEXIBLE = 0, 3, 13, 9
_BY_ID = 13
ALL = -1


_BY_THE_LOG = (
    InvalidRecord,
    InvalidTimestamp,
    OutOfOrderSequenceNumber,
    InvalidProducerEpoch,
)
_PLAIN = (InvalidRecord, InvalidRequest, UnknownTopicOrPartition, UnknownTopicId)


class _Sent(NamedTuple):
    """A batch on its way, or why it is not."""

    number: int
    named: str = ""
    """The topic, as the client names it."""
    records: bytes | None = None
    """What the client sent."""
    topic: Topic | None = None
    batch: bytes | None = None
    """As the client sent it; None if it did not come so far that the log could refuse it."""
    answer: asyncio.Future[list[Any]] | None = None
    error: PartstreamError | None = None


class _Row(NamedTuple):
    """The answer for one partition."""

    number: int
    error_code: int
    base_offset: int = -1
    append_time: int = -1
    log_start: int = -1
    message: str | None = None
    records: Sequence[tuple[int, str]] = ()
    """What is wrong with single records (KIP-467)."""


class _Settings(NamedTuple):
    acks: int
    timeout_ms: int
    version: int
    unwritten: Unwritten


class _Later:
    """An answer that nobody works on before somebody waits for it: the connection may end first."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Parts | None]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, Any, Parts | None]:
        return self._begin().__await__()


async def handle(broker: Broker, call: Call, data: bytes, at: int) -> Answer:
    """Send every batch to the log; the answer comes when the log has answered."""
    wire = Wire(data, at, flexible=call.version >= FLEXIBLE)
    transactional_id = wire.nullable_string()
    unwritten = call.connection.memory.setdefault(KEY, Unwritten())
    settings = _Settings(wire.int16(), wire.int32(), call.version, unwritten)
    sent: list[tuple[str | None, list[_Sent]]] = []
    for name, batches in _read(wire, by_id=call.version >= _BY_ID):
        partitions = []
        for index, records in batches:
            if transactional_id is not None:
                refusal = InvalidTxnState("there are no transactions yet")
                partitions.append(_Sent(index, error=refusal))
            else:
                partitions.append(await _send(broker, settings, name or "", index, records))
        sent.append((name, partitions))
    return _Later(partial(_answer, broker, call, settings, unwritten.enter(), sent))


def _read(wire: Wire, *, by_id: bool) -> list[tuple[str | None, list[tuple[int, bytes | None]]]]:
    """The batches of a request, by topic and partition. It is read whole before anything is sent:
    of one that is cut off nothing is appended."""
    topics = []
    for _ in range(wire.count(3)):
        name = wire.uuid() if by_id else wire.string()
        batches = []
        for _ in range(wire.count(5)):
            batches.append((wire.int32(), wire.payload()))
            wire.tags()
        wire.tags()
        topics.append((name, batches))
    wire.tags()
    return topics


async def _send(
    broker: Broker, settings: _Settings, name: str, index: int, records: bytes | None
) -> _Sent:
    """Check a batch, and send it behind all that was sent to its partition."""
    topic: Topic | None = None
    sent: bytes | None = None
    try:
        if settings.acks not in (ALL, 0, 1):
            raise InvalidRequest(f"acks={settings.acks}")
        topic = await _topic(broker, settings.version, name)
        partition = topic.partition(index)
        sent = framed(records, settings.version)
        batch = checked(topic, partition, sent)
        least = topic.config.min_insync_replicas - 1 if settings.acks == ALL else 0
        answer = broker.log.submit(partition, batch, ANY, least_replicas=least)
        if answer is None:
            await broker.log.ready(partition)
            answer = broker.log.submit(partition, batch, ANY, least_replicas=least)
        if answer is None:
            raise StoreUnavailable("the connection to Redis was lost again")
        # A connection that ends forgets those that it has not looked at yet.
        answer.add_done_callback(_heard)
    except PartstreamError as error:
        return _Sent(index, name, records, topic, sent, error=error)
    return _Sent(index, name, records, topic, sent, answer)


def _heard(answer: asyncio.Future[list[Any]]) -> None:
    if not answer.cancelled():
        answer.exception()


async def _topic(broker: Broker, version: int, name: str) -> Topic:
    return await (broker.named(None, name) if version >= _BY_ID else broker.named(name, None))


async def _answer(
    broker: Broker,
    call: Call,
    settings: _Settings,
    request: int,
    sent: list[tuple[str | None, list[_Sent]]],
) -> Parts | None:
    with settings.unwritten.settling(request):
        topics = [
            (name, [await _settled(broker, settings, request, one) for one in partitions])
            for name, partitions in sent
        ]
    codes = {row.error_code for _, rows in topics for row in rows} - {NONE}
    call.errors.extend(codes)
    if settings.acks == 0:
        if codes:
            # There is no answer to say it in.
            raise Refused(f"a batch with acks=0 was refused: error {max(codes)}")
        return None
    return [_encoded(settings.version, topics)]


_ROW_V3, _ROW_V5, _INT32 = Struct(">ihqq"), Struct(">ihqqq"), Struct(">i")


def _encoded(version: int, topics: list[tuple[str | None, list[_Row]]]) -> bytearray:
    """The body of the answer, by hand: the general encoder takes six times as long."""
    flexible = version >= FLEXIBLE
    out = bytearray()
    write_length(out, len(topics), flexible=flexible)
    for name, rows in topics:
        write_topic(out, name, by_id=version >= _BY_ID, flexible=flexible)
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


async def _settled(broker: Broker, settings: _Settings, request: int, sent: _Sent) -> _Row:
    """The answer for one partition."""
    error = sent.error
    unwritten, number = settings.unwritten, (sent.named, sent.number, sent.records)
    if sent.topic is not None and sent.answer is not None:
        partition = sent.topic.partition(sent.number)
        try:
            result = appended(await _outcome(broker, partition, sent.answer))
            await _confirm(broker, settings, sent.topic, partition, result)
        except OutcomeUnknown as failure:
            if sent.batch is not None and header.parse(sent.batch).producer_id >= 0:
                # An answer would let those behind it be answered, too: OUT_OF_ORDER, if one of
                # them was lost. librdkafka then numbers all anew, and this one is there twice. A
                # broker's own connection breaks here, and all are sent again as they were.
                raise Refused(f"what became of a batch is unknown: {failure}") from failure
            error = failure
        except PartstreamError as failure:
            error = failure
        else:
            unwritten.wrote(*number)
            broker.epochs.saw(partition, result.leader_epoch)
            when = _time(result, sent.batch)
            return _Row(sent.number, NONE, result.base_offset, when, result.log_start)
    if error is not None:
        error = await unwritten.reason(request, *number, error)
    return await _refused(broker, settings, sent, error)


def _time(result: Appended, batch: bytes | None) -> int:
    """When the log took a batch; of one that was there already, Kafka tells its own time."""
    if result.duplicate and result.append_time < 0 and batch is not None:
        return header.parse(batch).max_timestamp
    return result.append_time


async def _outcome(
    broker: Broker, partition: Partition, answer: asyncio.Future[list[Any]]
) -> list[Any]:
    try:
        return await answer
    except Exception as error:  # redis-py's or ours: the store knows what it means
        raise await broker.log.mend(partition, error) from error


async def _confirm(
    broker: Broker, settings: _Settings, topic: Topic, partition: Partition, result: Appended
) -> None:
    """With acks=all: wait until every replica in sync has it, too."""
    least = topic.config.min_insync_replicas - 1
    fsync = topic.config.flush_messages == 1
    if settings.acks != ALL or not (result.replicas or least or fsync):
        return
    barrier = broker.log.barrier(partition)
    try:
        async with asyncio.timeout(max(0, settings.timeout_ms) / 1000):
            await barrier.confirm(token=result.token, least_replicas=least, fsync=fsync)
    except TimeoutError:
        raise RequestTimedOut(f"the replicas did not confirm in {settings.timeout_ms} ms") from None
    except StoreUnavailable as error:
        # It was appended; clients must not take it for never written.
        raise OutcomeUnknown(str(error)) from error


async def _refused(
    broker: Broker, settings: _Settings, sent: _Sent, error: PartstreamError | None
) -> _Row:
    code = code_of(error) if error is not None else NONE
    if isinstance(error, UnknownTopicId) and settings.version < _BY_ID:
        # It was deleted, and may have been made again: its name is to be looked up anew.
        code = UNKNOWN_TOPIC_OR_PARTITION
        if sent.topic is not None:
            with suppress(PartstreamError):
                await broker.topics.get(sent.topic.name, fresh=True)
    elif isinstance(error, InvalidRequest) and settings.acks not in (ALL, 0, 1):
        code = INVALID_REQUIRED_ACKS
    message, records = _explained(sent, error)
    return _Row(
        sent.number,
        code,
        log_start=await _log_start(broker, sent, error),
        message=message,
        records=records,
    )


async def _log_start(broker: Broker, sent: _Sent, error: PartstreamError | None) -> int:
    """Where the log begins, if it was the log that refused the batch, as Kafka tells it."""
    if sent.topic is None or sent.batch is None or not isinstance(error, _BY_THE_LOG):
        return -1
    with suppress(PartstreamError):
        return (await broker.log.bounds(sent.topic.partition(sent.number))).start
    return -1


def _explained(
    sent: _Sent, error: PartstreamError | None
) -> tuple[str | None, list[tuple[int, str]]]:
    """What is said beside the code, also of single records: where Kafka says nothing, nothing."""
    if isinstance(error, RecordsRefused):
        return str(error), error.rows
    if isinstance(error, InvalidTimestamp) and sent.topic is not None and sent.batch is not None:
        records = misdated(sent.topic, sent.batch)
        return "One or more records have been rejected due to invalid timestamp", records
    if error is None or not error.args or isinstance(error, _PLAIN) or sent.batch is not None:
        return None, []
    return str(error), []

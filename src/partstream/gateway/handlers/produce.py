"""Produce (0), versions 3-13: append batches. 0 to 2 are advertised, as Kafka 4 does it
(KAFKA-18659), and not served.

Every batch of a request is on its way to the log before the request is done with: so the next one
of the connection may follow at once, and order holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, NamedTuple

from partstream.config.internal import check_written
from partstream.engine.log import ANY, Appended, appended
from partstream.engine.partition import Partition, Topic
from partstream.errors import (
    InvalidRequest,
    InvalidTxnState,
    OutcomeUnknown,
    PartstreamError,
    RequestTimedOut,
    StoreUnavailable,
)
from partstream.gateway.batches import checked, framed
from partstream.gateway.broker import Broker, Call
from partstream.gateway.connection import Answer, Parts, Refused
from partstream.gateway.faults import NONE
from partstream.gateway.produced import ALL, Sent, refused, taken
from partstream.gateway.unwritten import Unwritten
from partstream.gateway.wire_produce import BY_ID, Row, read, written
from partstream.records import header

KEY = 0


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
    request = read(data, at, call.version)
    unwritten = call.connection.memory.setdefault(KEY, Unwritten())
    settings = _Settings(request.acks, request.timeout_ms, call.version, unwritten)
    sent: list[tuple[str | None, list[Sent]]] = []
    for name, batches in request.topics:
        partitions = []
        for index, records in batches:
            if request.transactional_id is not None:
                refusal = InvalidTxnState("there are no transactions yet")
                partitions.append(Sent(index, error=refusal))
            else:
                partitions.append(await _send(broker, settings, name or "", index, records))
        sent.append((name, partitions))
    return _Later(partial(_answer, broker, call, settings, unwritten.enter(), sent))


async def _send(
    broker: Broker, settings: _Settings, name: str, index: int, records: bytes | None
) -> Sent:
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
        broker.landings.follow(partition, batch, answer)
    except PartstreamError as error:
        return Sent(index, name, records, topic, sent, error=error)
    return Sent(index, name, records, topic, sent, answer)


async def _topic(broker: Broker, version: int, name: str) -> Topic:
    if version < BY_ID:
        check_written(name)
        return await broker.named(name, None)
    topic = await broker.named(None, name)
    check_written(topic.name)
    return topic


async def _answer(
    broker: Broker,
    call: Call,
    settings: _Settings,
    request: int,
    sent: list[tuple[str | None, list[Sent]]],
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
    return [written(settings.version, topics)]


async def _settled(broker: Broker, settings: _Settings, request: int, sent: Sent) -> Row:
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
            return taken(sent, result)
    if error is not None:
        error = await unwritten.reason(request, *number, error)
    return await refused(broker, sent, error, version=settings.version, acks=settings.acks)


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

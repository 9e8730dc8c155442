"""What a producer is told of a batch: where it is in the log, or why it is not there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

from partstream.engine.log import Appended
from partstream.engine.partition import Topic
from partstream.errors import (
    InvalidProducerEpoch,
    InvalidRecord,
    InvalidRequest,
    InvalidTimestamp,
    InvalidTopic,
    OutOfOrderSequenceNumber,
    PartstreamError,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from partstream.gateway.batches import RecordsRefused, misdated
from partstream.gateway.broker import Broker
from partstream.gateway.faults import (
    INVALID_REQUIRED_ACKS,
    NONE,
    UNKNOWN_TOPIC_OR_PARTITION,
    code_of,
)
from partstream.gateway.wire_produce import BY_ID, Row
from partstream.records import header

ALL = -1
"""As acks: every replica in sync."""

_BY_THE_LOG = (
    InvalidRecord,
    InvalidTimestamp,
    InvalidTopic,
    OutOfOrderSequenceNumber,
    InvalidProducerEpoch,
)
_PLAIN = (InvalidRecord, InvalidRequest, InvalidTopic, UnknownTopicOrPartition, UnknownTopicId)


class Sent(NamedTuple):
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


def taken(sent: Sent, result: Appended) -> Row:
    """The answer for a batch that the log has."""
    when = result.append_time
    if result.duplicate and when < 0 and sent.batch is not None:
        # Of one that was there already, Kafka tells its own time.
        when = header.parse(sent.batch).max_timestamp
    return Row(sent.number, NONE, result.base_offset, when, result.log_start)


async def refused(
    broker: Broker, sent: Sent, error: PartstreamError | None, *, version: int, acks: int
) -> Row:
    """The answer for a batch that the log has not."""
    code = code_of(error) if error is not None else NONE
    if isinstance(error, UnknownTopicId) and version < BY_ID:
        # It was deleted, and may have been made again: its name is to be looked up anew.
        code = UNKNOWN_TOPIC_OR_PARTITION
        if sent.topic is not None:
            with suppress(PartstreamError):
                await broker.topics.get(sent.topic.name, fresh=True)
    elif isinstance(error, InvalidRequest) and acks not in (ALL, 0, 1):
        code = INVALID_REQUIRED_ACKS
    message, records = _explained(sent, error)
    start = await _log_start(broker, sent, error)
    return Row(sent.number, code, log_start=start, message=message, records=records)


async def _log_start(broker: Broker, sent: Sent, error: PartstreamError | None) -> int:
    """Where the log begins, if it was the log that refused the batch, as Kafka tells it."""
    if sent.topic is None or sent.batch is None or not isinstance(error, _BY_THE_LOG):
        return -1
    with suppress(PartstreamError):
        return (await broker.log.bounds(sent.topic.partition(sent.number))).start
    return -1


def _explained(
    sent: Sent, error: PartstreamError | None
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

"""Numbered batches that Redis did not take, and what is said of those behind them.

A log refuses what comes behind a batch that it never got: OUT_OF_ORDER_SEQUENCE_NUMBER. From that
librdkafka numbers all that it has not heard of anew, on every partition, and writes those again
whose answers were lost. So batches behind one that is to be tried again are to be tried again, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from partstream.errors import CorruptRecord, OutOfOrderSequenceNumber, PartstreamError
from partstream.records import header

_Stream = tuple[str, int, int, int]
"""Topic as the client names it, partition, producer id and epoch: what is numbered through."""


class Unwritten:
    """What a connection remembers of its Produce requests."""

    def __init__(self) -> None:
        self._under_way: dict[int, asyncio.Event] = {}
        self._last = 0
        self._first: dict[_Stream, tuple[int, PartstreamError]] = {}
        """The batch from which on nothing was written, and why it was not."""

    def enter(self) -> int:
        """A request has come; its number, for `settling` and `reason`."""
        self._last += 1
        self._under_way[self._last] = asyncio.Event()
        return self._last

    @contextmanager
    def settling(self, request: int) -> Iterator[None]:
        """Around what finds out what became of a request."""
        try:
            yield
        finally:
            self._under_way.pop(request).set()

    def wrote(self, topic: str, partition: int, records: bytes | None) -> None:
        """A batch is in the log, and so are those before it."""
        if self._first and (found := _number(topic, partition, records)):
            self._first.pop(found[0], None)

    async def reason(
        self,
        request: int,
        topic: str,
        partition: int,
        records: bytes | None,
        error: PartstreamError,
    ) -> PartstreamError:
        """Why a batch was not written: what was said of it, or of the one that is missing."""
        found = _number(topic, partition, records)
        if found is None:
            return error
        stream, sequence = found
        if error.retriable:
            self._first.setdefault(stream, (sequence, error))
        elif isinstance(error, OutOfOrderSequenceNumber):
            for event in [event for one, event in self._under_way.items() if one < request]:
                await event.wait()
            first, cause = self._first.get(stream, (sequence, error))
            if first != sequence:
                return cause
            self._first.pop(stream, None)
        return error


def _number(topic: str, partition: int, records: bytes | None) -> tuple[_Stream, int] | None:
    """Where a batch belongs, and its sequence number; None if it has none."""
    try:
        head = header.parse(records or b"")
    except CorruptRecord:
        return None
    if head.producer_id < 0:
        return None
    return (topic, partition, head.producer_id, head.producer_epoch), head.base_sequence

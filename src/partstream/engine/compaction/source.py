"""Reads a log for its cleaner: a bounded number of bytes at a time, and one answer ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from partstream.engine.compaction.plan import Segment
from partstream.engine.reading import StoredBatch, read_entries
from partstream.store.store import Store

READ_BYTES = 256 * 1024
READ_ENTRIES = 512
"""To make batches of more entries than that holds up the event loop."""


class Request(NamedTuple):
    """One range of a stream."""

    begin: int
    end: int
    entries: int
    """At most so many."""


Following = Callable[[Sequence[StoredBatch]], Request | None]
"""What to ask for after the answer to the last request; None: nothing more."""


async def read_ahead(
    store: Store, key: str, following: Following
) -> AsyncGenerator[list[StoredBatch], None]:
    """The answers, one after the other; the server works on the next one meanwhile.

    It has to be closed (`aclosing`), or the last request may outlive it.
    """
    reading = _asked(store, key, following([]))
    try:
        while reading is not None:
            batches = await reading
            reading = _asked(store, key, following(batches))
            yield batches
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _asked(
    store: Store, key: str, request: Request | None
) -> asyncio.Task[list[StoredBatch]] | None:
    if request is None:
        return None
    begin, end, entries = request
    return asyncio.create_task(read_entries(store, key, begin, entries, until=end))


async def batches_of(
    store: Store, key: str, below: Segment, segments: Sequence[Segment], begin: int
) -> AsyncGenerator[StoredBatch, None]:
    """The batches of whole segments, from an offset on. It has to be closed, too.

    Args:
        store: where they are.
        key: of the stream.
        below: the row of the index before them.
        segments: in order, none left out.
        begin: the offset.
    """
    following = _Segments(below, segments, begin)
    async with aclosing(read_ahead(store, key, following)) as answers:
        async for batches in answers:
            for stored in batches:
                yield stored


class _Segments:
    """Asks for segments: for several at a time if they are small, for parts of large ones."""

    def __init__(self, below: Segment, segments: Sequence[Segment], begin: int) -> None:
        self._spans = _spans(below, segments)
        self._asked = Request(begin, begin, 1)

    def __call__(self, last: Sequence[StoredBatch]) -> Request | None:
        begin, end, entries = self._asked
        if len(last) == entries and last[-1].next_offset < end:
            self._asked = Request(last[-1].next_offset, end, entries)
            return self._asked
        span = next(self._spans, None)
        if span is None:
            return None
        self._asked = Request(max(begin, end), *span)
        return self._asked


def _spans(below: Segment, segments: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    """Where each span ends, and how many of its entries may be asked for at a time."""
    at = 0
    while at < len(segments):
        first = at
        while at < len(segments) and segments[at].size - below.size <= READ_BYTES:
            at += 1
        entries = READ_ENTRIES
        if at == first:
            entries = max(1, min(READ_ENTRIES, READ_BYTES // max(1, segments[at].largest)))
            at += 1
        below = segments[at - 1]
        yield below.end, entries

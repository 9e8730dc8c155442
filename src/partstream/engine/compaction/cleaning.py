"""One cleaning: gives a partition a cleaned part in the place of what was written first.

It reads the cleaned part that there is and the segments behind it, writes what stays into a stream
beside them, batch by batch, and puts that in place by one short script. Whatever happens before
that script is as if nothing had happened; after it, what is left of the old entries is nobody's
concern but the memory's, and is trimmed in steps. A token in the partition's state says who cleans:
a cleaner that was frozen and wakes up is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from struct import Struct
from typing import NamedTuple, TypeVar

from partstream.engine.compaction.output import Output, Overtaken, empty
from partstream.engine.compaction.pace import Pace, Watcher
from partstream.engine.compaction.plan import Look, Plan, Segment, index_rows
from partstream.engine.compaction.state import segments_of
from partstream.engine.partition import Partition, Topic
from partstream.engine.reading import StoredBatch, read_entries
from partstream.errors import PartstreamError
from partstream.model import Compacted
from partstream.records import header
from partstream.records.cleaning import (
    NEVER,
    Cleaned,
    LastOffsets,
    Seen,
    Terms,
    clean,
    has_producer,
)
from partstream.store.scripts import Script
from partstream.store.store import Store

_TRIM = Script("clean/trim")
_FINISH = Script("clean/finish")

_LEASE_MS = 30_000
"""A cleaner that has not been heard of for so long is dead."""
_READ_BYTES = 256 * 1024
_TRIM_BYTES = 4 * 1024 * 1024
_TRIM_ENTRIES = 1_000
_PRODUCERS_A_CALL = 500
_MOST_KEYS = 1 << 20
"""Keys that are remembered at a time, in about 200 MB. More of them take several rounds."""
_PACE = 10_000
_LAST_END = Struct(">q")
_LAST_END_AT = 18

T = TypeVar("T")


async def trim(store: Store, partition: Partition, offset: int) -> None:
    """Drop entries of the log that end at or below an offset and stand, cleaned, elsewhere."""
    keys = partition.keys
    await store.run(_TRIM, [keys.log, keys.state], [partition.topic_id, offset], idempotent=True)


async def finish(store: Store, partition: Partition, token: str) -> None:
    """Say that nobody cleans; without a token, in the place of one whose lease is over."""
    await store.run(_FINISH, [partition.keys.state], [partition.topic_id, token], idempotent=True)


class _Dirty(NamedTuple):
    """What is remembered of a batch between the two readings."""

    base: int
    end: int
    size: int
    seen: Seen


class Cleaning:
    """One cleaning of one partition."""

    def __init__(
        self,
        store: Store,
        topic: Topic,
        partition: Partition,
        look: Look,
        intended: Plan,
        *,
        watcher: Watcher | None,
    ) -> None:
        self._store = store
        self._topic = topic
        self._partition = partition
        self._look = look
        self._plan = intended
        self._pace = Pace(intended, watcher)
        self._output = Output(store, partition, look.cleanings, _LEASE_MS)
        self._held = partition.keys.cleaned(look.cleanings)
        self._read = self._kept = 0
        self._horizon = NEVER

    async def run(self) -> Compacted | None:
        try:
            return await self._run() if await self._output.begin() else None
        except asyncio.CancelledError:
            await self._output.leave()
            raise

    async def _run(self) -> Compacted:
        cleanings = self._look.cleanings
        try:
            await self._output.clear()
            last, dirty = await self._read_keys()
            end = dirty[-1].end if dirty else self._plan.begin
            await self._write(last, dirty, end)
            before, after = await self._swap(end)
        except (PartstreamError, Overtaken):
            with suppress(PartstreamError):
                if await empty(self._store, self._partition, cleanings, self._output.token):
                    await finish(self._store, self._partition, self._output.token)
            raise
        # If one of these fails the token stays, and whoever finds it too old does the rest.
        await self._trim(dirty)
        await empty(self._store, self._partition, cleanings + 1, self._output.token)
        await finish(self._store, self._partition, self._output.token)
        return Compacted(end, self._read, self._kept, before, after, self._plan.ratio)

    # Reading.

    async def _read_keys(self) -> tuple[LastOffsets, list[_Dirty]]:
        """The dirty part's keys, and its batches without their bytes."""
        intended = self._plan
        last, dirty, whole = LastOffsets(intended.begin), list[_Dirty](), 0
        segment_ends = {segment.end for segment in intended.dirty}
        async for stored in self._entries(self._partition.keys.log, intended.begin, intended.dirty):
            if not dirty:
                # Below the log's start, if that lies within a batch.
                last = LastOffsets(stored.base_offset)
            seen = self._readable(stored, last.see)
            self._read += seen.records
            size = len(stored.payload)
            dirty.append(_Dirty(stored.base_offset, stored.next_offset, size, seen))
            if stored.next_offset in segment_ends:
                whole = len(dirty)
                if len(last) >= _MOST_KEYS:
                    break
            await self._step("reading", size)
        del dirty[whole:]
        if intended.dirty and not dirty:
            raise Overtaken
        for _ in last.mark(_PACE):
            await self._step("reading", 0)
        return last, dirty

    async def _entries(
        self, key: str, begin: int, segments: Sequence[Segment]
    ) -> AsyncIterator[StoredBatch]:
        """Batches of whole segments, a bounded number of bytes at a time."""
        for segment in segments:
            count = max(1, _READ_BYTES // max(1, segment.largest))
            while begin < segment.end:
                batches = await read_entries(self._store, key, begin, count, until=segment.end)
                for stored in batches:
                    yield stored
                begin = batches[-1].next_offset if len(batches) == count else segment.end

    async def _producers_ends(self) -> set[int]:
        """Where the last batch of each producer ends, as far as producers are remembered."""
        key, cursor, ends = self._partition.keys.producers, b"0", set[int]()
        while True:
            cursor, page = await self._store.execute(
                "HSCAN", key, cursor, "COUNT", _PRODUCERS_A_CALL, key=key
            )
            for row in page[1::2]:
                if len(row) >= _LAST_END_AT + _LAST_END.size:
                    ends.add(_LAST_END.unpack_from(row, _LAST_END_AT)[0])
            if cursor == b"0":
                return ends

    def _readable(self, stored: StoredBatch, read: Callable[[bytes, int], T]) -> T:
        """What `read` says of a batch; which one it was, if it cannot be read."""
        try:
            return read(stored.payload, stored.base_offset)
        except PartstreamError as error:
            raise type(error)(
                f"{self._partition} cannot be cleaned: its batch at offset {stored.base_offset} "
                f"cannot be read: {error}"
            ) from error

    # Writing.

    async def _write(self, last: LastOffsets, dirty: Sequence[_Dirty], end: int) -> None:
        """Write what stays into the stream beside."""
        keys, intended = self._partition.keys, self._plan
        terms = Terms(last, self._look.now, self._topic.config.delete_retention_ms)
        ends = await self._producers_ends()
        async for stored in self._entries(self._held, intended.start, intended.clean):
            self._read += header.parse(stored.payload).record_count
            await self._clean(stored, terms, stored.next_offset == end, ends)
        at = 0
        while at < len(dirty):
            first, size = at, 0
            while at < len(dirty) and size < _READ_BYTES and _stays(dirty[at], last, end, ends):
                size += dirty[at].size
                at += 1
            if at == first:  # nothing of it stays: it is not even read again
                await self._step("writing", dirty[at].size)
                at += 1
                continue
            batches = await read_entries(
                self._store, keys.log, dirty[first].base, at - first, until=dirty[at - 1].end
            )
            if len(batches) != at - first:
                raise Overtaken  # records were deleted, or taken back
            for one, stored in zip(dirty[first:at], batches, strict=True):
                if not one.seen.buries and last.staying(one.base, one.end) == one.seen.records > 0:
                    left = Cleaned(stored.payload, one.seen.records, latest=one.seen.latest)
                    await self._keep(stored, left)
                else:
                    await self._clean(stored, terms, one.end == end, ends)
        await self._output.flush()

    async def _clean(
        self, stored: StoredBatch, terms: Terms, is_last: bool, ends: Collection[int]
    ) -> None:
        """Keep what stays of one batch. The last one stays for where it ends, even if empty."""
        keep_empty = is_last or (stored.next_offset in ends and has_producer(stored.payload))
        await self._keep(
            stored,
            self._readable(
                stored, lambda batch, base: clean(batch, base, terms, keep_empty=keep_empty)
            ),
        )

    async def _keep(self, stored: StoredBatch, left: Cleaned) -> None:
        self._kept += left.records
        if left.horizon != NEVER:
            self._horizon = min(left.horizon, self._horizon) if self._horizon >= 0 else left.horizon
        if left.payload is not None:
            await self._output.add(stored, left.payload, left.latest)
        await self._step("writing", len(stored.payload))

    async def _step(self, name: str, size: int) -> None:
        if await self._pace.step(name, size):
            await self._output.renew()

    # Putting it in place.

    async def _swap(self, end: int) -> tuple[int, int]:
        """Put it in place; bytes of the cleaned part before and after."""
        while True:
            segments = await segments_of(self._store, self._partition)
            edge = next((segment for segment in segments if segment.end == end), None)
            if edge is None:
                raise Overtaken
            start, before = segments[0].end, edge.size - segments[0].size
            made = index_rows(self._output.kept, start, edge.size, self._topic.config.segment_bytes)
            made_members = {member.encode() for _, member in made.rows}
            old = [
                segment.member
                for segment in segments
                if segment.end <= end and segment.member not in made_members
            ]
            if await self._output.swap(self._look, (start, end), old, made, horizon=self._horizon):
                return before, edge.size - made.base

    async def _trim(self, dirty: Sequence[_Dirty]) -> None:
        """Free what the cleaned part stands for now, a bounded amount at a time."""
        size = entries = 0
        for place, one in enumerate(dirty):
            size, entries = size + one.size, entries + 1
            if size >= _TRIM_BYTES or entries >= _TRIM_ENTRIES or place == len(dirty) - 1:
                await trim(self._store, self._partition, one.end)
                await self._step("trimming", size)
                size = entries = 0


def _stays(one: _Dirty, last: LastOffsets, end: int, ends: Collection[int]) -> bool:
    return one.end == end or one.end in ends or last.staying(one.base, one.end) > 0

"""One cleaning: gives a partition a cleaned part in the place of what was written first.

It reads the cleaned part that there is and the segments behind it, writes what stays into a stream
beside them, batch by batch, and puts that in place by one short script. Whatever happens before
that script is as if nothing had happened; after it, what is left of the old entries is nobody's
concern but the memory's, and is trimmed in steps. A token in the partition's state says who cleans:
a cleaner that was frozen and wakes up is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from struct import Struct
from typing import TypeVar

from partstream.engine.compaction.dirty import Dirty, Run
from partstream.engine.compaction.output import Output, Overtaken, empty, finish, trim
from partstream.engine.compaction.pace import Pace, Watcher
from partstream.engine.compaction.plan import Look, Plan, rows_to_read
from partstream.engine.compaction.source import (
    READ_BYTES,
    READ_ENTRIES,
    Request,
    batches_of,
    read_ahead,
)
from partstream.engine.compaction.state import segments_of
from partstream.engine.partition import Partition, Topic
from partstream.engine.reading import StoredBatch, read_entries
from partstream.errors import PartstreamError
from partstream.model import Compacted
from partstream.records import header
from partstream.records.cleaning import NEVER, Cleaned, LastRecords, Terms, clean
from partstream.store.store import Store

_LEASE_MS = 30_000
"""A cleaner that has not been heard of for so long is dead."""
_MOST_BYTES = 128 * 1024 * 1024
_LEAST_BYTES = 32 * 1024 * 1024
"""What a cleaner may remember: as much as the dirty part has, but within these. If its keys are
more, they take several rounds."""
_GAP_BYTES = 32 * 1024
"""To read so much takes no longer than to ask once more."""
_TRIM_BYTES = 4 * 1024 * 1024
_TRIM_ENTRIES = 1_000
_PRODUCERS_A_CALL = 500
_PACE = 10_000
_LAST_END = Struct(">q")
_LAST_END_AT = 18

T = TypeVar("T")


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
        self._partition = partition
        self._look = look
        self._plan = intended
        self._pace = Pace(intended, watcher)
        self._output = Output(
            store,
            partition,
            look.cleanings,
            segment_bytes=topic.config.segment_bytes,
            lease_ms=_LEASE_MS,
        )
        self._last = LastRecords()
        self._terms = Terms(self._last, look.now, topic.config.delete_retention_ms)
        self._dirty = Dirty(intended.begin)
        self._producers_ends: Collection[int] = ()
        self._read = self._kept = 0
        self._horizon = NEVER

    async def run(self) -> Compacted | None:
        """Do it; None if another one is at it.

        Raises:
            Overtaken: something came in between; it is as if nothing had been done.
            PartstreamError: the store failed, or a batch cannot be read.
        """
        try:
            return await self._run() if await self._output.begin() else None
        except BaseException:
            await self._output.leave()
            raise

    async def _run(self) -> Compacted:
        store, partition, lease = self._store, self._partition, self._output.lease
        cleanings = self._look.cleanings
        try:
            await self._output.clear()
            await self._read_keys()
            await self._write()
            before, after = await self._swap()
        except (PartstreamError, Overtaken):
            with suppress(PartstreamError):
                await finish(store, partition, lease)
            raise
        # If one of these fails the token stays, and whoever finds it does the rest.
        await self._trim()
        await empty(store, partition, cleanings + 1, lease)
        await finish(store, partition, lease)
        end, ratio = self._dirty.end, self._plan.ratio
        return Compacted(end, self._read, self._kept, before, after, ratio)

    # Reading.

    async def _read_keys(self) -> None:
        """The dirty part's keys, as far as there is room for them."""
        intended, dirty, last = self._plan, self._dirty, self._last
        room = min(_MOST_BYTES, max(_LEAST_BYTES, intended.dirty_bytes))
        async with aclosing(
            batches_of(
                self._store,
                self._partition.keys.log,
                intended.edge,
                intended.dirty,
                intended.begin,
            )
        ) as batches:
            async for stored in batches:
                if dirty and last.bytes_with(stored.next_offset - stored.base_offset) > room:
                    break
                self._read += self._readable(stored, last.see).record_count
                dirty.add(stored.next_offset, len(stored.payload))
                await self._step("reading", len(stored.payload))
        if intended.dirty and not dirty:
            raise Overtaken("records were deleted")

    async def _find_producers(self) -> set[int]:
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

    async def _write(self) -> None:
        """Write what stays into the stream beside."""
        intended, keys = self._plan, self._partition.keys
        self._producers_ends = await self._find_producers()
        for _ in self._last.mark(_PACE):
            await self._step("reading", 0)
        for _ in self._dirty.decide(self._stays, _PACE):
            await self._step("reading", 0)
        held = keys.cleaned(self._look.cleanings)
        async with aclosing(
            batches_of(self._store, held, intended.below, intended.clean, intended.start)
        ) as batches:
            async for stored in batches:
                head = self._readable(stored, _parsed)
                self._read += head.record_count
                await self._clean(stored, None, produced=head.producer_id >= 0)
        async with aclosing(self._runs()) as runs:
            async for run, stored_batches in runs:
                await self._step("writing", run.skipped)
                for number, stored in enumerate(stored_batches, run.first):
                    if self._dirty.stays(number):
                        produced = self._last.is_produced(number)
                        await self._clean(stored, number, produced=produced)
                    else:
                        await self._step("writing", len(stored.payload))
        await self._output.flush()

    async def _runs(self) -> AsyncGenerator[tuple[Run, list[StoredBatch]], None]:
        """What stays of the dirty part; the rest is not even read again."""
        waiting = deque[Run]()
        runs = self._dirty.runs(size=READ_BYTES, batches=READ_ENTRIES, gap=_GAP_BYTES)

        def following(_: Sequence[StoredBatch]) -> Request | None:
            run = next(runs, None)
            if run is None:
                return None
            waiting.append(run)
            return Request(run.begin, run.end, run.after - run.first)

        async with aclosing(
            read_ahead(self._store, self._partition.keys.log, following)
        ) as answers:
            async for batches in answers:
                run = waiting.popleft()
                if len(batches) != run.after - run.first:
                    raise Overtaken("records were deleted, or a failover has taken them back")
                yield run, batches

    def _stays(self, number: int, end: int) -> bool:
        keep_empty = self._keeps_empty(end, produced=self._last.is_produced(number))
        return self._last.stays(number, keep_empty=keep_empty)

    def _keeps_empty(self, end: int, *, produced: bool) -> bool:
        """Whether a batch stays for what its header says: where the part ends, and the last of
        each producer."""
        return end == self._dirty.end or (produced and end in self._producers_ends)

    async def _clean(self, stored: StoredBatch, number: int | None, *, produced: bool) -> None:
        """Keep what stays of one batch."""
        keep_empty = self._keeps_empty(stored.next_offset, produced=produced)

        def cleaned(payload: bytes, base_offset: int) -> Cleaned:
            return clean(payload, base_offset, self._terms, number=number, keep_empty=keep_empty)

        left = self._readable(stored, cleaned)
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

    async def _swap(self) -> tuple[int, int]:
        """Put it in place; bytes of the cleaned part before and after."""
        end = self._dirty.end
        while True:
            segments = await segments_of(self._store, self._partition, rows_to_read())
            old = [segment for segment in segments if segment.end <= end]
            if not old:
                raise Overtaken("records were deleted")
            # The round may end within a segment. Then it ends one of its own.
            end_size = old[-1].size + self._dirty.bytes_behind(old[-1].end)
            start, before = old[0].end, end_size - old[0].size
            made = self._output.rows.made(start, await self._cut(start), end_size)
            members = {member.encode() for _, member in made.rows}
            going = [segment.member for segment in old if segment.member not in members]
            if await self._output.swap(
                self._look, (start, end), going, made, horizon=self._horizon
            ):
                return before, end_size - made.base

    async def _cut(self, start: int) -> int:
        """Bytes of what was written below the log's start, in the row that this lies in."""
        if start == self._plan.start:
            return 0
        begin, largest = self._output.rows.below(start)
        spare, cut = self._partition.keys.spare(self._look.cleanings), 0
        entries = max(1, min(READ_ENTRIES, READ_BYTES // largest))
        while begin < start:
            batches = await read_entries(self._store, spare, begin, entries, until=start)
            cut += sum(len(stored.payload) for stored in batches)
            begin = batches[-1].next_offset if len(batches) == entries else start
        return cut

    async def _trim(self) -> None:
        """Free what the cleaned part stands for now, a bounded amount at a time.

        Each step is a sign of life by itself: what `renew` looks at was left to the swap.
        """
        for offset, size in self._dirty.steps(size=_TRIM_BYTES, batches=_TRIM_ENTRIES):
            await trim(self._store, self._partition, self._output.lease, offset)
            await self._pace.step("trimming", size)


def _parsed(batch: bytes, _: int) -> header.BatchHeader:
    return header.parse(batch)

"""Reads several partitions for one Fetch: a budget of bytes, and a wait for there to be some.

Nothing polls Redis: a reader that has caught up watches the doorbells of its partitions, looks once
more, and sleeps until one rings or its time is over. The watches of a connection stay from one
Fetch to the next while it is caught up, and go when it is busy, so that appends need not ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, Fetched, StoredBatch, fetch
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker
from partstream.gateway.connection import Connection
from partstream.store.bells import Watch

_ROUNDS = 4
"""Reads of one partition for one Fetch: each reaches as far as the sizes of batches are known."""
_BUSY = 8
"""After so many Fetches that found something at once, the doorbells are left alone."""
_MOST_CURSORS = 20_000


@dataclass(slots=True)
class Want:
    """One partition of a Fetch."""

    partition: Partition
    offset: int
    max_bytes: int


@dataclass(slots=True)
class Got:
    """What there is in one partition."""

    batches: list[StoredBatch] = field(default_factory=list)
    size: int = 0
    log_start: int = -1
    log_end: int = -1
    leader_epoch: int = -1
    error: PartstreamError | None = None


class Reading:
    """What a connection's Fetches remember from one to the next."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._cursors: dict[Partition, Cursor] = {}
        self._watches: dict[Partition, Watch] = {}
        self._rung: set[Partition] = set()
        self._bell = asyncio.Event()
        self._busy = 0

    @classmethod
    def of(cls, broker: Broker, connection: Connection) -> Reading:
        """The connection's own."""
        reading = connection.memory.get(cls)
        if reading is None:
            reading = connection.memory[cls] = cls(broker)
            connection.farewells.append(reading.close)
        found: Reading = reading
        return found

    def close(self) -> None:
        """Listen to no doorbell any more."""
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()

    async def poll(
        self, wants: Sequence[Want], *, max_bytes: int, min_bytes: int, max_wait_ms: int
    ) -> list[Got]:
        """Read all that is wanted, within `max_bytes`; wait for `min_bytes` of it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait_ms / 1000
        heard = {want.partition for want in wants} <= self._watches.keys()
        self._rung.clear()
        self._bell.clear()
        got = await self._read(wants, max_bytes)
        if _enough(got, min_bytes) or max_wait_ms <= 0 or self._broker.draining.is_set():
            self._found_at_once()
            return got
        self._busy = 0
        if not heard:
            await self._listen(wants)
            got = await self._read(wants, max_bytes)
        while not _enough(got, min_bytes) and await self._ring(deadline):
            rung, self._rung = self._rung, set()
            self._bell.clear()
            await self._read_again(wants, got, rung, max_bytes)
        return got

    async def _ring(self, deadline: float) -> bool:
        """Wait for a doorbell; False if the time is over first, or the gateway ends."""
        if self._broker.draining.is_set():
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._bell.wait()
        except TimeoutError:
            return False
        return True

    def _found_at_once(self) -> None:
        self._busy += 1
        if self._busy == _BUSY:
            self.close()

    async def _listen(self, wants: Sequence[Want]) -> None:
        """Watch the doorbells of just these partitions."""
        wanted = {want.partition for want in wants}
        for partition in self._watches.keys() - wanted:
            self._watches.pop(partition).cancel()
        missing = wanted - self._watches.keys()
        watches = await asyncio.gather(
            *(
                self._broker.store.bells.watch(partition.keys.bell, self._ringer(partition))
                for partition in missing
            ),
            return_exceptions=True,
        )
        for partition, watch in zip(missing, watches, strict=True):
            if isinstance(watch, Watch):
                self._watches[partition] = watch
            elif not isinstance(watch, PartstreamError):
                raise watch

    def _ringer(self, partition: Partition) -> Callable[[], None]:
        def ring() -> None:
            self._rung.add(partition)
            self._bell.set()

        return ring

    async def _read(self, wants: Sequence[Want], max_bytes: int) -> list[Got]:
        """Read partitions side by side, as many at a time as the budget has room for."""
        got: list[Got] = []
        left, at = max_bytes, 0
        while at < len(wants):
            promised, until = 0, at
            while until < len(wants) and (until == at or promised < left):
                promised += wants[until].max_bytes
                until += 1
            found = await asyncio.gather(
                *(self._read_one(want, min(want.max_bytes, left)) for want in wants[at:until])
            )
            for want, one in zip(wants[at:until], found, strict=True):
                _trim(one, min(want.max_bytes, left), first=left == max_bytes)
                left -= one.size
                got.append(one)
            at = until
            if left <= 0:
                got += await asyncio.gather(*map(self._bounds, wants[at:]))
                break
        return got

    async def _read_again(
        self, wants: Sequence[Want], got: list[Got], rung: set[Partition], max_bytes: int
    ) -> None:
        left = max_bytes - sum(one.size for one in got)
        for number, want in enumerate(wants):
            if want.partition not in rung:
                continue
            left += got[number].size
            fresh = await self._read_one(want, min(want.max_bytes, max(left, 1)))
            _trim(fresh, min(want.max_bytes, left), first=left == max_bytes)
            got[number] = fresh
            left -= fresh.size

    async def _read_one(self, want: Want, budget: int) -> Got:
        cursor = self._cursor(want)
        got = Got()
        try:
            for _ in range(_ROUNDS):
                fetched = await fetch(self._broker.store, cursor, max(1, budget - got.size))
                _take(got, fetched)
                if not fetched.batches or got.size >= budget:
                    break
                cursor.offset = fetched.batches[-1].next_offset
                if cursor.offset >= got.log_end:
                    break
        except PartstreamError as error:
            if not got.batches:
                got.error = error
        return got

    async def _bounds(self, want: Want) -> Got:
        """A partition that there is no room for any more."""
        try:
            bounds = await self._broker.log.bounds(want.partition)
        except PartstreamError as error:
            return Got(error=error)
        return Got(log_start=bounds.start, log_end=bounds.end, leader_epoch=bounds.leader_epoch)

    def _cursor(self, want: Want) -> Cursor:
        cursor = self._cursors.get(want.partition)
        if cursor is None:
            if len(self._cursors) >= _MOST_CURSORS:
                self._cursors.clear()
            cursor = self._cursors[want.partition] = Cursor(want.partition, want.offset)
        cursor.offset = want.offset
        return cursor


def _take(got: Got, fetched: Fetched) -> None:
    got.batches += fetched.batches
    got.size += sum(len(batch.payload) for batch in fetched.batches)
    got.log_start, got.log_end = fetched.log_start, fetched.log_end
    got.leader_epoch = fetched.leader_epoch


def _trim(got: Got, budget: int, *, first: bool) -> None:
    """Leave batches out that do not fit; the very first of a Fetch always does (KIP-74)."""
    if got.size <= budget:
        return
    size = 0
    for number, batch in enumerate(got.batches):
        size += len(batch.payload)
        if size > budget and not (first and number == 0):
            del got.batches[number:]
            break
    got.size = sum(len(batch.payload) for batch in got.batches)


def _enough(got: Sequence[Got], min_bytes: int) -> bool:
    if any(one.error is not None for one in got):
        return True
    return sum(one.size for one in got) >= min_bytes

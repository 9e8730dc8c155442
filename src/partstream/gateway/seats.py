"""What a connection remembers of one partition from one Fetch to the next: how far its batches'
sizes are known, whether there is anything to read, and what will be asked for next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, Fetched, StoredBatch, fetch
from partstream.errors import PartstreamError
from partstream.gateway.ahead import Ahead
from partstream.gateway.landings import Landed
from partstream.gateway.unsent import Share
from partstream.store.bells import Watch
from partstream.store.store import Store

_ROUNDS = 4
"""Reads of one partition for one Fetch: each reaches as far as the sizes of batches are known."""
_FRESH_S = 5.0
"""So long a silent doorbell is believed: where a slot is on the move it does not ring."""
_MOST_HANDED = 1 << 20
"""Bytes that a Fetch is handed while it waits for more; what is beyond is read."""


@dataclass(slots=True)
class Got:
    """What there is in one partition."""

    batches: list[StoredBatch] = field(default_factory=list)
    size: int = 0
    log_start: int = -1
    log_end: int = -1
    leader_epoch: int = -1
    error: PartstreamError | None = None

    def take(self, fetched: Fetched) -> None:
        """Add what a read has brought."""
        self.batches += fetched.batches
        self.size += sum(len(batch.payload) for batch in fetched.batches)
        self.log_start, self.log_end = fetched.log_start, fetched.log_end
        self.leader_epoch = fetched.leader_epoch

    def trim(self, budget: int, *, first: bool) -> None:
        """Leave batches out that do not fit; the very first of a Fetch always does (KIP-74)."""
        if self.size <= budget:
            return
        size = 0
        for number, batch in enumerate(self.batches):
            size += len(batch.payload)
            if size > budget and not (first and number == 0):
                del self.batches[number:]
                break
        self.size = sum(len(batch.payload) for batch in self.batches)


class Seat:
    """A partition, as a connection's Fetches find it."""

    def __init__(self, store: Store, share: Share, partition: Partition) -> None:
        self.watch: Watch | None = None
        self.streak = 0
        """Fetches in a row that found something at once; negative: that found nothing."""
        self.waits = False
        """Whether there is a Fetch that can be handed what lands."""
        self._store = store
        self._share = share
        self._cursor = Cursor(partition, 0)
        self._end: Fetched | None = None
        """The log's end, as it is if nothing has rung since."""
        self._at = -1
        """From where on nothing was found there, but for what was handed since."""
        self._handed: list[StoredBatch] = []
        self._believed_until = 0.0
        self._rings = 0
        self._next = -1
        """Where the last answer ended."""
        self._ahead: Ahead[Got] | None = None
        self._leave_landings: Callable[[], None] | None = None

    # What is known without asking.

    def is_quiet(self, offset: int, now: float) -> bool:
        """Whether there is nothing to be read, known without asking."""
        return not self._handed and self.known(offset, now) is not None

    def known(self, offset: int, now: float) -> Got | None:
        """What there is from an offset on, if that is known without asking."""
        if self._end is None or offset != self._at or now >= self._believed_until:
            return None
        got = Got()
        got.take(self._end._replace(batches=self._handed))
        return got

    def rang(self) -> None:
        """Something has happened to the partition; perhaps it was truncated."""
        self._rings += 1
        self._forget()
        self._drop_ahead()

    def is_news(self, said: bytes) -> bool:
        """Whether a doorbell speaks of an entry that is not known yet."""
        if self._end is None:
            return True
        try:
            offset, epoch = map(int, said.split(b"-"))
        except ValueError:
            return True
        return offset > self._end.log_end or epoch != self._end.leader_epoch

    def landed(self, landed: Landed | None, now: float) -> None:
        """Take a batch that was appended, if it is what a Fetch waits for."""
        self._rings += 1
        end = self._end
        if landed is None or end is None or not (self.waits and self._takes(landed.batch, end)):
            self._forget()
            return
        self._handed.append(landed.batch)
        self._end = Fetched([], landed.log_start, landed.batch.next_offset, end.leader_epoch)
        self._believed_until = now + _FRESH_S

    def _takes(self, batch: StoredBatch, end: Fetched) -> bool:
        size = sum(len(one.payload) for one in self._handed) + len(batch.payload)
        return (
            (batch.base_offset, batch.leader_epoch) == (end.log_end, end.leader_epoch)
            and (bool(self._handed) or self._at == end.log_end)
            and size <= _MOST_HANDED
        )

    def _forget(self) -> None:
        self._end = None
        self._handed.clear()

    # Reading.

    async def read(self, offset: int, budget: int, now: Callable[[], float]) -> Got:
        """Read on from an offset, about so many bytes."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            got = await ahead.take(offset)
            if got is not None and got.batches:
                return got
        return await self._read(offset, budget, now)

    async def _read(self, offset: int, budget: int, now: Callable[[], float]) -> Got:
        rings, watched = self._rings, self.watch is not None
        cursor, got = self._cursor, Got()
        cursor.offset = offset
        try:
            for _ in range(_ROUNDS):
                fetched = await fetch(self._store, cursor, max(1, budget - got.size))
                got.take(fetched)
                if not fetched.batches or got.size >= budget:
                    break
                cursor.offset = fetched.batches[-1].next_offset
                if cursor.offset >= got.log_end:
                    break
        except PartstreamError as error:
            if not got.batches:
                got.error = error
            return got
        if watched and not got.batches and rings == self._rings:
            self._end, self._at, self._handed = fetched, offset, []
            self._believed_until = now() + _FRESH_S
        return got

    def answered(self, offset: int, max_bytes: int, got: Got, now: Callable[[], float]) -> None:
        """A Fetch has what it gets. If the client reads on and on, read what comes next."""
        self.waits = False
        if self._handed:
            self._at, self._handed = self._handed[-1].next_offset, []
        if not got.batches:
            return
        goes_on = offset == self._next
        self._next = got.batches[-1].next_offset
        if goes_on and self._next < got.log_end and self._share.take_ahead(max_bytes):
            reading = self._read(self._next, max_bytes, now)
            self._drop_ahead()
            self._ahead = Ahead(self._next, reading, self._share, max_bytes)

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.drop()
            self._ahead = None

    # Whom it hears.

    def attend(self, watch: Watch, leave_landings: Callable[[], None]) -> None:
        """It is told of what happens to the partition."""
        self.leave()
        self.watch, self._leave_landings = watch, leave_landings

    def leave(self) -> None:
        """It is told no more."""
        self._forget()
        if self.watch is not None:
            self.watch.cancel()
            self.watch = None
        if self._leave_landings is not None:
            self._leave_landings()
            self._leave_landings = None

    def close(self) -> None:
        """The connection remembers it no more."""
        self.leave()
        self._drop_ahead()

"""Reads several partitions for one Fetch: a budget of bytes, and a wait for there to be some.

Nothing polls Redis. A reader that has caught up with a partition watches its doorbell, looks once
more, and asks no more until it rings: a Fetch of a thousand idle partitions costs Redis nothing. A
partition that always has something is not watched, so that appends to it need not ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from partstream.engine.partition import Partition
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker
from partstream.gateway.connection import Connection
from partstream.gateway.each import side_by_side
from partstream.gateway.landings import Landed
from partstream.gateway.seats import Got, Seat
from partstream.gateway.unsent import Share

_BUSY = 8
"""After so many Fetches in a row that found something at once, a doorbell is left alone."""
_IDLE = 3
"""After so many in a row that found nothing, it is watched even if the Fetch does not wait."""
_MOST_SEATS = 20_000
_PATIENCE_S = 10.0
"""So long a Fetch waits for room for its answer; then it reads one batch."""


@dataclass(slots=True)
class Want:
    """One partition of a Fetch."""

    partition: Partition
    offset: int
    max_bytes: int

    @property
    def bell(self) -> str:
        """The partition's doorbell, which is its name, too."""
        return self.partition.keys.bell


class Reading:
    """What a connection's Fetches remember from one to the next."""

    def __init__(self, broker: Broker, share: Share) -> None:
        self._broker = broker
        self._share = share
        self._seats: dict[str, Seat] = {}
        self._rung: set[str] = set()
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._hurried = broker.draining.is_set()

    @classmethod
    def of(cls, broker: Broker, connection: Connection) -> Reading:
        """The connection's own."""
        reading = connection.memory.get(cls)
        if reading is None:
            reading = connection.memory[cls] = cls(broker, connection.share)
            connection.farewells.append(reading.close)
            connection.hurriers.append(reading._hurry)
        found: Reading = reading
        return found

    def _hurry(self) -> None:
        self._hurried = True
        self._bell.set()
        self._share.hurry()

    def close(self) -> None:
        """Watch no doorbell any more."""
        for seat in self._seats.values():
            seat.close()
        self._seats.clear()

    async def poll(
        self, wants: Sequence[Want], *, max_bytes: int, min_bytes: int, max_wait_ms: int
    ) -> list[Got]:
        """Read all that is wanted, within `max_bytes`; wait for `min_bytes` of it.

        There may be less room for the answer, but always enough for a batch.
        """
        deadline = self._loop.time() + max_wait_ms / 1000
        self._rung.clear()
        self._bell.clear()
        for want in wants:
            self._seat(want).waits = True
        got = await self._poll(wants, max_bytes, min_bytes, deadline)
        for want, one in zip(wants, got, strict=True):
            self._seat(want).answered(want.offset, want.max_bytes, one, self._loop.time)
        return got

    async def _poll(
        self, wants: Sequence[Want], max_bytes: int, min_bytes: int, deadline: float
    ) -> list[Got]:
        got, is_cut = await self._read_first(wants, max_bytes)
        if is_cut:
            min_bytes = min(min_bytes, 1)  # others need the room in which this would wait for more
        if _enough(got, min_bytes) or deadline <= self._loop.time() or self._hurried:
            await self._judge(wants, got)
            return got
        unheard = [want for want in wants if self._seat(want).watch is None]
        if unheard:
            self._leave_all_but({want.bell for want in wants})
            await asyncio.gather(*map(self._watch, unheard))
            await self._read_again(wants, got, {want.bell for want in unheard}, max_bytes)
        while not _enough(got, min_bytes) and await self._ring(deadline):
            rung, self._rung = self._rung, set()
            self._bell.clear()
            await self._read_again(wants, got, rung, max_bytes)
        return got

    # Doorbells.

    async def _ring(self, deadline: float) -> bool:
        """Wait for a doorbell; False if the time is over first, or the gateway ends."""
        if self._hurried:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._bell.wait()
        except TimeoutError:
            return False
        return True

    async def _judge(self, wants: Sequence[Want], got: Sequence[Got]) -> None:
        """Watch those that are idle, and leave those alone that are busy."""
        idle = []
        for want, one in zip(wants, got, strict=True):
            seat = self._seat(want)
            if one.size:
                seat.streak = max(seat.streak, 0) + 1
                if seat.streak >= _BUSY:
                    seat.leave()
            else:
                seat.streak = min(seat.streak, 0) - 1
                if seat.streak <= -_IDLE and seat.watch is None:
                    idle.append(want)
        if idle:
            await asyncio.gather(*map(self._watch, idle))

    async def _watch(self, want: Want) -> None:
        seat, bell = self._seat(want), want.bell

        landings = self._broker.landings

        def ring() -> None:
            seat.rang()
            wake()

        def hear(said: bytes) -> None:
            # What is on its way from here is told, and better, when it lands.
            if not landings.expects(bell) and seat.is_news(said):
                ring()

        def land(landed: Landed | None) -> None:
            seat.landed(landed, self._loop.time())
            wake()

        def wake() -> None:
            self._rung.add(bell)
            self._bell.set()

        try:
            watch = await self._broker.store.bells.watch(bell, ring, hear=hear)
        except PartstreamError:
            return  # the Fetch ends by its time
        if self._seats.get(bell) is seat:
            seat.attend(watch, landings.listen(bell, land))
        else:
            watch.cancel()  # the connection has ended meanwhile

    def _leave_all_but(self, wanted: set[str]) -> None:
        for bell, seat in self._seats.items():
            if bell not in wanted:
                seat.leave()

    # Reading.

    async def _read_first(self, wants: Sequence[Want], max_bytes: int) -> tuple[list[Got], bool]:
        """Read, as soon as there is room for the answer, and whether there was less than wanted."""
        now = self._loop.time()
        promised = sum(
            want.max_bytes for want in wants if not self._seat(want).is_quiet(want.offset, now)
        )
        wanted, patience = min(promised, max_bytes), 0.0 if self._hurried else _PATIENCE_S
        room = await self._share.take_or_wait(wanted, patience)
        is_cut = room < wanted
        got = await self._read(wants, max(room, 1) if is_cut else max_bytes)
        self._share.found(_size(got))
        return got, is_cut

    async def _read(self, wants: Sequence[Want], max_bytes: int) -> list[Got]:
        """Read partitions side by side, as many at a time as the budget has room for."""
        now = self._loop.time()
        got: list[Got] = []
        left, at = max_bytes, 0
        while at < len(wants):
            promised, until = 0, at
            while until < len(wants) and (until == at or promised < left):
                want = wants[until]
                if not self._seat(want).is_quiet(want.offset, now):
                    promised += want.max_bytes
                until += 1
            found = await self._read_each(wants[at:until], left)
            for want, one in zip(wants[at:until], found, strict=True):
                one.trim(min(want.max_bytes, left), first=left == max_bytes)
                left -= one.size
                got.append(one)
            at = until
            if left <= 0:
                got += await side_by_side(self._bounds, wants[at:])
                break
        return got

    async def _read_each(self, wants: Sequence[Want], left: int) -> list[Got]:
        """Read these, without a task for those that are known to have nothing."""
        now = self._loop.time()
        got = [self._seat(want).known(want.offset, now) for want in wants]
        asked = [number for number, one in enumerate(got) if one is None]
        fresh = await side_by_side(lambda number: self._read_one(wants[number], left), asked)
        found = iter(fresh)
        return [next(found) if one is None else one for one in got]

    async def _read_again(
        self, wants: Sequence[Want], got: list[Got], rung: set[str], max_bytes: int
    ) -> None:
        numbers = [number for number, want in enumerate(wants) if want.bell in rung]
        taken = _size(got)
        left = self._share.take(max(0, max_bytes - taken))
        fresh = await self._read_each([wants[number] for number in numbers], max(left, 1))
        for number, one in zip(numbers, fresh, strict=True):
            left += got[number].size
            taken -= got[number].size
            one.trim(min(wants[number].max_bytes, left), first=not taken)
            got[number] = one
            left -= one.size
            taken += one.size
        self._share.found(taken)

    async def _read_one(self, want: Want, left: int) -> Got:
        seat, budget = self._seat(want), min(want.max_bytes, left)
        return await seat.read(want.offset, budget, self._loop.time)

    async def _bounds(self, want: Want) -> Got:
        """A partition that there is no room for any more."""
        try:
            bounds = await self._broker.log.bounds(want.partition)
        except PartstreamError as error:
            return Got(error=error)
        return Got(log_start=bounds.start, log_end=bounds.end, leader_epoch=bounds.leader_epoch)

    def _seat(self, want: Want) -> Seat:
        seat = self._seats.get(want.bell)
        if seat is None:
            if len(self._seats) >= _MOST_SEATS:
                self._make_room()
            seat = Seat(self._broker.store, self._share, want.partition)
            self._seats[want.bell] = seat
        return seat

    def _make_room(self) -> None:
        """Forget what was asked for longest ago."""
        for bell in list(self._seats)[: _MOST_SEATS // 2]:
            self._seats.pop(bell).close()


def _enough(got: Sequence[Got], min_bytes: int) -> bool:
    if any(one.error is not None for one in got):
        return True
    return _size(got) >= min_bytes


def _size(got: Sequence[Got]) -> int:
    return sum(one.size for one in got)

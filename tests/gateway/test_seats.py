"""What a connection remembers of a partition never hides a record, shows one twice, or shows one
that is not in the log: against a plain model, with appends of its own, of others, and truncations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, Fetched, StoredBatch
from partstream.gateway import ahead, seats
from partstream.gateway.landings import Landed
from partstream.gateway.seats import Got, Seat
from partstream.gateway.unsent import Share, Unsent
from tests.waiting import until

ROOM = 1 << 24


@dataclass
class Log:
    """A partition as Redis has it."""

    batches: list[StoredBatch] = field(default_factory=list)
    epoch: int = 0
    reads: int = 0

    @property
    def end(self) -> int:
        return self.batches[-1].next_offset if self.batches else 0

    @property
    def newest(self) -> bytes:
        """What its bell says."""
        return b"%d-%d" % (self.end, self.batches[-1].leader_epoch)

    def append(self, size: int, records: int = 1) -> StoredBatch:
        batch = StoredBatch(self.end, self.end + records, self.epoch, None, b"x" * size)
        self.batches.append(batch)
        return batch

    def truncate(self, count: int) -> None:
        """A failover takes the last batches back."""
        self.epoch += 1
        del self.batches[len(self.batches) - count :]

    async def fetch(self, _: object, cursor: Cursor, max_bytes: int) -> Fetched:
        self.reads += 1
        await asyncio.sleep(0)
        ahead = [batch for batch in self.batches if batch.next_offset > cursor.offset]
        found, size = ahead[:1], sum(len(batch.payload) for batch in ahead[:1])
        for batch in ahead[1:]:
            size += len(batch.payload)
            if size > max_bytes:
                break
            found.append(batch)
        return Fetched(found, 0, self.end, self.epoch)


@pytest.fixture
def room() -> Unsent:
    return Unsent(ROOM)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(seats, "fetch", log.fetch)
    return log


@pytest.fixture
def seat(room: Unsent, log: Log) -> Seat:
    return _seat(room)


def _seat(room: Unsent) -> Seat:
    seat = Seat(Mock(), Share(room), Mock(spec=Partition))
    seat.attend(Mock(), lambda: None)
    return seat


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _poll(seat: Seat, offset: int, budget: int = 1_000) -> Got:
    """One look of a Fetch, from its beginning to its answer."""
    seat.waits = True
    got = seat.known(offset, _now()) or await seat.read(offset, budget, _now)
    got.trim(budget, first=True)
    seat.answered(offset, budget, got, _now)
    return got


async def _reads_on(seat: Seat, log: Log) -> None:
    """Read the first four of six batches, in two Fetches: the last two are read ahead."""
    for _ in range(6):
        log.append(500)
    await _poll(seat, 0)
    await _poll(seat, 2)


async def test_who_waits_is_handed_what_lands(seat: Seat, log: Log) -> None:
    offset = 0
    assert not (await _poll(seat, 0)).batches
    reads = log.reads
    for _ in range(5):
        seat.waits = True
        got = seat.known(offset, _now())
        assert got is not None
        assert not got.batches
        batch = log.append(10, records=3)
        seat.landed(Landed(batch, 0), _now())
        assert not seat.is_news(log.newest), "the bell speaks of what is known"
        got = seat.known(offset, _now())
        assert got is not None
        assert (got.batches, got.log_end, got.size) == ([batch], offset + 3, 10)
        seat.answered(offset, 1_000, got, _now)
        offset += 3
    assert log.reads == reads, "Redis was asked"


async def test_nobody_is_handed_what_does_not_follow(seat: Seat, log: Log) -> None:
    await _poll(seat, 0)
    seat.waits = True
    log.append(10)  # by another, whose bell is still on its way
    seat.landed(Landed(log.append(10), 0), _now())
    assert seat.known(0, _now()) is None
    assert len((await _poll(seat, 0)).batches) == 2


async def test_what_lands_while_nobody_waits_is_read(seat: Seat, log: Log) -> None:
    # It may be deleted before somebody asks for it.
    await _poll(seat, 0)
    seat.landed(Landed(log.append(10), 0), _now())
    assert seat.known(0, _now()) is None


@pytest.mark.parametrize("said", [b"1-1", b"5-0", b"nonsense", b"1-2-3"])
async def test_a_bell_that_says_something_else_is_news(seat: Seat, log: Log, said: bytes) -> None:
    await _poll(seat, 0)
    seat.waits = True
    seat.landed(Landed(log.append(10), 0), _now())
    assert not seat.is_news(b"1-0")
    assert seat.is_news(said)


async def test_no_more_is_handed_than_an_answer_should_hold(seat: Seat, log: Log) -> None:
    await _poll(seat, 0)
    seat.waits = True
    seat.landed(Landed(log.append(seats._MOST_HANDED - 1), 0), _now())
    assert seat.known(0, _now()) is not None
    seat.landed(Landed(log.append(2), 0), _now())
    assert seat.known(0, _now()) is None


async def test_a_client_that_reads_on_finds_it_read(seat: Seat, log: Log, room: Unsent) -> None:
    await _reads_on(seat, log)
    assert room.held == 1_000, "the next bytes count"
    await asyncio.sleep(0.01)  # as long as the client works on what it has
    reads = log.reads
    got = await seat.read(4, 1_000, _now)
    assert [batch.base_offset for batch in got.batches] == [4, 5]
    assert (log.reads, room.held) == (reads, 0)


async def test_nothing_is_read_ahead_at_the_end_or_where_there_is_no_room(
    seat: Seat, log: Log, room: Unsent
) -> None:
    for _ in range(4):
        log.append(500)
    await _poll(seat, 0)
    room.change(ROOM)
    await _poll(seat, 2, budget=500)
    assert room.held == ROOM
    room.change(-ROOM)
    await _poll(seat, 3)
    assert room.held == 0


async def test_what_nobody_asks_for_soon_is_thrown_away(
    seat: Seat, log: Log, room: Unsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_KEPT_S", 0.01)
    await _reads_on(seat, log)
    await until(lambda: not room.held)
    reads = log.reads
    assert len((await seat.read(4, 1_000, _now)).batches) == 2
    assert log.reads > reads


async def test_who_goes_elsewhere_does_not_get_what_was_read_ahead(seat: Seat, log: Log) -> None:
    await _reads_on(seat, log)
    assert [batch.base_offset for batch in (await _poll(seat, 1)).batches] == [1, 2]


async def test_a_seat_that_is_closed_gives_its_room_back(
    seat: Seat, log: Log, room: Unsent
) -> None:
    await _reads_on(seat, log)
    seat.close()
    assert room.held == 0


_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("own"), st.integers(1, 700)),
        st.tuples(st.just("own, later"), st.integers(1, 700)),
        st.tuples(st.just("land"), st.just(0)),
        st.tuples(st.just("other"), st.integers(1, 700)),
        st.tuples(st.just("poll"), st.integers(1, 1_500)),
        st.tuples(st.just("truncate"), st.integers(0, 2)),
        st.tuples(st.just("work"), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(operations=_OPERATIONS)
def test_a_reader_sees_the_log(operations: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        log = Log()
        patch.setattr(seats, "fetch", log.fetch)
        asyncio.run(_read_along(log, operations))


async def _read_along(log: Log, operations: list[tuple[str, int]]) -> None:
    story = Story(log)
    for what, size in operations:
        await story.operations[what](size)
    await story.end()


class Story:
    """A client that reads, beside others that append."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.room = Unsent(ROOM)
        self.seat = _seat(self.room)
        self.position = 0
        self.under_way: list[StoredBatch | None] = []
        """Batches that the log has, whose answer has not come yet; None: it never will."""
        self.operations: dict[str, Callable[[int], Awaitable[None]]] = {
            "own": self.own,
            "own, later": self.own_later,
            "land": self.land,
            "other": self.other,
            "poll": self.poll,
            "truncate": self.truncate,
            "work": self.work,
        }

    async def work(self, _: int) -> None:
        await asyncio.sleep(0)

    async def own_later(self, size: int) -> None:
        self.under_way.append(self.log.append(size))
        self._hear()

    async def own(self, size: int) -> None:
        await self.own_later(size)
        self._land_all()
        self._hear()

    async def other(self, size: int) -> None:
        self.log.append(size)
        self._hear()

    async def land(self, _: int) -> None:
        if self.under_way:
            self._land()

    async def truncate(self, count: int) -> None:
        # What is under way fails with the connection.
        self.under_way = [None] * len(self.under_way)
        self.log.truncate(min(count, len(self.log.batches)))
        self._land_all()
        self.seat.rang()
        self.position = min(self.position, self.log.end)

    async def poll(self, budget: int) -> None:
        got = await _poll(self.seat, self.position, budget)
        # A Fetch that finds nothing waits: it must not be that there is something.
        assert got.batches or self.position == self.log.end or self.under_way
        for batch in got.batches:
            assert batch in self.log.batches
            assert batch.base_offset == self.position
            self.position = batch.next_offset

    async def end(self) -> None:
        self._land_all()
        while self.position < self.log.end:
            await self.poll(1_000)
        self.seat.close()
        assert self.room.held == 0

    def _hear(self) -> None:
        if not self.under_way and self.seat.is_news(self.log.newest):
            self.seat.rang()

    def _land_all(self) -> None:
        while self.under_way:
            self._land()

    def _land(self) -> None:
        batch = self.under_way.pop(0)
        self.seat.landed(None if batch is None else Landed(batch, 0), _now())

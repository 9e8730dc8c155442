"""Waits for records and hands them out, and knows how far its user has come with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from partstream.client.buffer import Hand, PartitionBuffer
from partstream.client.fetcher import Fetcher
from partstream.client.positions import Position
from partstream.errors import ClosedClient, IllegalState, Wakeup
from partstream.model import Record, TopicPartition


class Poller:
    """What `poll` and iteration share.

    A record is *handed out* when `poll` returned it, or iteration gave it. It is *done with* when
    the user came back for more, or has committed it: only then may it be committed without being
    asked.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        news: asyncio.Event,
        upkeep: Callable[[], Awaitable[float | None]],
    ) -> None:
        """Nothing is handed out yet.

        Args:
            news: set whenever there may be something to do.
            upkeep: everything that has to be done while the user waits; returns the seconds after
                which it has to be done again even without news.
        """
        self._fetcher = fetcher
        self._news = news
        self._upkeep = upkeep
        self._hand = Hand([])
        self._not_done: dict[PartitionBuffer, Position] = {}
        self._committed: dict[PartitionBuffer, Position] = {}
        self._woken = False
        self._closing = False
        self._polling: asyncio.Task[object] | None = None
        self._again_in: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def hand(self) -> Hand:
        """What is being iterated over."""
        return self._hand

    def activity(self) -> object:
        """Changes whenever the user takes a record."""
        return id(self._hand), tuple(self._hand.rest().values())

    async def poll(self, most: int, timeout: float | None) -> list[Record]:
        """At most so many records; waits for the first for at most `timeout` seconds."""
        await self.fill(most, timeout)
        return self.take_all()

    async def fill(self, most: int, timeout: float | None) -> None:
        """Take records to iterate over; `hand` has none if the time passed without any.

        Raises:
            IllegalState: another task is at it.
            ClosedClient: the consumer is being closed.
            Wakeup: `wake` was called.
            PartstreamError: what stands in the way of the next record.
        """
        if self._polling is not None:
            raise IllegalState("another task or thread is polling this consumer")
        self._polling = asyncio.current_task()
        self._idle.clear()
        try:
            self._come_back()
            loop = asyncio.get_running_loop()
            deadline = None if timeout is None else loop.time() + timeout
            # A user who never waits must starve neither the readers nor the heartbeats.
            await asyncio.sleep(0)
            while not await self._take(most):
                left = None if deadline is None else deadline - loop.time()
                if left is not None and left <= 0:
                    return
                await self._wait(left)
        finally:
            self._polling = None
            self._idle.set()

    def fill_at_once(self, most: int) -> bool:
        """As `fill`, but without waiting; False: there is nothing yet, or `fill` knows more.

        Raises:
            PartstreamError: what stands in the way of the next record.
        """
        if self._polling is not None or self._closing or self._woken:
            return False
        self._come_back()
        return self._get(most)

    def take_all(self) -> list[Record]:
        """Hand out all that `fill` has got."""
        hand, self._hand = self._hand, Hand([])
        self._not_done = hand.first()
        return hand.all()

    def next_run(self) -> Iterator[Record] | None:
        """The next records to iterate over; None if `fill` has to get some."""
        return self._hand.advance()

    def give_back(self) -> None:
        """Return what was taken and not handed out; an iteration over it ends."""
        rest = self._hand.rest()
        self._not_done.update(self._hand.current())
        self._hand.give_back()
        self._hand = Hand([])
        for buffer in rest:
            self._fetcher.requeue(buffer)

    def moved(self, name: TopicPartition) -> None:
        """A partition's position was set: what was handed out of it before does not count."""
        buffer = self._fetcher.buffer(name)
        self._not_done.pop(buffer, None)
        self._committed.pop(buffer, None)

    def committed(self, name: TopicPartition, position: Position) -> None:
        """The user commits up to here, and so is done with what is below, without coming back."""
        self._committed[self._fetcher.buffer(name)] = position

    def position(self, name: TopicPartition) -> Position | None:
        """Behind the last record that was handed out; None if it is not known yet."""
        buffer = self._fetcher.buffer(name)
        return self._hand.rest().get(buffer, buffer.position)

    def positions(self, *, done_only: bool = False) -> dict[PartitionBuffer, Position]:
        """All positions that are known: behind what was handed out, or what is done with."""
        found = {
            buffer: buffer.position
            for buffer in self._fetcher.buffers()
            if buffer.position is not None
        }
        corrections = [self._hand.rest()]
        if done_only:
            corrections += [self._hand.current(), self._not_done]
        for correction in corrections:
            found.update((buffer, at) for buffer, at in correction.items() if buffer in found)
        if done_only:
            found.update(
                (buffer, at)
                for buffer, at in self._committed.items()
                if buffer in found and found[buffer].offset < at.offset
            )
        return found

    def wake(self) -> None:
        """Have the poll that waits, or else the next one, raise Wakeup."""
        self._woken = True
        self._news.set()

    async def idle(self) -> None:
        """Wait until nobody polls (a poll that was cancelled takes a moment to end)."""
        await self._idle.wait()

    async def close(self) -> None:
        """End the poll that waits, unless this is called from within it (by a listener)."""
        self._closing = True
        self._news.set()
        if self._polling is not asyncio.current_task():
            await self._idle.wait()

    async def _take(self, most: int) -> bool:
        self._news.clear()
        if self._closing:
            raise ClosedClient("this consumer is closed")
        if self._woken:
            self._woken = False
            raise Wakeup("wakeup() was called")
        self._again_in = await self._upkeep()
        if self._closing:
            raise ClosedClient("this consumer is closed")
        return self._get(most)

    def _come_back(self) -> None:
        """The user wants more, and so is done with what was handed out before."""
        self.give_back()
        self._not_done = {}
        self._committed = {}

    def _get(self, most: int) -> bool:
        slices = self._fetcher.take(most)
        self._hand = Hand(slices)
        return bool(slices)

    async def _wait(self, left: float | None) -> None:
        limits = [
            limit for limit in (left, self._again_in, self._fetcher.ripe_in()) if limit is not None
        ]
        try:
            async with asyncio.timeout(min(limits, default=None)):
                await self._news.wait()
        except TimeoutError:
            return

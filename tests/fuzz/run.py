"""Sends spoilt frames to a gateway, and watches it: it stays up, its memory stays flat, and other
clients notice nothing.

Every frame is looked at by the gateway: behind each, on the same connection, goes a question that
is answered only after it, or the connection is closed.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzz.frames import Spoiler
from tests.fuzz.target import Target
from tests.gateway.gateways import Client, create, fetch, produce, request
from tests.gateway.records import batch, values

_MARK = 0x5EED
_QUESTION = request(18, 0, {}, correlation=_MARK)
_TIDY_EVERY = 10
_MOST_PARTITIONS = 20
"""What spoilt requests have made, in good order, is taken away again: a topic of ten thousand
partitions needs its memory, and answers about it take their time."""
_PATIENCE_S = 0.5
"""How long a frame may make the gateway wait, as a Fetch may; then the client hangs up."""


@dataclass(slots=True)
class Report:
    """What came of it."""

    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_ms: float = 0.0
    """The longest that another client waited for its batch to be written and read back."""
    others: int = 0
    """How often another client has done so."""
    memory: list[tuple[int, int]] = field(default_factory=list)
    """After so many frames, so many bytes."""

    def growth(self) -> float:
        """The most memory in the second half of the frames, over the most in the first half.

        Spoilt frames may well ask for something large that is allowed, as ten thousand
        partitions: once that was there, nothing is to come on top.
        """
        half = self.frames / 2
        first = [size for frames, size in self.memory if frames <= half]
        second = [size for frames, size in self.memory if frames > half]
        return max(second) / max(first) if first and second else 1.0


class Attack:
    """Frames from several connections at a time."""

    def __init__(self, target: Target, frames: list[bytes], *, seed: int, lines: int = 16) -> None:
        self._target = target
        self._frames = frames
        self._seed = seed
        self._lines = lines
        self.report = Report()

    async def run(self, count: int, tell: Callable[[Report], None] = lambda _: None) -> Report:
        """Send so many frames."""
        begun = time.monotonic()
        ended = asyncio.Event()
        watching = asyncio.create_task(self._watch(ended, tell))
        shares = [count // self._lines + (one < count % self._lines) for one in range(self._lines)]
        try:
            async with asyncio.TaskGroup() as group:
                for number, share in enumerate(shares):
                    group.create_task(self._line(self._seed + number, share))
        finally:
            ended.set()
        await watching
        self.report.seconds = time.monotonic() - begun
        return self.report

    async def _line(self, seed: int, count: int) -> None:
        """One connection after the other."""
        spoiler = Spoiler(seed, self._frames)
        sent = 0
        while sent < count:
            reader, writer = await asyncio.open_connection(*self._target.address)
            try:
                while sent < count:
                    sent += 1
                    self.report.frames += 1
                    outcome = await self._frame(reader, writer, spoiler.next())
                    self.report.outcomes[outcome] += 1
                    if outcome != "answered":
                        break
            finally:
                writer.transport.abort()

    async def _frame(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
    ) -> str:
        writer.write(data + _QUESTION)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    (length,) = struct.unpack(">i", await reader.readexactly(4))
                    answer = await reader.readexactly(length)
                    if answer.startswith(struct.pack(">i", _MARK)):
                        return "answered"
        except (asyncio.IncompleteReadError, ConnectionError):
            return "disconnected"
        except TimeoutError:
            return "kept waiting"

    async def _watch(self, ended: asyncio.Event, tell: Callable[[Report], None]) -> None:
        """Be another client, and look at the memory."""
        reader, writer = await asyncio.open_connection(*self._target.address)
        async with Client(reader, writer) as client:
            name = f"witness-{self._seed}"
            await create(client, name)
            number = 0
            while True:
                begun = time.monotonic()
                value = b"%d" % number
                row = await produce(client, name, batch(value))
                if (row.error_code, row.base_offset) != (0, number):
                    raise AssertionError(f"another client's batch: {row}")
                read = await fetch(client, name, number)
                if values(read) != [(number, value)]:
                    raise AssertionError(f"another client read {values(read)}")
                number += 1
                report = self.report
                report.others = number
                report.slowest_ms = max(report.slowest_ms, (time.monotonic() - begun) * 1000)
                report.memory.append((report.frames, self._target.resident()))
                if number % _TIDY_EVERY == 0:
                    await _tidy(client, name)
                tell(report)
                if ended.is_set():
                    return
                try:
                    async with asyncio.timeout(0.2):
                        await ended.wait()
                except TimeoutError:
                    continue


async def _tidy(client: Client, witness: str) -> None:
    """Delete the topics and groups that nobody wanted."""
    topics = (await client.ask(3, 9, topics=None)).topics
    names = [
        topic.name
        for topic in topics
        if topic.name != witness and (topic.name != "t" or len(topic.partitions) > _MOST_PARTITIONS)
    ]
    if names:
        await client.ask(20, 5, topic_names=names, timeout=30_000)
    groups = [group.group_id for group in (await client.ask(16, 3)).groups]
    if groups:
        await client.ask(42, 2, groups_names=groups)

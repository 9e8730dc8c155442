"""The users of a worker's producers and readers: they write down all that comes of what they do."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from partstream.client.consumer import Consumer
from partstream.client.delivery import Delivery
from partstream.client.losses import LogLoss
from partstream.client.producer import Producer
from partstream.errors import (
    ClosedClient,
    CommitFailed,
    CorruptRecord,
    LogTruncation,
    OffsetOutOfRange,
    PartstreamError,
)
from partstream.model import Record, TopicPartition
from tests.chaos.history import (
    Acked,
    Began,
    Closed,
    Failed,
    Journal,
    LossSeen,
    Moved,
    Read,
    Sent,
    Told,
    Trouble,
    now,
)
from tests.chaos.names import TOPIC
from tests.chaos.plan import Client

NAME: ContextVar[str] = ContextVar("NAME", default="")
"""The client on whose behalf a task runs; tasks inherit it from those that make them."""

_RETRY_S = 0.2
_TRUNCATED = re.compile(r"partition \S+-(\d+) was truncated: .*?(\d+)(?: to go on from there)?$")
_OUT_OF_RANGE = re.compile(r"of partition \S+-(\d+) is out of range")


@dataclass(slots=True)
class World:
    """What the clients of one worker share."""

    url: str
    namespace: str
    partitions: int
    journal: Journal
    finishing: asyncio.Event
    """Producers are to send their last records."""
    draining: asyncio.Event
    """Readers are to read what there is, and end."""

    @property
    def names(self) -> list[TopicPartition]:
        """All partitions."""
        return [TopicPartition(TOPIC, index) for index in range(self.partitions)]

    def trouble(self, client: str, where: str, error: BaseException) -> None:
        """Note what a fault explains."""
        self.journal.write(Trouble(now(), client, where, f"{type(error).__name__}: {error}"))


def is_explained(error: BaseException) -> bool:
    """Whether faults may make a client raise this: it passes, or says who owns a partition now."""
    if isinstance(error, CorruptRecord):
        return False
    return isinstance(error, CommitFailed) or (
        isinstance(error, PartstreamError) and error.retriable
    )


async def persist(
    world: World, client: str, what: str, start: Callable[[], Awaitable[Any]]
) -> None:
    """Start a client, again and again while no server answers."""
    while True:
        try:
            await start()
            return
        except PartstreamError as error:
            if not is_explained(error):
                raise
            world.trouble(client, what, error)
            await asyncio.sleep(_RETRY_S)


# Producers.


class Sender:
    """A producer and its user."""

    def __init__(self, world: World, name: str, client: Client, rng: random.Random) -> None:
        self._world, self._name, self._rng = world, name, rng
        self._manner = client.manner
        self._config = client.config
        self._producer = self._made()
        self._sent = 0
        self._idempotent: bool = self._producer.config.enable_idempotence

    async def run(self) -> None:
        """Send until the end is called; then a last record to each partition."""
        world, journal = self._world, self._world.journal
        journal.write(Began(now(), self._name, "producer", self._idempotent))
        try:
            await persist(world, self._name, "start", self._producer.start)
            while not world.finishing.is_set():
                for _ in range(self._rng.randint(1, self._manner["burst"])):
                    await self._send(f"k{self._rng.randrange(self._manner['keys'])}")
                await asyncio.sleep(self._rng.uniform(0.2, 1.8) * self._manner["pause"])
            await self._say_last_words()
        finally:
            await self._producer.close()
            journal.write(Closed(now(), self._name))

    def _made(self) -> Producer:
        return Producer(
            self._world.url,
            namespace=self._world.namespace,
            client_id=self._name,
            on_log_loss=self._lost,
            **self._config,
        )

    async def _say_last_words(self) -> None:
        """By the answer to these a producer notices what it has not noticed before."""
        for index in range(self._world.partitions):
            await self._send(f"last{index}", partition=index)
        await self._producer.flush()
        await asyncio.sleep(1.0)  # it looks for losses on the side

    async def _send(self, key: str, *, partition: int | None = None) -> None:
        self._sent += 1
        value = f"{self._name}/{self._sent}/{'x' * self._rng.randint(0, self._manner['size'])}"
        journal = self._world.journal
        journal.write(Sent(now(), self._name, key, value))
        try:
            delivery = await self._producer.send(
                TOPIC, value.encode(), key=key.encode(), partition=partition
            )
        except PartstreamError as error:
            journal.write(Failed(now(), self._name, value, type(error).__name__, certain=True))
            if not is_explained(error):
                raise
        except asyncio.CancelledError:
            # The user was cancelled while it waited for room.
            journal.write(Failed(now(), self._name, value, "cancelled", certain=False))
            raise
        else:
            delivery.add_done_callback(lambda done: self._done(value, done))

    def _done(self, value: str, delivery: Delivery) -> None:
        error = delivery.exception(0)
        journal = self._world.journal
        if error is None:
            where = delivery.result(0)
            journal.write(Acked(now(), self._name, value, where.partition, where.offset))
        else:
            journal.write(Failed(now(), self._name, value, type(error).__name__, certain=False))
            if not isinstance(error, ClosedClient) and not is_explained(error):
                self._world.trouble(self._name, "delivery", error)

    def _lost(self, loss: LogLoss) -> None:
        self._world.journal.write(
            LossSeen(now(), self._name, loss.partition, loss.first_offset, loss.next_offset)
        )


# Reading.


def note(journal: Journal, client: str, records: list[Record]) -> None:
    """Write down what was handed out, as runs of offsets."""
    if not records:
        return
    at = now()
    reads = []
    by_partition = sorted(records, key=lambda record: record.partition)  # which keeps their order
    for _, group in groupby(
        enumerate(by_partition), key=lambda pair: (pair[1].partition, pair[1].offset - pair[0])
    ):
        run = [record for _, record in group]
        values = [record.value.decode() for record in run]
        reads.append(Read(at, client, run[0].partition, run[0].offset, values))
    journal.write(*reads)


def truncation(text: str) -> tuple[int, int] | None:
    """Partition and offset of what a consumer says of a truncation, by warning or exception."""
    found = _TRUNCATED.search(text)
    return None if found is None else (int(found[1]), int(found[2]))


class Rereader:
    """A consumer without a group, whose user jumps about."""

    def __init__(self, world: World, name: str, client: Client, rng: random.Random) -> None:
        self._world, self._name, self._rng = world, name, rng
        self._manner = client.manner
        self._consumer = Consumer(
            world.url, namespace=world.namespace, client_id=name, **client.config
        )

    async def run(self) -> None:
        """Read and seek until the end is called; then read on to the end of the log."""
        world, consumer = self._world, self._consumer
        world.journal.write(Began(now(), self._name, "reader"))
        try:
            await persist(world, self._name, "start", consumer.start)
            await persist(world, self._name, "assign", lambda: consumer.assign(world.names))
            for name in world.names:
                self._seek(name, 0)
            while not world.draining.is_set():
                await self._poll()
                if self._rng.random() < self._manner["seek"]:
                    await self._jump()
                await asyncio.sleep(self._manner["work"])
            await self._finish()
        finally:
            await consumer.close()
            world.journal.write(Closed(now(), self._name))

    async def _poll(self) -> None:
        try:
            note(self._world.journal, self._name, await self._consumer.poll(timeout=0.2))
        except LogTruncation as error:
            partition, offset = truncation(str(error)) or (-1, -1)
            self._world.journal.write(Told(now(), self._name, partition, offset))
            self._consumer.seek(TopicPartition(TOPIC, partition), offset)
        except OffsetOutOfRange as error:
            (index,) = _OUT_OF_RANGE.findall(str(error))
            self._seek(TopicPartition(TOPIC, int(index)), 0)
        except PartstreamError as error:
            if not is_explained(error):
                raise
            self._world.trouble(self._name, "poll", error)

    def _seek(self, name: TopicPartition, offset: int) -> None:
        self._world.journal.write(Moved(now(), self._name, name.partition, offset))
        self._consumer.seek(name, offset)

    async def _jump(self) -> None:
        name = self._rng.choice(self._world.names)
        try:
            # Not wait_for: Python 3.11's loses a cancellation that comes with the result.
            async with asyncio.timeout(5):
                position = await self._consumer.position(name)
        except (PartstreamError, TimeoutError) as error:
            self._world.trouble(self._name, "position", error)
            return
        self._seek(name, self._rng.randint(0, position))

    async def _finish(self) -> None:
        while True:
            try:
                ends = await self._consumer.end_offsets()
                positions = {name: await self._consumer.position(name) for name in ends}
            except PartstreamError as error:
                if not is_explained(error):
                    raise
                self._world.trouble(self._name, "end_offsets", error)
            else:
                if positions == ends:
                    return
            await self._poll()

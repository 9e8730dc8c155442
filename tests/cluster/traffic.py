"""A producer and a member of a group who go on whatever happens, and what they must not see."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from partstream import aio
from partstream.errors import PartstreamError
from partstream.model import Record
from tests.waiting import until

KEYS = 8


class Traffic:
    """One producer that never stops, one consumer of a group; both write down what they saw."""

    def __init__(self, url: str, **config: Any) -> None:
        """`config` is for both clients."""
        self.url = url
        self.config: dict[str, Any] = {"request_timeout_ms": 5_000, **config}
        self.acknowledged: list[int] = []
        self.failed: list[tuple[int, PartstreamError]] = []
        self.read: list[Record] = []
        self.stopping = asyncio.Event()
        self.produced = asyncio.Event()

    async def produce(self) -> None:
        """Numbers in order, some dozens at a time."""
        async with aio.Producer(self.url, acks="all", **self.config) as producer:
            for first in itertools.count(0, 50):
                numbers = range(first, first + 50)
                sent = [
                    await producer.send("t", b"%d" % number, key=b"%d" % (number % KEYS))
                    for number in numbers
                ]
                for number, delivery in zip(numbers, sent, strict=True):
                    try:
                        await delivery
                    except PartstreamError as error:
                        self.failed.append((number, error))
                    else:
                        self.acknowledged.append(number)
                if self.stopping.is_set():
                    self.produced.set()
                    return

    async def consume(self) -> None:
        """Read and commit, until all is produced, and what was acknowledged is read."""
        async with aio.Consumer(
            self.url, group_id="g", auto_offset_reset="earliest", **self.config
        ) as consumer:
            await consumer.subscribe(["t"])
            while not (self.produced.is_set() and self.has_read_all()):
                self.read += await consumer.poll(timeout=0.5)

    async def goes_on(self, records: int = 500) -> None:
        """Wait until so many more are acknowledged, and read."""
        acknowledged, read = len(self.acknowledged), len(self.read)
        await until(lambda: len(self.acknowledged) > acknowledged + records, within=60)
        await until(lambda: len(self.read) > read + records, within=60)

    def has_read_all(self) -> bool:
        return set(self.acknowledged) <= {int(record.value or b"") for record in self.read}

    def judge(self) -> None:
        """Nothing acknowledged is lost, nothing is there twice, each key is in order."""
        assert not self.failed
        assert self.has_read_all()
        stored = {
            (record.partition, record.offset): int(record.value or b"") for record in self.read
        }
        numbers = sorted(stored.values())
        assert numbers == sorted(set(numbers)), "a record is in the log twice"
        for key in range(KEYS):
            of_key = [number for _, number in sorted(stored.items()) if number % KEYS == key]
            assert of_key == sorted(of_key)

"""Cleaners that are killed or frozen at any time, while records come: nothing is lost or left."""

from __future__ import annotations

import asyncio
import random
import signal
import sys

import pytest

from tests.engine.compacting import (
    check_compacted,
    clean_now,
    last_of,
    left_of,
    streams,
    updates,
)
from tests.engine.logs import Engine, Inside, engine, inside
from tests.faults.cleaning_process import LEASE_MS
from tests.waiting import until

pytestmark = pytest.mark.faults

KEYS = 300
ROUNDS = 8


async def _cleaner(url: str, namespace: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.cleaning_process",
        url,
        namespace,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


class Writer:
    """Updates random keys, and remembers the last value of each."""

    def __init__(self, own: Engine, rng: random.Random) -> None:
        self.own = own
        self.rng = rng
        self.values: dict[bytes, bytes | None] = {}
        self.number = 0

    async def write(self, batches: int) -> None:
        """Append so many batches."""
        partition = (await self.own.topics.get("t")).partitions[0]
        for _ in range(batches):
            pairs: list[tuple[bytes, bytes | None]] = []
            for _ in range(20):
                self.number += 1
                key = b"k%d" % self.rng.randrange(KEYS)
                gone = self.rng.random() < 0.1
                pairs.append((key, None if gone else b"%d" % self.number + b"x" * 100))
            await self.own.log.append(partition, updates(*pairs, codec=self.rng.choice([0, 3])))
            self.values |= dict(pairs)

    @property
    def last(self) -> dict[bytes | None, bytes]:
        """What a table of the topic holds."""
        return {key: value for key, value in self.values.items() if value is not None}


@pytest.mark.deadline(150)
async def test_cleaners_are_killed_and_frozen(redis_url: str, namespace: str) -> None:
    rng = random.Random(20)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            cleanup_policy="compact", segment_bytes=4_096, delete_retention_ms=0
        )
        writer = Writer(own, rng)
        await writer.write(20)
        for round_ in range(ROUNDS):
            process = await _cleaner(redis_url, namespace)
            if round_ % 2:
                await _in_the_middle(own)
            else:
                await writer.write(rng.randrange(1, 25))
            if round_ == ROUNDS // 2:
                await _frozen(process, redis_url, namespace, writer)
            process.kill()
            await process.wait()
            await writer.write(5)
            assert last_of(await left_of(own, partition)) == writer.last
        await until(lambda: _lease_over(own))
        await clean_now(own, partition)
        await clean_now(own, partition)
        await check_compacted(own.store, partition)
        assert last_of(await left_of(own, partition)) == writer.last
        held = await streams(own.store, partition)
        assert held.spare == []


async def _state(own: Engine) -> Inside:
    return await inside(own.store, (await own.topics.get("t")).partitions[0])


async def _in_the_middle(own: Engine) -> None:
    """Wait until a cleaner is at work: it has something to do, since segments are small."""
    key = (await own.topics.get("t")).partitions[0].keys.state

    async def busy() -> bool:
        return bool(await own.store.execute("HEXISTS", key, "cleaner", key=key))

    for _ in range(200):
        if await busy():
            return
        await asyncio.sleep(0)


async def _frozen(
    process: asyncio.subprocess.Process, url: str, namespace: str, writer: Writer
) -> None:
    """It sleeps for longer than its lease; another one cleans; it wakes up, and goes on."""
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2 * LEASE_MS / 1_000)
    other = await _cleaner(url, namespace)
    await writer.write(30)
    process.send_signal(signal.SIGCONT)
    await writer.write(10)
    other.kill()
    await other.wait()


async def _lease_over(own: Engine) -> bool:
    seen = await _state(own)
    if "cleaner" not in seen.state:
        return True
    return await own.topics.now_ms() > seen.number("cleaner_until")

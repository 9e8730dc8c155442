"""Cleaners that are killed or frozen at any time, while records come: nothing is lost or left."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partstream.engine.compaction.cleaner import upkeep
from partstream.store.store import Store
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    half_cleaned,
    last_of,
    lease_over,
    left_of,
    streams,
    updates,
)
from tests.engine.logs import Engine, engine
from tests.engine.mortal import Heard, Watched
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
                await _in_the_middle(own, writer)
            else:
                await writer.write(rng.randrange(1, 25))
            if round_ == ROUNDS // 2:
                await _frozen(process, redis_url, namespace, writer)
            process.kill()
            await process.wait()
            await writer.write(5)
            assert last_of(await left_of(own, partition)) == writer.last
        await until(lambda: lease_over(own, partition))
        await clean_now(own, partition)
        await clean_now(own, partition)
        await check_compacted(own.store, partition)
        assert last_of(await left_of(own, partition)) == writer.last
        held = await streams(own.store, partition)
        assert held.spare == []


async def _in_the_middle(own: Engine, writer: Writer) -> None:
    """Write until a cleaner is seen at work: segments are small, so it soon has something to do."""
    key = (await own.topics.get("t")).partitions[0].keys.state

    async def busy() -> bool:
        await writer.write(1)
        return bool(await own.store.execute("HEXISTS", key, "cleaner", key=key))

    await until(busy, every=0)


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


# Killed at a step that was chosen.


class Mortals:
    """Cleaners that are processes, and are killed at a step of theirs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ended(self, topic: str, calls: int, heard: Heard) -> int:
        """Have one clean a topic; its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(topic, calls, heard.name, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@contextmanager
def _mortals(url: str, namespace: str) -> Iterator[Mortals]:
    words = [sys.executable, "-m", "tests.faults.cleaning_process", url, namespace, "--mortals"]
    with subprocess.Popen(
        words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Mortals(process)


class Counted(Watched):
    """Counts the calls."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls = 0

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return await call(*args, **kwargs)


async def _steps(url: str, namespace: str) -> int:
    """How many calls a cleaning of that history takes."""
    async with engine(url, namespace) as own:
        partition = await half_cleaned(own, "counted")
        counted: Any = Counted(own.store)
        assert await upkeep(counted, await own.topics.get("counted"), partition, force=True)
        return int(counted.calls)


async def _killed(own_at: tuple[str, str], mortals: Mortals, calls: int, heard: Heard) -> None:
    async with engine(*own_at) as own:
        partition = await half_cleaned(own, name := f"t-{uuid.uuid4().hex}")
        before = await left_of(own, partition)
        ended = await asyncio.to_thread(mortals.ended, name, calls, heard)
        assert ended == -signal.SIGKILL
        assert last_of(await left_of(own, partition)) == last_of(before)
        await until(lambda: lease_over(own, partition))
        await clean_now(own, partition)
        await check_compacted(own.store, partition)
        after = await left_of(own, partition)
        assert set(after) < set(before), "what stays is as it was"
        assert last_of(after) == last_of(before)
        await own.topics.delete(name)


def test_a_cleaner_is_killed_at_any_step(redis_url: str, namespace: str) -> None:
    steps = asyncio.run(_steps(redis_url, namespace))
    assert steps > 10, "it has more steps than that"
    with _mortals(redis_url, namespace) as mortals:

        @settings(max_examples=25, deadline=None)
        @given(calls=st.integers(1, steps), heard=st.sampled_from(Heard))
        def killed(calls: int, heard: Heard) -> None:
            asyncio.run(_killed((redis_url, namespace), mortals, calls, heard))

        killed()

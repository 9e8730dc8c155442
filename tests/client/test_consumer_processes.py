"""Consumers in processes of their own that are killed, or stopped past their session."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from partstream.client.consumer import Consumer
from tests.client.consuming import source, tps
from tests.waiting import until

pytestmark = pytest.mark.faults

POLL = 20
CONFIG: dict[str, Any] = {
    "group_id": "g",
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "session_timeout_ms": 1_000,
    "max_poll_records": POLL,
}


class Child:
    """A consumer in another process, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[list[Any]] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def told(self, event: str) -> list[list[Any]]:
        """What it said of one kind."""
        return [line[1:] for line in self.lines if line[0] == event]

    @property
    def records(self) -> list[tuple[int, int]]:
        """Partition and offset of each record that it processed."""
        return [(partition, offset) for partition, offset, _ in self.told("record")]

    @property
    def owned(self) -> set[int]:
        """The partitions that it has, by what it said."""
        owned: set[int] = set()
        for event, *partitions in self.lines:
            if event == "assigned":
                owned |= set(partitions)
            elif event in {"revoked", "lost"}:
                owned -= set(partitions)
        return owned

    async def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._task


@asynccontextmanager
async def child(url: str, namespace: str, work_s: float = 0.0) -> AsyncIterator[Child]:
    """A consumer in a process of its own; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.client.consuming_process",
        url,
        namespace,
        "t",
        str(work_s),
        json.dumps(CONFIG),
        stdout=asyncio.subprocess.PIPE,
    )
    made = Child(process)
    try:
        yield made
    finally:
        await made.kill()


def left_out(records: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Records that came without the one before; a partition may begin anywhere."""
    last: dict[int, int] = {}
    found = []
    for partition, offset in records:
        if offset > last.get(partition, offset) + 1:
            found.append((partition, offset))
        last[partition] = offset
    return found


async def test_a_consumer_killed_in_mid_batch_loses_nothing(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        child(redis_url, namespace, 0.002) as victim,
        child(redis_url, namespace, 0.002) as heir,
    ):
        await logs.topic(partitions=4)
        await until(lambda: len(victim.owned) == len(heir.owned) == 2)
        for partition in range(4):
            await logs.fill(120, partition, batch=30)
        await until(lambda: len(victim.records) > 50)
        await victim.kill()
        everything = {(partition, offset) for partition in range(4) for offset in range(120)}
        await until(lambda: set(victim.records + heir.records) == everything, within=20)
        assert left_out(victim.records) == []
        assert left_out(heir.records) == []
        # Again come only those that were not committed: at most two polls.
        assert len(set(victim.records) & set(heir.records)) <= 2 * POLL
        async with Consumer(redis_url, namespace=namespace, **CONFIG) as reader:
            await until(lambda: _all_committed(reader, 120))


async def _all_committed(reader: Consumer, end: int) -> bool:
    committed = await reader.committed(tps(4))
    return all(at is not None and at.offset == end for at in committed.values())


async def test_a_consumer_stopped_past_its_session_is_refused_and_joins_again(
    redis_url: str, namespace: str
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        child(redis_url, namespace, 0.01) as sleeper,
        child(redis_url, namespace) as other,
    ):
        await logs.topic(partitions=4)
        await until(lambda: len(sleeper.owned) == len(other.owned) == 2)
        for partition in range(4):
            await logs.fill(200, partition, batch=50)
        await until(lambda: len(sleeper.records) > 30)
        sleeper.process.send_signal(signal.SIGSTOP)
        await until(lambda: len(other.owned) == 4)
        everything = {(partition, offset) for partition in range(4) for offset in range(200)}
        await until(lambda: set(other.records) | set(sleeper.records) == everything)
        heard = len(sleeper.lines)
        sleeper.process.send_signal(signal.SIGCONT)
        await until(lambda: len(sleeper.owned) == len(other.owned) == 2)
        assert not sleeper.owned & other.owned
        after = [line[0] for line in sleeper.lines[heard:]]
        # It may finish the records that it had in hand; then it is told, before it gets any more.
        assert after[: after.index("lost") + 1].count("refused") == 1
        assert after.index("refused") < after.index("lost") < after.index("assigned")
        in_hand = after[: after.index("refused")].count("record")
        assert in_hand < POLL
        assert "record" not in after[after.index("refused") :]
        async with Consumer(redis_url, namespace=namespace, **CONFIG) as reader:
            committed = await reader.committed(tps(4))
        assert [at and at.offset for at in committed.values()] == [200] * 4

"""Faust's tables and the state of Quix Streams, which come back from compacted topics."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.foreign.applications import Application, application
from tests.foreign.brokers import Serve
from tests.foreign.builds import faust, quix
from tests.foreign.groups import QUICK, SOON
from tests.foreign.topics import Topics, compacted
from tests.waiting import until

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-python")]

PARTITIONS = 2
KEYS = 20


class Numbers:
    """What is written, and so what an application must find."""

    def __init__(self, topics: Topics, name: str) -> None:
        self._topics = topics
        self._name = name
        self._count = 0
        self.totals: Counter[str] = Counter()

    async def write(self, count: int) -> None:
        """The next numbers."""
        records = [
            (f"k{number % KEYS}", str(number), 0)
            for number in range(self._count, self._count + count)
        ]
        self._count += count
        for key, number, _ in records:
            self.totals[key] += int(number)
        await asyncio.to_thread(self._topics.write, self._name, records)


async def _settled(topics: Topics, group: str, source: str) -> None:
    await until(
        lambda: asyncio.to_thread(topics.has_committed, group, source), within=SOON, every=0.1
    )


async def test_a_table_of_faust(
    serve: Serve, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    name, source = f"{namespace}-app", f"{namespace}-in"
    changelog = f"{name}-totals-changelog"
    command = faust()
    async with serve(**QUICK) as running:
        topics = Topics(running.bootstrap)
        await asyncio.to_thread(topics.create, source, partitions=PARTITIONS)
        numbers = Numbers(topics, source)

        def app() -> AbstractAsyncContextManager[Application]:
            words = (running.bootstrap, name, source, str(tmp_path / "data"))
            return application((*command, *words), tmp_path / "log")

        async def is_known(process: Application) -> bool:
            return bool(await process.ask("totals") == numbers.totals)

        async with app() as process:
            await numbers.write(400)
            await until(lambda: is_known(process), within=SOON, every=0.1)
            await _settled(topics, name, source)
            await process.kill()
        shutil.rmtree(tmp_path / "data")
        assert "compact" in (
            (await asyncio.to_thread(topics.configs, changelog))["cleanup.policy"] or ""
        )
        if running.gateway is not None:
            await compacted(topics, redis_url, namespace, changelog)
        async with app() as process:
            await until(lambda: is_known(process), within=SOON, every=0.1)
            await numbers.write(200)
            await until(lambda: is_known(process), within=SOON, every=0.1)
            await process.kill()


async def test_state_of_quix_streams(
    serve: Serve, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    name, source, target = (f"{namespace}-{word}" for word in ("app", "in", "out"))
    changelog = f"changelog__{name}--{source}--default"
    command = quix()
    async with serve(**QUICK) as running:
        topics = Topics(running.bootstrap)
        await asyncio.to_thread(topics.create, source, target, partitions=PARTITIONS)
        numbers = Numbers(topics, source)

        def app() -> AbstractAsyncContextManager[Application]:
            words = (running.bootstrap, name, source, target, str(tmp_path / "data"))
            return application((*command, *words), tmp_path / "log")

        def found() -> dict[str, int]:
            records = topics.records(target)
            return {(one.key() or b"").decode(): int(one.value() or b"") for one in records}

        async def is_known() -> bool:
            return await asyncio.to_thread(found) == numbers.totals

        async with app() as process:
            await numbers.write(400)
            await until(is_known, within=SOON, every=0.1)
            await _settled(topics, name, source)
            await process.kill()
        shutil.rmtree(tmp_path / "data")
        assert (await asyncio.to_thread(topics.configs, changelog))["cleanup.policy"] == "compact"
        if running.gateway is not None:
            await compacted(topics, redis_url, namespace, changelog)
        async with app() as process:
            await numbers.write(200)
            await until(is_known, within=SOON, every=0.1)
            await process.kill()

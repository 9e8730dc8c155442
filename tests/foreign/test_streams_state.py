"""Kafka Streams with state: a table, a windowed one, and the topics that they come back from."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.applications import Application, application
from tests.foreign.brokers import Serve
from tests.foreign.builds import NEWEST_JAVA, java_class
from tests.foreign.groups import QUICK, SOON
from tests.foreign.topics import Topics, compacted
from tests.waiting import until

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-tools")]

PARTITIONS = 2
WORDS = 20
MINUTE_MS = 60_000


class Truth:
    """What was written, and so what the application must know."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.minutes: Counter[str] = Counter()
        self._base = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS
        self._count = 0

    def more(self, count: int) -> list[tuple[str | None, str, int]]:
        """The next records."""
        records: list[tuple[str | None, str, int]] = []
        for number in range(self._count, self._count + count):
            word, minute = f"w{number % WORDS}", number % 3
            at = self._base + minute * MINUTE_MS + number % 1_000
            self.totals[word] += number
            self.minutes[f"{word}@{self._base + minute * MINUTE_MS}"] += 1
            records.append((f"k{number % 7}", f"{word} {number}", at))
        self._count += count
        return records

    async def known(self, app: Application) -> bool:
        """Whether the application knows it."""
        known = {what: await app.ask(what) for what in ("totals", "minutes")}
        return known == {"totals": self.totals, "minutes": self.minutes}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(lambda: java_class(NEWEST_JAVA), id=NEWEST_JAVA),
        pytest.param(lambda: java_class("3.6.2", "streams"), id="3.6.2", marks=pytest.mark.long),
    ],
)
async def test_tables_come_back_from_their_changelogs(
    serve: Serve, redis_url: str, namespace: str, tmp_path: Path, command: Any
) -> None:
    name, source, target = (f"{namespace}-{word}" for word in ("app", "in", "out"))
    changelogs = {store: f"{name}-{store}-changelog" for store in ("totals", "minutes")}
    between, truth, folder = f"{name}-by-word-repartition", Truth(), tmp_path / "state"
    # Segments end soon, so that all of a changelog can be cleaned. The other config has no effect
    # on the gateway, and is to be taken all the same.
    words = (name, source, target, str(folder), "topic.segment.ms=100", "topic.flush.ms=60000")
    async with serve(**QUICK) as running:
        topics = Topics(running.bootstrap)
        await asyncio.to_thread(topics.create, source, target, partitions=PARTITIONS)
        whole = (*command(), "Tables", running.bootstrap, *words)

        async def write_and_see(app: Application, count: int) -> None:
            await asyncio.to_thread(topics.write, source, truth.more(count))
            await until(lambda: truth.known(app), within=SOON, every=0.05)

        async with application(whole, tmp_path / "log") as app:
            await app.runs()
            await write_and_see(app, 400)
            await until(
                lambda: asyncio.to_thread(topics.has_committed, name, source, between),
                within=SOON,
                every=0.1,
            )
            await app.kill()
        shutil.rmtree(folder)

        policies = {
            store: (await asyncio.to_thread(topics.configs, topic))["cleanup.policy"]
            for store, topic in changelogs.items()
        }
        assert policies["totals"] == "compact"
        assert set((policies["minutes"] or "").split(",")) == {"compact", "delete"}
        assert (await asyncio.to_thread(topics.configs, between))["retention.ms"] == "-1"
        if running.gateway is not None:
            await compacted(topics, redis_url, namespace, *changelogs.values())

        async with application(whole, tmp_path / "log") as app:
            await app.runs()
            assert await truth.known(app)
            restored = await app.ask("restored")
            if running.gateway is not None:
                assert restored == {"totals": len(truth.totals), "minutes": len(truth.minutes)}
            else:
                assert restored["totals"] >= len(truth.totals)
            await write_and_see(app, 200)

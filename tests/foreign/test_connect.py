"""Kafka Connect in its distributed mode: all that it knows is in three compacted topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from partstream.embedded.ports import free_port
from tests.foreign import web
from tests.foreign.applications import Application, application
from tests.foreign.brokers import Serve
from tests.foreign.builds import connect
from tests.foreign.groups import QUICK, SOON
from tests.foreign.topics import Topics, compacted
from tests.waiting import until

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-tools")]

STORES = ("config", "offset", "status")
_NOT_YET = {web.NOBODY, 404, 409, 500, 503}
"""What a worker answers while it rebalances, or does not know yet what it was just told."""
CLASSES = "org.apache.kafka.connect"


class Worker:
    """One worker, and what it is told by HTTP."""

    def __init__(self, bootstrap: str, name: str, folder: Path) -> None:
        self.topics = [f"{name}-{store}" for store in STORES]
        self._url = f"http://127.0.0.1:{free_port()}"
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "listeners": self._url,
            "key.converter": f"{CLASSES}.storage.StringConverter",
            "value.converter": f"{CLASSES}.storage.StringConverter",
            "offset.flush.interval.ms": 200,
            "plugin.discovery": "service_load",
            "heartbeat.interval.ms": 500,
            "session.timeout.ms": 6_000,
            "consumer.session.timeout.ms": 6_000,
            "rebalance.timeout.ms": 6_000,
            "scheduled.rebalance.max.delay.ms": 0,
        }
        for store, topic in zip(STORES, self.topics, strict=True):
            settings[f"{store}.storage.topic"] = topic
            settings[f"{store}.storage.replication.factor"] = 1
            # Segments end soon, so that all of these topics can be cleaned.
            settings[f"{store}.storage.segment.ms"] = 100
        self._file = folder / "worker.properties"
        self._file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._log = folder / "log"

    def run(self) -> AbstractAsyncContextManager[Application]:
        """A process of it."""
        return application(
            (*connect(), f"{CLASSES}.cli.ConnectDistributed", str(self._file)), self._log
        )

    async def hears(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers once it is up and does not rebalance."""
        return await until(lambda: asyncio.to_thread(self._ask, method, path, body), within=SOON)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        status, told = web.ask(method, self._url + path, body)
        if status in _NOT_YET:
            return None
        assert status < 400, (method, path, status, told)
        return told

    async def connect(self, name: str, kind: str, **config: str) -> None:
        """Make a connector."""
        wanted = {"connector.class": f"FileStream{kind}", "tasks.max": "1", **config}
        await self.hears("PUT", f"/connectors/{name}/config", wanted)

    async def has_noted(self, name: str, key: str, position: int) -> bool:
        """Whether it remembers that a connector is as far as that."""
        told: Mapping[str, Any] = await self.hears("GET", f"/connectors/{name}/offsets")
        return [row["offset"].get(key) for row in told["offsets"]] == [position]

    async def runs(self, *names: str) -> None:
        """Wait until all tasks of connectors do."""

        async def running() -> bool:
            found = [await self.hears("GET", f"/connectors/{name}/status") for name in names]
            return all([row["state"] for row in one["tasks"]] == ["RUNNING"] for one in found)

        await until(running, within=SOON, every=0.1)


def _append(file: Path, lines: Iterable[str]) -> None:
    with file.open("a") as opened:
        opened.writelines(f"{line}\n" for line in lines)


async def test_a_worker_that_was_killed_goes_on_where_it_was(
    serve: Serve, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    source, sink, topic = tmp_path / "in", tmp_path / "out", f"{namespace}-lines"
    lines = [f"line {number}" for number in range(600)]
    sink.touch()
    async with serve(**QUICK) as running:
        topics = Topics(running.bootstrap)
        await asyncio.to_thread(topics.create, topic, partitions=1)
        worker = Worker(running.bootstrap, f"{namespace}-connect", tmp_path)

        async def written(count: int) -> None:
            await until(
                lambda: len(sink.read_text().splitlines()) >= count, within=SOON, every=0.05
            )
            assert sink.read_text().splitlines() == lines[:count]

        async with worker.run() as process:
            await worker.connect("source", "Source", file=str(source), topic=topic)
            await worker.connect("sink", "Sink", file=str(sink), topics=topic)
            await worker.runs("source", "sink")
            _append(source, lines[:200])
            await written(200)
            size = source.stat().st_size
            await until(lambda: worker.has_noted("source", "position", size), within=SOON)
            await until(lambda: worker.has_noted("sink", "kafka_offset", 200), within=SOON)
            await process.kill()

        for name in worker.topics:
            assert (await asyncio.to_thread(topics.configs, name))["cleanup.policy"] == "compact"
        if running.gateway is not None:
            await compacted(topics, redis_url, namespace, *worker.topics)
        _append(source, lines[200:400])
        async with worker.run() as process:
            # It knows of both connectors, and how far they were: nothing is lost or there twice.
            await written(400)
            await worker.runs("source", "sink")
            assert await worker.hears("GET", "/connectors") == ["sink", "source"]
            _append(source, lines[400:])
            await written(600)
            await process.kill()

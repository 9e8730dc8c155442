"""Apicurio Registry: what it knows of schemas is in topics, and in no other place."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from partstream.embedded.ports import free_port
from tests.foreign import web
from tests.foreign.applications import Application, application
from tests.foreign.brokers import Serve
from tests.foreign.builds import REGISTRY_CLASS, registry
from tests.foreign.groups import QUICK, SOON
from tests.foreign.topics import Topics, compacted
from tests.waiting import until

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-tools")]

OK, NOT_FOUND, CONFLICT = 200, 404, 409


class Registry:
    """One registry, and what it is told by HTTP, as a schema registry of Confluent is."""

    def __init__(self, command: tuple[str, ...], bootstrap: str, name: str, log: Path) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        self.journal, self.events = f"{name}-journal", f"{name}-events"
        self.topics = (self.journal, f"{name}-snapshots", self.events)
        topic = "apicurio.kafkasql.topic"
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": port,
            "apicurio.storage.kind": "kafkasql",
            "apicurio.kafkasql.bootstrap.servers": bootstrap,
            "apicurio.events.kafka.config.bootstrap.servers": bootstrap,
            "apicurio.kafkasql.snapshots.topic": self.topics[1],
            "apicurio.events.kafka.topic": self.events,
            # It waits for so long when it has read all.
            "apicurio.kafkasql.consumer.poll.timeout": 100,
            # What is said of the journal holds for the other two as well. Segments end soon, so
            # that all of them can be cleaned.
            topic: self.journal,
            f"{topic}.cleanup.policy": "compact",
            f"{topic}.segment.ms": 100,
        }
        words = (f"-D{key}={value}" for key, value in settings.items())
        self._command = (*command, *words, REGISTRY_CLASS)
        self._log = log

    def run(self) -> AbstractAsyncContextManager[Application]:
        """A process of it."""
        return application(self._command, self._log)

    async def runs(self) -> None:
        """Wait until it has read its topics."""

        async def ready() -> bool:
            status, _ = await asyncio.to_thread(web.ask, "GET", f"{self._url}/health/ready")
            return status == OK

        await until(ready, within=SOON, every=0.1)

    async def tell(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the words of its answer."""
        url = f"{self._url}/apis/ccompat/v7{path}"
        return await asyncio.to_thread(web.ask, method, url, body)

    async def hears(self, method: str, path: str, body: Any = None) -> Any:
        """Its answer."""
        status, told = await self.tell(method, path, body)
        assert status == OK, (method, path, status, told)
        return told

    async def register(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of a schema, which is there from now on."""
        told = await self.hears("POST", f"/subjects/{subject}/versions", schema)
        found: int = told["id"]
        return found

    async def known(self) -> dict[str, Any]:
        """All that it knows."""
        found = {}
        for subject in sorted(await self.hears("GET", "/subjects")):
            path = f"/subjects/{subject}/versions"
            numbers = await self.hears("GET", path)
            versions = [await self.hears("GET", f"{path}/{number}") for number in numbers]
            ids = {one["id"] for one in versions}
            found[subject] = {
                "versions": versions,
                "schemas": {
                    number: await self.hears("GET", f"/schemas/ids/{number}") for number in ids
                },
                "config": await self.tell("GET", f"/config/{subject}"),
            }
        return found


def avro(*fields: str, kind: str = "long") -> dict[str, Any]:
    """A record with these fields; all but the first may be left out."""
    columns = [
        {"name": name, "type": kind, **({"default": 0} if place else {})}
        for place, name in enumerate(fields)
    ]
    return {"schema": json.dumps({"type": "record", "name": "Order", "fields": columns})}


DRAFT = "http://json-schema.org/draft-07/schema#"
LIST = {"schema": json.dumps({"$schema": DRAFT, "type": "array"}), "schemaType": "JSON"}


@pytest.fixture(scope="module")
def command() -> tuple[str, ...]:
    """What runs a registry, downloaded by now."""
    return registry()


async def removed(topics: Topics, name: str) -> int:
    """How many records of a topic are not there any more."""
    ends = await asyncio.to_thread(topics.ends, name)
    return sum(ends.values()) - len(await asyncio.to_thread(topics.records, name))


async def test_a_registry_that_was_killed_knows_what_its_topics_know(
    serve: Serve, redis_url: str, namespace: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    configs = {**QUICK, "listen": f"127.0.0.1:{free_port()}"}
    async with AsyncExitStack() as processes:
        async with serve(**configs) as running:
            own = Registry(command, running.bootstrap, namespace, tmp_path / "log")
            topics = Topics(running.bootstrap)
            first = await processes.enter_async_context(own.run())
            await own.runs()
            ids = [await own.register("orders", avro("id"))]
            ids.append(await own.register("words", LIST))
            await own.hears("PUT", "/config/orders", {"compatibility": "NONE"})
            await own.hears("PUT", "/config/orders", {"compatibility": "BACKWARD"})

            check = "/compatibility/subjects/orders/versions/latest"
            other = avro("id", kind="string")
            assert await own.hears("POST", check, other) == {"is_compatible": False}
            status, _ = await own.tell("POST", "/subjects/orders/versions", other)
            assert status == CONFLICT
            more = avro("id", "total")
            assert await own.hears("POST", check, more) == {"is_compatible": True}

        # The gateway goes, and another one comes: the registry hears nothing of it.
        async with serve(**configs) as running:
            ids.append(await own.register("orders", more))
            assert len(set(ids)) == len(ids)
            await own.register("gone", avro("id", "other"))
            assert await own.hears("DELETE", "/subjects/gone") == [1]
            known = await own.known()
            assert [len(known[name]["versions"]) for name in ("orders", "words")] == [2, 1]
            await first.kill()

            for name in own.topics:
                configs_of = await asyncio.to_thread(topics.configs, name)
                assert configs_of["cleanup.policy"] == "compact"
            if running.gateway is not None:
                await compacted(topics, redis_url, namespace, *own.topics)
                # Only the events have keys that come again: each change in the journal has its own.
                assert await removed(topics, own.events) > 0
                assert await removed(topics, own.journal) == 0

            second = await processes.enter_async_context(own.run())
            await own.runs()
            assert await own.known() == known
            assert [
                await own.register("orders", avro("id")),
                await own.register("words", LIST),
            ] == ids[:2]
            assert await own.register("orders", avro("id", "total", "paid")) not in ids
            status, _ = await own.tell("POST", "/subjects/orders/versions", other)
            assert status == CONFLICT
            await second.kill()

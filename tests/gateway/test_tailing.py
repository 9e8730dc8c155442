"""Consumers at the end of the log, whose gateway has just appended what they wait for: it is handed
to them, and is what they would have read.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from partstream.gateway.server import Gateway
from partstream.store.store import Store
from tests.engine.logs import replace
from tests.gateway.gateways import Client, create, fetch, gateway, produce
from tests.gateway.records import batch, values
from tests.waiting import until


class Asked:
    """The commands that a store sends to read partitions."""

    def __init__(self, store: Store) -> None:
        self.ranges = 0
        self._submit = store.submit
        replace(store, "submit", self._counted)

    def _counted(self, slot: int, *command: Any) -> Any:
        self.ranges += command[0] == "XRANGE"
        return self._submit(slot, *command)


async def _waits(running: Gateway, topic: str) -> None:
    """Until a Fetch hears what lands in a topic's only partition."""
    (partition,) = (await running.broker.topics.get(topic)).partitions
    await until(lambda: partition.keys.bell in running.broker.landings._listeners)


@pytest.mark.parametrize("stamped", ["CreateTime", "LogAppendTime"])
async def test_who_waits_is_handed_what_was_appended(
    redis_url: str, namespace: str, stamped: str
) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as other,
    ):
        await create(client, "t", message_timestamp_type=stamped)
        first = asyncio.create_task(fetch(client, "t", 0, max_wait=20_000))
        await _waits(running, "t")
        await produce(other, "t", batch(b"first"))
        await first
        asked, handed = Asked(running.broker.store), []
        for number in range(1, 11):
            waiting = asyncio.create_task(fetch(client, "t", number, max_wait=20_000))
            await asyncio.sleep(0)
            await produce(other, "t", batch(b"%d" % number))
            handed.append(await waiting)
        # One may have come while nobody waited yet: that is read.
        assert asked.ranges <= 5
        for number, row in enumerate(handed, 1):
            read = await fetch(other, "t", number)
            assert (row.records, row.log_start_offset) == (
                read.records[: len(row.records)],
                read.log_start_offset,
            )
            assert row.high_watermark == number + 1


async def test_what_others_append_is_not_missed(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        gateway(redis_url, namespace) as another,
        await Client.connect(running) as client,
        await Client.connect(running) as here,
        await Client.connect(another) as there,
    ):
        await create(client, "t")
        count = 60

        async def write(writer: Client, name: bytes) -> None:
            for number in range(count):
                await produce(writer, "t", batch(b"%s %d" % (name, number)))

        writing = asyncio.gather(write(here, b"here"), write(there, b"there"))
        seen: list[tuple[int, bytes]] = []
        while len(seen) < 2 * count:
            seen += values(await fetch(client, "t", len(seen), max_wait=20_000))
        await writing
        assert [offset for offset, _ in seen] == list(range(2 * count))
        for name in (b"here", b"there"):
            own = [value for _, value in seen if value.startswith(name + b" ")]
            assert own == [b"%s %d" % (name, number) for number in range(count)]


async def test_who_waits_for_more_gets_all_of_it(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t")
        waiting = asyncio.create_task(fetch(client, "t", 0, max_wait=20_000, min_bytes=5_000))
        await _waits(running, "t")
        asked = Asked(running.broker.store)
        for number in range(5):
            await produce(writer, "t", batch(b"%d" % number + b"x" * 1_000))
        assert len(values(await waiting)) == 5
        assert asked.ranges == 0


async def test_what_was_deleted_is_not_handed_out(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t")
        waiting = asyncio.create_task(fetch(client, "t", 0, max_wait=20_000))
        await _waits(running, "t")
        await produce(writer, "t", batch(b"a"))
        assert len(values(await waiting)) == 1
        await produce(writer, "t", batch(b"b"))
        partitions = [{"partition_index": 0, "offset": 2}]
        topics = [{"name": "t", "partitions": partitions}]
        await writer.ask(21, 2, topics=topics, timeout=5_000)
        for offset in (0, 1):
            assert (await fetch(client, "t", offset)).error_code == 1
        assert (await fetch(client, "t", 2)).error_code == 0


async def test_a_batch_that_the_log_refuses_wakes_nobody_for_good(
    redis_url: str, namespace: str
) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t", max_message_bytes="1000")
        waiting = asyncio.create_task(fetch(client, "t", 0, max_wait=20_000))
        await _waits(running, "t")
        assert (await produce(writer, "t", batch(b"x" * 2_000))).error_code == 10
        await produce(writer, "t", batch(b"good"))
        assert values(await waiting) == [(0, b"good")]
        assert running.broker.landings._under_way == {}

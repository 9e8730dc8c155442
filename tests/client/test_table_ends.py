"""What a table cannot be kept up to date after, and what it can."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

import partstream
from partstream import aio
from partstream.embedded.server import EmbeddedServer
from partstream.errors import PartstreamError, SerializationError, StoreUnavailable
from partstream.model import TopicPartition
from tests.engine.logs import replace
from tests.waiting import until

UNHASHABLE = r"t-0 at offset 1 .*unhashable"


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_key_that_cannot_be_a_key(redis_url: str, namespace: str, blocking: bool) -> None:
    config: dict[str, Any] = {"namespace": namespace, "key_deserializer": json.loads}
    async with aio.Producer(redis_url, namespace=namespace) as producer:
        await (await producer.send("t", b"v", key=b"1"))
        async with aio.Table("t", redis_url, **config) as table:
            await (await producer.send("t", b"v", key=b"[1]"))
            with pytest.raises(SerializationError, match=UNHASHABLE):
                await table.wait_for(0, 1, timeout=30)
            with pytest.raises(SerializationError):
                table[1]
            with pytest.raises(SerializationError):
                await table.catch_up(30)
    made = (
        asyncio.to_thread(partstream.Table, "t", redis_url, **config)
        if blocking
        else (aio.Table("t", redis_url, **config).start())
    )
    with pytest.raises(SerializationError, match=UNHASHABLE):
        await made


class Odd:
    """A key that nobody could foresee."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def __hash__(self) -> int:
        raise ValueError("not mine")


async def test_what_nobody_could_foresee_is_told(redis_url: str, namespace: str) -> None:
    async with aio.Producer(redis_url, namespace=namespace) as producer:
        await (await producer.send("t", b"v", key=b"k"))
    table = aio.Table("t", redis_url, namespace=namespace, key_deserializer=Odd)
    with pytest.raises(PartstreamError, match="not mine"):
        await table.start()


@pytest.mark.faults
async def test_an_outage_is_not_its_end(fresh_server: EmbeddedServer, namespace: str) -> None:
    """Also where the topic's partitions are asked for meanwhile."""
    config: dict[str, Any] = {
        "namespace": namespace,
        "request_timeout_ms": 300,
        "metadata_max_age_ms": 50,
    }
    async with (
        aio.Producer(fresh_server.url, namespace=namespace) as producer,
        aio.Admin(fresh_server.url, namespace=namespace) as admin,
    ):
        await admin.create_topic("t", 1)
        await (await producer.send("t", b"1", key=b"k"))
        async with aio.Table("t", fresh_server.url, **config) as table:
            asked = _count_questions(table)
            fresh_server.pause()
            await until(lambda: asked["in vain"] > 1)
            with pytest.raises(StoreUnavailable):
                await table.catch_up(30)
            fresh_server.resume()
            assert table[b"k"] == b"1"
            sent = await (await producer.send("t", b"2", key=b"k"))
            await table.wait_for(sent.partition, sent.offset, timeout=30)
            assert table[b"k"] == b"2"


def _count_questions(table: aio.Table) -> Counter[str]:
    """How often it asks for its topic's partitions, and gets no answer."""
    asked = Counter[str]()
    ask = table._partitions

    async def counted(**words: bool) -> list[TopicPartition]:
        try:
            return await ask(**words)
        except StoreUnavailable:
            asked["in vain"] += 1
            raise

    replace(table, "_partitions", counted)
    return asked

"""Records of every client: written in each codec, read back as they were, found by time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from partstream import partitioners
from tests.foreign.agent import Agent, Failed
from tests.foreign.brokers import Serve, codec_on_the_log
from tests.foreign.kinds import Kind

pytestmark = pytest.mark.deadline(240)

COUNT = 60


def records() -> list[dict[str, Any]]:
    """Records of every shape, dated a second apart."""
    now = int(time.time() * 1000) - COUNT * 1000
    return [
        {
            "partition": 0,
            "key": None if number % 3 == 0 else f"k{number}",
            "value": None if number == 7 else f"{number} " + "wörter " * 20,
            "headers": [["h", "x"], ["h", "ü"], ["empty", ""]] if number % 2 else [],
            "timestamp": now + number * 1000,
        }
        for number in range(COUNT)
    ]


async def test_each_codec(client: Agent, codec: str, serve: Serve, namespace: str) -> None:
    sent = records()
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        told = await client("produce", codec=codec, records=sent, **where)
        assert [(row["partition"], row["offset"]) for row in told["sent"]] == [
            (0, offset) for offset in range(COUNT)
        ]
        read = (await client("consume", offset="earliest", count=COUNT, **where))["records"]
        assert [row.pop("offset") for row in read] == list(range(COUNT))
        assert read == sent
        assert await codec_on_the_log(running, namespace) in (codec, None)


async def test_positions(client: Agent, kind: Kind, serve: Serve, namespace: str) -> None:
    """From the middle of a batch on; the first and the last offset, and those of a time."""
    sent = records()
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        await client("produce", records=sent, **where)
        read = (await client("consume", offset=37, count=COUNT - 37, **where))["records"]
        assert [row["offset"] for row in read] == list(range(37, COUNT))
        assert read[0]["value"] == sent[37]["value"]
        at = sent[20]["timestamp"]
        told = await client("offsets", time=at - 500, **where)
        assert told == {"earliest": 0, "latest": COUNT, "at": 20}
        assert (await client("offsets", time=at + 3_600_000, **where))["at"] in (None, -1, COUNT)
        if "delete_records" not in kind.lacks:
            await client("delete_records", before=25, **where)
            assert (await client("offsets", time=0, **where)) == {
                "earliest": 25,
                "latest": COUNT,
                "at": 25,
            }


async def test_append_time(client: Agent, serve: Serve, namespace: str) -> None:
    """The broker's clock wins over the producer's where the topic says so."""
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        configs = {"message.timestamp.type": "LogAppendTime"}
        await client("create_topic", partitions=1, configs=configs, **where)
        before = int(time.time() * 1000)
        await client("produce", records=[{"partition": 0, "value": "v", "timestamp": 1}], **where)
        (row,) = (await client("consume", offset="earliest", count=1, **where))["records"]
        assert before - 5_000 <= row["timestamp"] <= time.time() * 1000 + 5_000


async def test_idempotence_and_acks(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={}, **where)
        rows = [{"partition": 0, "value": str(number)} for number in range(COUNT)]
        await client("produce", records=rows, idempotent=True, **where)
        await client("produce", records=rows, acks=1, **where)
        await client("produce", records=rows, acks=0, **where)
        read = (await client("consume", offset="earliest", count=3 * COUNT, **where))["records"]
        assert [row["value"] for row in read] == [row["value"] for row in rows] * 3


async def test_keys_choose_partitions(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    """The same key goes where it goes for every client of its kind."""
    hashed = partitioners.get_partitioner(kind.partitioner)
    keys = [f"key-{number}" for number in range(40)]
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace}
        await client("create_topic", partitions=5, configs={}, **where)
        told = await client("produce", records=[{"key": k, "value": "v"} for k in keys], **where)
        found = [row["partition"] for row in told["sent"]]
    assert found == [hashed(key.encode(), 5) for key in keys]


async def test_too_large(client: Agent, serve: Serve, namespace: str) -> None:
    """What the topic does not take is refused by Kafka's own error, and nothing is written."""
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0}
        await client("create_topic", partitions=1, configs={"max.message.bytes": "1000"}, **where)
        try:
            told = await client(
                "produce", records=[{"partition": 0, "value": "v" * 5_000}], **where
            )
            (row,) = told["sent"]
        except Failed as error:
            row = {"error": error.name}
        assert row["error"] in TOO_LARGE, row
        assert (await client("offsets", time=0, **where))["latest"] == 0


TOO_LARGE = {
    "RecordTooLargeException",
    "MESSAGE_TOO_LARGE",
    "MSG_SIZE_TOO_LARGE",
    "MessageSizeTooLargeError",
}

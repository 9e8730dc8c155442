"""A topic as a mapping: what it holds, what comes, and what goes."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

import partstream
from partstream import aio
from partstream.errors import (
    ClosedClient,
    IllegalState,
    StoreUnavailable,
    UnknownTopicOrPartition,
)
from partstream.model import TopicPartition
from tests.client.consuming import source
from tests.engine.compacting import updates
from tests.engine.logs import replace
from tests.waiting import until

COMPACT = {"cleanup.policy": "compact", "segment.bytes": 1_024, "delete.retention.ms": 0}


async def test_it_holds_the_last_value_of_every_key(redis_url: str, namespace: str) -> None:
    changes: list[tuple[Any, Any, Any]] = []
    options: dict[str, Any] = {"namespace": namespace}
    async with (
        aio.Admin(redis_url, **options) as admin,
        aio.Producer(redis_url, **options) as producer,
    ):
        await admin.create_topic("prices", 2, COMPACT)
        for round_ in range(30):
            for key in (b"a", b"b", b"c", b"d"):
                await producer.send("prices", b"%d" % round_, key=key)
        await producer.send("prices", None, key=b"d")
        await producer.flush()
        table = aio.Table(
            "prices",
            redis_url,
            on_change=lambda *change: changes.append(change),
            value_deserializer=json.loads,
            **options,
        )
        with pytest.raises(IllegalState):
            len(table)
        async with table:
            assert dict(table) == {b"a": 29, b"b": 29, b"c": 29}
            assert changes[-1][1] is None or changes[-1][1] == 29
            changes.clear()
            sent = await (await producer.send("prices", b"77", key=b"a"))
            await table.wait_for(sent.partition, sent.offset, timeout=30)
            assert table[b"a"] == 77
            sent = await (await producer.send("prices", None, key=b"b"))
            await table.wait_for(sent.partition, sent.offset, timeout=30)
            assert b"b" not in table
            assert len(table) == 2
            assert changes == [(b"a", 77, 29), (b"b", None, 29)]
            done = await admin.compact_topic("prices")
            assert set(done) == {0, 1}
            async with aio.Table("prices", redis_url, **options) as other:
                assert dict(other) == {b"a": b"77", b"c": b"29"}
        with pytest.raises(ClosedClient):
            table[b"a"]


async def test_it_follows_new_partitions(redis_url: str, namespace: str) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    async with (
        aio.Admin(redis_url, **options) as admin,
        aio.Producer(redis_url, **options) as producer,
    ):
        await admin.create_topic("t", 1, COMPACT)
        async with aio.Table("t", redis_url, **options) as table:
            await admin.create_partitions("t", 3)
            sent = await (await producer.send("t", b"v", key=b"k", partition=2))
            await until(lambda: table.get(b"k") == b"v")
            await table.wait_for(2, sent.offset, timeout=30)
            with pytest.raises(TimeoutError):
                await table.wait_for(2, sent.offset + 1, timeout=0.05)


async def test_it_catches_up_with_partitions_made_just_now(redis_url: str, namespace: str) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    async with (
        aio.Admin(redis_url, **options) as admin,
        aio.Producer(redis_url, **options) as producer,
    ):
        await admin.create_topic("t", 1, COMPACT)
        for count in range(2, 6):
            async with aio.Table("t", redis_url, **options) as table:
                await admin.create_partitions("t", count)
                await (await producer.send("t", b"v", key=b"%d" % count, partition=count - 1))
                await table.catch_up(30)
                assert table[b"%d" % count] == b"v"


async def test_a_topic_that_is_not_there(redis_url: str, namespace: str) -> None:
    with pytest.raises(UnknownTopicOrPartition):
        async with aio.Table("nope", redis_url, namespace=namespace):
            pass


def test_the_blocking_one(redis_url: str, namespace: str) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    with partstream.Admin(redis_url, **options) as admin:
        admin.create_topic("t", 1, COMPACT)
    with (
        partstream.Producer(redis_url, **options) as producer,
        partstream.Table("t", redis_url, **options) as table,
    ):
        assert not table
        sent = producer.send("t", b"v", key=b"k").result()
        table.wait_for(sent.partition, sent.offset, timeout=30)
        assert (table[b"k"], table.get(b"x"), list(table)) == (b"v", None, [b"k"])
        table.catch_up(30)
    with pytest.raises(ClosedClient):
        table[b"k"]


async def test_a_change_that_fails_harms_no_other(redis_url: str, namespace: str) -> None:
    async with aio.Producer(redis_url, namespace=namespace) as producer:
        for number in range(3):
            await producer.send("t", b"v", key=b"%d" % number)
        await producer.flush()

        def fail(*_: object) -> None:
            raise ValueError("not today")

        async with aio.Table("t", redis_url, namespace=namespace, on_change=fail) as table:
            assert len(table) == 3
            await asyncio.sleep(0)


@pytest.mark.parametrize("trouble", [False, True])
async def test_what_a_failover_takes_back_is_gone(
    redis_url: str, namespace: str, trouble: bool
) -> None:
    """`trouble`: Redis is away again when the ends are asked for, and another failover follows."""
    changes: list[tuple[Any, Any, Any]] = []
    async with source(redis_url, namespace) as logs:
        topic = await logs.topic(cleanup_policy="compact")
        partition = topic.partitions[0]
        for name in (b"a", b"b", b"c"):
            await logs.log.append(partition, updates((name, b"1")))
        keys = partition.keys
        held = {
            key: await logs.store.execute("DUMP", key, key=key)
            for key in (keys.log, keys.state, keys.index)
        }
        await logs.log.append(partition, updates((b"a", b"2"), (b"lost", b"2"), (b"c", None)))
        async with aio.Table(
            "t",
            redis_url,
            namespace=namespace,
            on_change=lambda *change: changes.append(change),
        ) as table:
            assert dict(table) == {b"a": b"2", b"b": b"1", b"lost": b"2"}
            changes.clear()
            if trouble:
                _get_wrong_ends(table)
            for key, dump in held.items():
                await logs.store.execute("RESTORE", key, 0, dump, "REPLACE", key=key)
            await logs.raw("HSET", "state", "token", "f" * 40)
            for number in range(8):  # others stand in their place, and more than there were
                await logs.log.append(partition, updates((b"new", b"%d" % number)))
            await until(lambda: table.get(b"new") == b"7")
            assert dict(table) == {b"a": b"1", b"b": b"1", b"c": b"1", b"new": b"7"}
            assert {(b"a", b"1", b"2"), (b"lost", None, b"2"), (b"c", b"1", None)} <= set(changes)
            assert b"b" not in {key for key, _, _ in changes}


def _get_wrong_ends(table: aio.Table) -> None:
    """None at first, and then those of records that are lost before they are read."""
    right = table._consumer.end_offsets
    asked = itertools.count()

    async def ask(*names: Any) -> dict[TopicPartition, int]:
        number = next(asked)
        if number < 2:
            raise StoreUnavailable
        ends = await right(*names)
        return {name: end + 100 for name, end in ends.items()} if number == 2 else ends

    replace(table._consumer, "end_offsets", ask)

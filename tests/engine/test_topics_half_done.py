"""Topics when somebody dies half way through making, growing or deleting one."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from partstream.engine.pending import ABANDONED_MS
from partstream.engine.retention import sweep
from partstream.errors import (
    RequestTimedOut,
    UnknownTopicOrPartition,
)
from partstream.store.store import Store
from tests.engine.logs import Engine, check, engine, replace
from tests.servers.pool import Server

pytestmark = pytest.mark.every_server


class Died(BaseException):
    """The process that did it is gone: nothing more of it is run."""


def _keys(server: Server, namespace: str) -> set[str]:
    reply = server.command("KEYS", f"{namespace}:*")
    assert isinstance(reply, list)
    return {key.decode() for key in reply if isinstance(key, bytes)}


def _partition_keys(server: Server, namespace: str) -> set[str]:
    return {key for key in _keys(server, namespace) if key.count(":") > 3}


def _dies_at(store: Store, script: str, *, call: int = 1, after: bool = False) -> None:
    """The process dies at the n-th call of a script: before it is sent, or with its answer."""
    run = store.run
    calls = 0

    async def mortal(what: Any, *args: Any, **options: Any) -> Any:
        nonlocal calls
        if what.name == script:
            calls += 1
            if calls == call and after:
                await run(what, *args, **options)
            if calls >= call:
                raise Died
        return await run(what, *args, **options)

    replace(store, "run", mortal)


async def _late(own: Engine) -> int:
    return await own.topics.now_ms() + ABANDONED_MS + 1


@pytest.mark.parametrize(
    ("script", "call"), [("log/create", 1), ("log/create", 3), ("topic/publish", 1)]
)
async def test_who_dies_while_making_a_topic(
    redis_url: str, namespace: str, server: Server, script: str, call: int
) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        _dies_at(dead.store, script, call=call)
        with pytest.raises(Died):
            await dead.topics.create("t", 5)
        with pytest.raises(UnknownTopicOrPartition):
            await own.topics.get("t")
        # It may still be at work: nobody touches it.
        left = _partition_keys(server, namespace)
        assert (await sweep(own.store, own.topics)).topics_finished == 0
        assert _partition_keys(server, namespace) == left
        assert await own.topics.finish_pending(now_ms=await _late(own)) == 1
        assert _partition_keys(server, namespace) == set()
        assert await own.topics.finish_pending(now_ms=await _late(own)) == 0
        await own.topics.create("t", 5)


async def test_who_dies_with_the_answer_has_made_it(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        _dies_at(dead.store, "topic/publish", after=True)
        with pytest.raises(Died):
            await dead.topics.create("t", 2)
        assert await own.topics.finish_pending(now_ms=await _late(own)) == 0
        for partition in (await own.topics.get("t")).partitions:
            await check(own.store, partition)


@pytest.mark.parametrize("undone", [True, False])
async def test_who_was_thought_dead_can_not_publish(
    redis_url: str, namespace: str, server: Server, undone: bool
) -> None:
    """Neither when its partitions are gone, nor when whoever removes them has just begun."""
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as slow:
        run = slow.store.run

        async def hesitant(what: Any, *args: Any, **options: Any) -> Any:
            if what.name == "topic/publish":
                if not undone:
                    _dies_at(own.store, "log/delete")
                with suppress(Died):
                    await own.topics.finish_pending(now_ms=await _late(own))
            return await run(what, *args, **options)

        replace(slow.store, "run", hesitant)
        with pytest.raises(RequestTimedOut, match="t took too long"):
            await slow.topics.create("t", 3)
        assert await own.topics.all() == {}
        if undone:
            assert _partition_keys(server, namespace) == set()


async def test_a_sweep_that_comes_late_leaves_what_was_published(
    redis_url: str, namespace: str
) -> None:
    """Between its look at the notes and its deed the topic may have become known."""
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        execute = other.store.execute
        publishing: asyncio.Event = asyncio.Event()
        looked: asyncio.Event = asyncio.Event()
        run = own.store.run

        async def waits(what: Any, *args: Any, **options: Any) -> Any:
            if what.name == "topic/publish":
                publishing.set()
                await looked.wait()
            return await run(what, *args, **options)

        async def looks(*command: Any, **options: Any) -> Any:
            answer = await execute(*command, **options)
            if command[:2] == ("HGETALL", other.store.keys.meta.pending):
                looked.set()
                await creating
            return answer

        replace(own.store, "run", waits)
        replace(other.store, "execute", looks)
        creating = asyncio.ensure_future(own.topics.create("t", 2))
        await publishing.wait()
        assert await other.topics.finish_pending(now_ms=await _late(own)) == 0
        for partition in (await creating).partitions:
            await check(own.store, partition)


@pytest.mark.parametrize("call", [1, 3])
async def test_who_dies_while_deleting_a_topic(
    redis_url: str, namespace: str, server: Server, call: int
) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        await own.topics.create("t", 5)
        _dies_at(dead.store, "log/delete", call=call)
        with pytest.raises(Died):
            await dead.topics.delete("t")
        with pytest.raises(UnknownTopicOrPartition):
            await own.topics.get("t", fresh=True)
        again = await own.topics.create("t", 2)
        assert (await sweep(own.store, own.topics)).topics_finished == 1
        assert _partition_keys(server, namespace) == {
            key for partition in again.partitions for key in partition.keys.all
        }


@pytest.mark.parametrize(("script", "call"), [("log/create", 2), ("topic/publish", 1)])
async def test_who_dies_while_growing_a_topic(
    redis_url: str, namespace: str, server: Server, script: str, call: int
) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        await own.topics.create("t", 1, {"segment.bytes": 2_048})
        _dies_at(dead.store, script, call=call)
        with pytest.raises(Died):
            await dead.topics.grow("t", 4)
        assert len((await own.topics.get("t", fresh=True)).partitions) == 1
        await own.topics.alter("t", {"segment.bytes": 4_096})
        assert await own.topics.finish_pending(now_ms=await _late(own)) == 0
        grown = await own.topics.grow("t", 3)
        for partition in grown.partitions:
            assert (await check(own.store, partition)).state["segment_bytes"] == "4096"


async def test_what_a_dead_growth_left_goes_with_the_topic(
    redis_url: str, namespace: str, server: Server
) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        await own.topics.create("t", 1)
        _dies_at(dead.store, "topic/publish")
        with pytest.raises(Died):
            await dead.topics.grow("t", 4)
        await own.topics.alter("t", {"segment.bytes": 4_096})
        await own.topics.delete("t")
        assert _partition_keys(server, namespace) == set()


async def test_notes_can_be_read_by_people(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as dead:
        _dies_at(dead.store, "topic/publish")
        with pytest.raises(Died):
            await dead.topics.create("t", 2)
        key = own.store.keys.meta.pending
        (note,) = await own.store.execute("HVALS", key, key=key)
        assert json.loads(note).items() >= {"what": "making", "name": "t", "partitions": 2}.items()

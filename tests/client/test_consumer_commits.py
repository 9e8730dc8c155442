"""Committed offsets: what is committed when, and what never."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import product

import pytest

from partstream.client.admin import Admin
from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.errors import IllegalState, OffsetMetadataTooLarge, PartstreamError
from partstream.model import OffsetAndMetadata, TopicPartition
from tests.client.consuming import Source, fetched_ahead, offsets, source, take, tp, tps
from tests.waiting import until


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    fixed = {"auto_offset_reset": "earliest", "group_id": "g", "enable_auto_commit": False}
    return Consumer(url, namespace=namespace, **{**fixed, **config})


async def committed(url: str, namespace: str, partition: int = 0) -> int | None:
    """What the group has committed, as somebody else sees it."""
    async with consumer(url, namespace) as other:
        position = (await other.committed(tp(partition)))[tp(partition)]
        return None if position is None else position.offset


async def test_commit_is_where_the_next_one_begins(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        await logs.fill(10, 1)
        async with consumer(redis_url, namespace) as reader:
            await reader.assign(tps(2))
            assert await reader.committed() == {tp(0): None, tp(1): None}
            await reader.poll(max_records=4, timeout=5.0)
            await reader.commit()
            position = {name: await reader.position(name) for name in tps(2)}
            assert sum(position.values()) == 4
        async with consumer(redis_url, namespace) as reader:
            await reader.assign(tps(2))
            records = await take(reader, 16)
            for name in tps(2):
                of_it = [record.offset for record in records if record.partition == name.partition]
                assert of_it == list(range(position[name], 10))


async def test_commit_within_an_iteration_includes_the_current_record(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(10)
        await reader.assign(tp())
        async for record in reader:
            await reader.commit()
            assert await reader.committed() == {tp(): OffsetAndMetadata(record.offset + 1, "", 0)}
            if record.offset == 9:
                break


async def test_given_offsets_with_metadata(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=3)
        await reader.assign(tp(0))
        await reader.commit({tp(0): 5, tp(1): OffsetAndMetadata(7, "why: ümlaut|pipe", 3)})
        assert await reader.committed(tps(3)) == {
            tp(0): OffsetAndMetadata(5),
            tp(1): OffsetAndMetadata(7, "why: ümlaut|pipe", 3),
            tp(2): None,
        }
        await reader.commit({})
        with pytest.raises(IllegalState, match="negative"):
            await reader.commit({tp(0): -5})
        with pytest.raises(OffsetMetadataTooLarge, match="4096"):
            await reader.commit({tp(0): OffsetAndMetadata(1, "x" * 5000)})
        assert await reader.committed(tp(0)) == {tp(0): OffsetAndMetadata(5)}


async def test_commit_async_tells_later(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(10)
        await reader.assign(tp())
        heard: list[tuple[dict[TopicPartition, OffsetAndMetadata], PartstreamError | None]] = []
        await take(reader, 10)
        await reader.commit_async(callback=lambda named, error: heard.append((named, error)))
        await reader.commit_async(
            {tp(): OffsetAndMetadata(3, "x" * 5000)},
            callback=lambda named, error: heard.append((named, error)),
        )
        await until(lambda: _has_committed(reader, 10))
        assert heard == []
        await reader.poll(timeout=0.1)
        (first, ok), (second, refused) = heard
        assert (first, ok) == ({tp(): OffsetAndMetadata(10, "", 0)}, None)
        assert second[tp()].offset == 3
        assert isinstance(refused, OffsetMetadataTooLarge)


async def _has_committed(reader: Consumer, offset: int) -> bool:
    position = (await reader.committed(tp()))[tp()]
    return position is not None and position.offset == offset


async def test_commits_without_waiting_are_done_when_it_closes(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic()
        heard: list[object] = []
        async with consumer(redis_url, namespace) as reader:
            await reader.assign(tp())
            for offset in range(1, 20):
                await reader.commit_async({tp(): offset}, lambda _, error: heard.append(error))
        assert heard == [None] * 19
        assert await committed(redis_url, namespace) == 19


@pytest.mark.parametrize("end", ["close", "unsubscribe", "listener"])
async def test_commits_without_waiting_are_done_before_the_group_has_the_partition(
    redis_url: str, namespace: str, end: str
) -> None:
    """The other member would have them refused, and the last one is the one that counts."""
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        async with (
            consumer(redis_url, namespace) as other,
            consumer(redis_url, namespace) as reader,
        ):
            heard: list[object] = []
            ending = False

            async def commit(names: Iterable[TopicPartition]) -> None:
                for name, offset in product(names, range(1, 20)):
                    await reader.commit_async({name: offset}, lambda _, error: heard.append(error))

            class CommitsWhenRevoked(RebalanceListener):
                async def on_partitions_revoked(self, names: frozenset[TopicPartition]) -> None:
                    if ending:
                        await commit(names)

            listener = CommitsWhenRevoked() if end == "listener" else None
            await reader.subscribe(["t"], listener=listener)
            await other.subscribe(["t"])
            async with asyncio.timeout(30):
                while not len(reader.assignment()) == len(other.assignment()) == 1:
                    await asyncio.gather(reader.poll(timeout=0.05), other.poll(timeout=0.05))
            (own,) = reader.assignment()
            ending = True
            if end != "listener":
                await commit([own])
            polling = asyncio.create_task(other.poll(timeout=None))
            await (reader.unsubscribe() if end == "unsubscribe" else reader.close())
            assert await committed(redis_url, namespace, own.partition) == 19
            if end != "unsubscribe":
                assert heard == [None] * 19
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)


async def test_commits_keep_their_order(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        for offset in range(1, 100):
            await reader.commit_async({tp(): offset})
        await reader.commit({tp(): 100})
        assert await committed(redis_url, namespace) == 100


# Auto-commit.


async def _filled(logs: Source) -> None:
    await logs.topic()
    await logs.fill(100, batch=10)


async def test_auto_commit_takes_what_the_user_came_back_from(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        async with consumer(
            redis_url, namespace, enable_auto_commit=True, auto_commit_interval_ms=100
        ) as reader:
            await reader.assign(tp())
            assert len(await reader.poll(max_records=10, timeout=5.0)) == 10
            await asyncio.sleep(0.3)  # however long the user works, these are not done yet
            assert await committed(redis_url, namespace) in {None, 0}
            assert len(await reader.poll(max_records=10, timeout=5.0)) == 10
            await until(lambda: _is_committed(redis_url, namespace, 10))


async def _is_committed(url: str, namespace: str, offset: int) -> bool:
    return await committed(url, namespace) == offset


async def test_auto_commit_goes_on_while_nothing_comes(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        async with consumer(
            redis_url, namespace, enable_auto_commit=True, auto_commit_interval_ms=200
        ) as reader:
            await reader.assign(tp())
            await take(reader, 100)
            poll = asyncio.create_task(reader.poll(timeout=None))
            await until(lambda: _is_committed(redis_url, namespace, 100))
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)


async def test_without_auto_commit_nothing_is_committed(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        async with consumer(redis_url, namespace, auto_commit_interval_ms=1) as reader:
            await reader.assign(tp())
            await take(reader, 100)
        assert await committed(redis_url, namespace) is None


async def test_closing_commits_what_was_handed_out(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        async with consumer(redis_url, namespace, enable_auto_commit=True) as reader:
            await reader.assign(tp())
            await until(lambda: fetched_ahead(reader) > 300)
            assert len(await reader.poll(max_records=13, timeout=5.0)) == 13
        assert await committed(redis_url, namespace) == 13
        async with consumer(redis_url, namespace, enable_auto_commit=True) as reader:
            await reader.assign(tp())
            async for record in reader:
                if record.offset == 20:
                    break
        assert await committed(redis_url, namespace) == 21


async def test_what_failed_in_the_users_hands_is_not_committed(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        with pytest.raises(ZeroDivisionError):
            await _fail_in_a_list(redis_url, namespace)
        assert await committed(redis_url, namespace) == 10
        with pytest.raises(ZeroDivisionError):
            await _fail_in_an_iteration(redis_url, namespace)
        assert await committed(redis_url, namespace) == 15


async def _fail_in_a_list(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        await reader.poll(max_records=10, timeout=5.0)
        records = await reader.poll(max_records=10, timeout=5.0)
        assert offsets(records) == list(range(10, 20))
        raise ZeroDivisionError


async def _fail_in_an_iteration(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        async for record in reader:
            if record.offset == 15:
                raise ZeroDivisionError


async def test_what_failed_after_a_commit_does_not_take_it_back(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        with pytest.raises(ZeroDivisionError):
            await _fail_after_a_commit_of_all(redis_url, namespace)
        assert await committed(redis_url, namespace) == 10
        with pytest.raises(ZeroDivisionError):
            await _fail_after_a_commit_of_some(redis_url, namespace)
        assert await committed(redis_url, namespace) == 14
        with pytest.raises(ZeroDivisionError):
            await _fail_after_a_commit_of_the_current_one(redis_url, namespace)
        assert await committed(redis_url, namespace) == 16
        with pytest.raises(ZeroDivisionError):
            await _fail_at_a_later_one(redis_url, namespace)
        assert await committed(redis_url, namespace) == 18
        with pytest.raises(ZeroDivisionError):
            await _fail_after_a_seek(redis_url, namespace)
        assert await committed(redis_url, namespace) == 3


async def _fail_after_a_commit_of_all(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        assert len(await reader.poll(max_records=10, timeout=5.0)) == 10
        await reader.commit()
        raise ZeroDivisionError


async def _fail_after_a_commit_of_some(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        assert len(await reader.poll(max_records=10, timeout=5.0)) == 10
        await reader.commit_async({tp(): 14})
        raise ZeroDivisionError


async def _fail_after_a_commit_of_the_current_one(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        async for record in reader:
            if record.offset == 15:
                await reader.commit()
                raise ZeroDivisionError


async def _fail_at_a_later_one(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        async for record in reader:
            if record.offset == 16:
                await reader.commit()
            if record.offset == 18:
                raise ZeroDivisionError


async def _fail_after_a_seek(url: str, namespace: str) -> None:
    async with consumer(url, namespace, enable_auto_commit=True) as reader:
        await reader.assign(tp())
        assert await reader.poll(timeout=5.0)
        await reader.commit()
        reader.seek(tp(), 3)
        raise ZeroDivisionError


async def test_a_new_assignment_commits_the_old_one(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        async with consumer(redis_url, namespace, enable_auto_commit=True) as reader:
            await reader.assign(tp(0))
            await take(reader, 10)
            await reader.assign(tp(1))
            assert await committed(redis_url, namespace) == 10
            await reader.unsubscribe()
            assert await committed(redis_url, namespace, 1) == 0


# What became of a commit since it was made is not known: it is made again.


async def _take_back(logs: Source) -> None:
    """Undo the group's commits, as a failover may."""
    key = logs.store.keys.group("g").offsets
    fields = [field for field in await logs.store.execute("HKEYS", key, key=key) if field]
    assert fields
    await logs.store.execute("HDEL", key, *fields, key=key)


async def test_an_auto_commit_that_was_taken_back_is_made_again(
    redis_url: str, namespace: str
) -> None:
    config = {"enable_auto_commit": True, "auto_commit_interval_ms": 100}
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        async with consumer(redis_url, namespace, **config) as reader:
            await reader.subscribe(["t"])
            await take(reader, 100)
            poll = asyncio.create_task(reader.poll(timeout=None))
            await until(lambda: _is_committed(redis_url, namespace, 100))
            await _take_back(logs)
            await until(lambda: _is_committed(redis_url, namespace, 100))
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)


@pytest.mark.parametrize("end", ["close", "unsubscribe", "assign"])
async def test_a_commit_that_was_taken_back_is_made_again_at_the_end(
    redis_url: str, namespace: str, end: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await _filled(logs)
        await logs.topic("other")
        async with consumer(redis_url, namespace, enable_auto_commit=True) as reader:
            if end == "assign":
                await reader.assign(tp())
            else:
                await reader.subscribe(["t"])
            await take(reader, 100)
            await reader.commit()
            await _take_back(logs)
            if end == "assign":
                await reader.assign(tp(0, "other"))
            elif end == "unsubscribe":
                await reader.unsubscribe()
            else:
                await reader.close()
            assert await committed(redis_url, namespace) == 100


async def test_what_is_read_again_is_committed_again(redis_url: str, namespace: str) -> None:
    """An admin resets the offsets of a group while its one consumer is away."""
    async with (
        source(redis_url, namespace) as logs,
        Admin(redis_url, namespace=namespace) as admin,
        consumer(redis_url, namespace, enable_auto_commit=True) as reader,
    ):
        await _filled(logs)
        for _ in range(2):
            await reader.subscribe(["t"])
            assert len(await take(reader, 100)) == 100
            await reader.unsubscribe()
            assert await committed(redis_url, namespace) == 100
            await admin.reset_offsets("g", "earliest")

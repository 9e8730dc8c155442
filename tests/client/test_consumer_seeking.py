"""Where a consumer stands: seeking, pausing, new assignments, bounds and lag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from partstream.client.consumer import Consumer
from partstream.engine import reading
from partstream.engine.reading import Fetched
from partstream.errors import (
    IllegalState,
)
from partstream.model import OffsetAndTimestamp
from tests.client.consuming import (
    fetched_ahead,
    nothing_from,
    offsets,
    source,
    take,
    tp,
    tps,
    values,
)
from tests.waiting import until


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    return Consumer(url, namespace=namespace, **{"auto_offset_reset": "earliest", **config})


async def test_seeking(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(100, batch=30)
        await reader.assign(tp())
        reader.seek(tp(), 45)  # within a batch
        assert await reader.position(tp()) == 45
        assert offsets(await take(reader, 55)) == list(range(45, 100))
        reader.seek_to_beginning(tp())
        assert await reader.position(tp()) == 0
        assert (await reader.poll(max_records=1, timeout=5.0))[0].offset == 0
        reader.seek_to_end()
        assert await reader.position(tp()) == 100
        await nothing_from(reader)
        await logs.put(["new"])
        assert values(await take(reader, 1)) == ["new"]


async def test_seeking_by_time(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        for at in (1000, 2000, 3000):
            await logs.put([str(at)], timestamp=at)
        await reader.assign(tps(2))
        await reader.seek_to_timestamp(1500, tp())
        assert values(await take(reader, 2)) == ["2000", "3000"]
        await reader.seek_to_timestamp(3001)
        assert await reader.position(tp(0)) == 3
        assert await reader.position(tp(1)) == 0
        assert await reader.offsets_for_times({tp(0): 2000, tp(1): 0}) == {
            tp(0): OffsetAndTimestamp(1, 2000, 0),
            tp(1): None,
        }
        for wrong in (-1, "yesterday", None):
            with pytest.raises(IllegalState, match=f"timestamp {wrong!r} of t-0"):
                await reader.offsets_for_times({tp(0): wrong})  # type: ignore[dict-item] # it is wrong


async def test_a_paused_partition_hands_out_nothing_and_keeps_its_place(
    redis_url: str, namespace: str
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_poll_records=5) as reader,
    ):
        await logs.topic(partitions=2)
        await logs.fill(20, 0)
        await logs.fill(20, 1)
        await reader.assign(tps(2))
        first = await take(reader, 10)
        reader.pause(tp(0))
        assert reader.paused() == {tp(0)}
        rest = 20 - sum(record.partition == 1 for record in first)
        if rest:
            assert {record.partition for record in await take(reader, rest)} == {1}
        await logs.put(["more"], 0)
        await nothing_from(reader)
        reader.resume(tp(0))
        assert reader.paused() == frozenset()
        left = 21 - sum(record.partition == 0 for record in first)
        assert offsets(await take(reader, left)) == list(range(21 - left, 21))


async def test_pausing_within_an_iteration(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        await logs.fill(20, 0)
        await logs.fill(20, 1)
        await reader.assign(tps(2))
        first = await anext(reader)
        reader.pause(tp(first.partition))
        other = 1 - first.partition
        seen = [await anext(reader) for _ in range(20)]
        assert {record.partition for record in seen} == {other}
        await nothing_from(reader)
        reader.resume(tp(first.partition))
        assert offsets(await take(reader, 19)) == list(range(1, 20))


async def test_a_paused_partition_is_not_fetched(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.assign(tp())
        reader.pause()
        await logs.fill(100, batch=1)
        await nothing_from(reader)
        assert sum(buffer.buffered for buffer in reader.opened.fetcher.buffers()) < 200


async def test_paused_partitions_do_not_starve_the_others(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, fetch_max_bytes=2_000) as reader,
    ):
        await logs.topic(partitions=2)
        await logs.fill(400, 0)
        await reader.assign(tp(0))
        await until(lambda: fetched_ahead(reader) > 2_000)  # there is no room left
        reader.pause(tp(0))
        await logs.fill(1000, 1)
        await reader.assign(tps(2))
        assert {record.partition for record in await take(reader, 1000)} == {1}
        reader.resume(tp(0))
        assert offsets(await take(reader, 400)) == list(range(400))


async def test_a_paused_partition_that_is_out_of_range_does_not_starve_the_others(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the user has taken what was fetched, and that may be for ever."""
    fetched: list[Fetched] = []

    async def fetch_and_tell(*args: Any) -> Fetched:
        fetched.append(await reading.fetch(*args))
        return fetched[-1]

    monkeypatch.setattr("partstream.client.reader.fetch", fetch_and_tell)
    limits = {"fetch_max_bytes": 1_000, "max_partition_fetch_bytes": 1_000}
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, **limits) as reader,
    ):
        topic = await logs.topic(partitions=2)
        await logs.fill(200, 0)
        await reader.assign(tp(0))
        await until(lambda: fetched)
        await logs.log.delete_records(topic.partition(0), 200)
        assert offsets(await reader.poll(max_records=10, timeout=5.0)) == list(range(10))
        await until(lambda: len(fetched) == 2)
        assert fetched[1].log_start == 200
        reader.pause(tp(0))
        await logs.fill(1000, 1)
        await reader.assign(tps(2))
        assert {record.partition for record in await take(reader, 1000)} == {1}
        reader.resume(tp(0))
        assert offsets(await take(reader, 90)) == list(range(10, 100))
        await logs.put(["new"], 0)
        assert offsets(await take(reader, 1)) == [200]


async def test_a_new_assignment_replaces_the_old_one_but_keeps_what_is_in_both(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=3)
        for partition in range(3):
            await logs.fill(4, partition)
        await reader.assign(tp(0), tp(1))
        await take(reader, 8)
        await reader.assign([tp(1), tp(2)])
        assert reader.assignment() == {tp(1), tp(2)}
        records = await take(reader, 4)
        assert {record.partition for record in records} == {2}
        await nothing_from(reader)
        await reader.assign()
        assert reader.assignment() == frozenset()
        with pytest.raises(IllegalState, match="not subscribed"):
            await reader.poll()


async def test_bounds_and_lag(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        topic = await logs.topic(partitions=2)
        await logs.fill(10, 0)
        await logs.log.delete_records(topic.partition(0), 4)
        await reader.assign(tps(2))
        assert await reader.beginning_offsets() == {tp(0): 4, tp(1): 0}
        assert await reader.end_offsets(tp(0)) == {tp(0): 10}
        assert await reader.lag() == {tp(0): 6, tp(1): 0}
        assert offsets(await reader.poll(max_records=2, timeout=5.0)) == [4, 5]
        assert await reader.lag(tp(0)) == {tp(0): 4}
        # Also of partitions that are not assigned.
        await logs.topic("other")
        assert await reader.end_offsets(tp(0, "other")) == {tp(0, "other"): 0}


async def test_partitions_that_are_not_assigned_are_refused_by_name(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        await reader.assign(tp(0))
        refusals: list[Callable[[], object]] = [
            lambda: reader.seek(tp(1), 0),
            lambda: reader.seek_to_beginning(tp(1)),
            lambda: reader.pause(tp(1)),
            lambda: reader.resume(tp(1)),
        ]
        for refused in refusals:
            with pytest.raises(IllegalState, match=r"t-1 is not assigned"):
                refused()
        for waiting in (
            reader.position(tp(1)),
            reader.lag(tp(1)),
            reader.seek_to_timestamp(0, tp(1)),
        ):
            with pytest.raises(IllegalState, match=r"t-1 is not assigned"):
                await waiting
        with pytest.raises(IllegalState, match="negative"):
            reader.seek(tp(0), -1)
        with pytest.raises(IllegalState, match=r"offset '5' of t-0: expected a whole number"):
            reader.seek(tp(0), "5")  # type: ignore[arg-type]  # it is wrong
        for most in (0, -1):
            with pytest.raises(IllegalState, match=f"max_records={most}: expected at least 1"):
                await reader.poll(max_records=most)

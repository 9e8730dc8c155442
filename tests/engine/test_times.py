"""Offsets by time: the first record at or after a timestamp, without reading more than it must."""

from __future__ import annotations

import pytest

from partstream.engine import times
from partstream.engine.reading import Cursor, Fetched, fetch
from partstream.engine.times import offset_for_time
from partstream.store.store import Store
from tests.engine.logs import NOW, batch, check, engine

pytestmark = pytest.mark.every_server


async def test_offsets_for_times(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024)
        plain: list[tuple[int, int]] = []
        for number in range(40):
            at = (
                NOW + 9 * number + (number * 7919) % 40
            )  # out of order, within batches and across segments
            await own.log.append(partition, batch(30, 30, at=at, step=-3))
            plain += [(2 * number, at), (2 * number + 1, at - 3)]
        await own.log.delete_records(partition, 11)
        seen = await check(own.store, partition)
        ends = [int(row.timestamp) for row in seen.rows[1:]]
        for timestamp in (*range(NOW - 5, NOW + 405, 13), *ends):
            expected = next(
                (pair for pair in plain if pair[0] >= 11 and pair[1] >= timestamp), None
            )
            found = await offset_for_time(own.store, partition, timestamp)
            assert (found and found[:2]) == expected


async def test_offsets_for_times_of_an_empty_log(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        assert await offset_for_time(own.store, partition, 0) is None
        await own.log.append(partition, batch(b"a"))
        await own.log.delete_records(partition, -1)
        assert await offset_for_time(own.store, partition, 0) is None


async def test_offsets_for_times_ask_for_no_giant_answer(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches may be large: as a reader does, it asks for as many as fit in a budget."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=2**31 - 1)
        for number in range(20):
            await own.log.append(partition, batch(10 if number < 8 else 500_000, at=NOW + number))
        answers: list[int] = []

        async def noting(store: Store, cursor: Cursor, max_bytes: int) -> Fetched:
            fetched = await fetch(store, cursor, max_bytes)
            answers.append(sum(len(stored.payload) for stored in fetched.batches))
            return fetched

        monkeypatch.setattr(times, "fetch", noting)
        assert await offset_for_time(own.store, partition, NOW + 19) == (19, NOW + 19, 0)
        assert 4 < len(answers) < 12
        assert max(answers) <= 2**20

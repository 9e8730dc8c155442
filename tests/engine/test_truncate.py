"""However much is deleted from the start of a log, Redis is held for a few segments at a time."""

from __future__ import annotations

from typing import Any

import pytest

from partstream.engine import log
from partstream.engine.partition import Partition
from partstream.errors import OffsetOutOfRange
from tests.engine.compacting import check_compacted, clean_now, last_of, left_of, updates
from tests.engine.logs import Engine, batch, check, engine, read, replace


def _watch(own: Engine, partition: Partition) -> list[int]:
    """How many rows of the index each call of the script takes away, from now on."""
    run, gone = own.store.run, list[int]()
    key = partition.keys.index

    async def watched(script: Any, *args: Any, **options: Any) -> Any:
        before = await own.store.execute("ZCARD", key, key=key)
        answer = await run(script, *args, **options)
        if script.name == "log/truncate":
            gone.append(before - await own.store.execute("ZCARD", key, key=key))
        return answer

    replace(own.store, "run", watched)
    return gone


LIMITS = {
    "by number": ("_MOST_SEGMENTS", 3, 3),
    "by bytes": ("_MOST_BYTES", 2_500, 2),
    "one that is larger": ("_MOST_BYTES", 1, 1),
}
"""Which limit, and how many segments it lets go in a call."""


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("offset", [-1, 60, 51, 50, 1])
async def test_segments_go_a_few_at_a_time(
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    limit: tuple[str, int, int],
    offset: int,
) -> None:
    name, most, at_most = limit
    monkeypatch.setattr(log, name, most)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_100)
        for _ in range(20):
            await own.log.append(partition, batch(300, 300, 300))
        rows = len((await check(own.store, partition)).rows)
        gone = _watch(own, partition)
        wanted = 60 if offset < 0 else offset
        assert await own.log.delete_records(partition, offset) == wanted
        seen = await check(own.store, partition)
        assert sum(gone) == rows - len(seen.rows)
        assert max(gone) <= at_most
        left = [record.offset for record in await read(own.store, partition, wanted)]
        assert left == list(range(wanted, 60))
        await own.log.append(partition, batch(b"after"))
        await check(own.store, partition)


async def test_what_comes_meanwhile_is_not_deleted(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that there are: those that there were when it was asked for."""
    monkeypatch.setattr(log, "_MOST_SEGMENTS", 3)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_100)
        for _ in range(20):
            await own.log.append(partition, batch(900))
        run = own.store.run

        async def overtaken(script: Any, *args: Any, **options: Any) -> Any:
            answer = await run(script, *args, **options)
            if script.name == "log/truncate":
                await own.log.append(partition, batch(900))
            return answer

        replace(own.store, "run", overtaken)
        assert await own.log.delete_records(partition, -1) == 20
        assert (await own.log.bounds(partition)).end > 25
        seen = await check(own.store, partition)
        assert seen.entries[0][0] == 21


async def test_who_counts_asks_for_no_giant_answer(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_CHUNK_ENTRIES", 7)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=8_000)
        for _ in range(200):
            await own.log.append(partition, batch(10))
        execute, entries = own.store.execute, list[int]()

        async def noting(*command: Any, **options: Any) -> Any:
            answer = await execute(*command, **options)
            if command[0] == "XRANGE":
                entries.append(len(answer))
            return answer

        replace(own.store, "execute", noting)
        row = (await check(own.store, partition)).rows[1]
        entries.clear()
        assert await own.log.delete_records(partition, row.end + 50) == row.end + 50
        assert entries == [7] * 7 + [1]
        await check(own.store, partition)


async def test_a_cleaned_log_is_cut_within_either_part(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_MOST_SEGMENTS", 2)
    async with engine(redis_url, namespace) as own:
        for offset in range(0, 121, 7):
            partition = await own.partition(
                f"t{offset}", cleanup_policy="compact,delete", segment_bytes=1_024
            )
            for number in range(40):
                pairs = [(b"k%d" % (number * 3 + i), b"x" * 100) for i in range(3)]
                await own.log.append(partition, updates(*pairs))
                if number == 30:
                    assert await clean_now(own, partition) is not None
            before = await left_of(own, partition)
            assert await own.log.delete_records(partition, offset) == offset
            await check_compacted(own.store, partition)
            assert await left_of(own, partition) == [r for r in before if r.offset >= offset]
            await clean_now(own, partition)
            await check_compacted(own.store, partition)
            assert len(last_of(await left_of(own, partition))) == 120 - offset


async def test_what_was_counted_before_a_cleaning_is_counted_again(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(cleanup_policy="compact,delete", segment_bytes=4_096)
        for number in range(30):
            await own.log.append(partition, updates((b"k%d" % (number % 20), b"x" * 300)))
        execute, cleaned = own.store.execute, list[bool]()

        async def overtaken(*command: Any, **options: Any) -> Any:
            answer = await execute(*command, **options)
            if command[0] == "XRANGE" and not cleaned:
                cleaned.append(True)
                assert await clean_now(own, partition) is not None
            return answer

        replace(own.store, "execute", overtaken)
        assert await own.log.delete_records(partition, 5) == 5
        assert cleaned
        await check_compacted(own.store, partition)


async def test_an_offset_that_is_none_deletes_nothing(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_MOST_SEGMENTS", 1)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024)
        for _ in range(9):
            await own.log.append(partition, batch(900))
        with pytest.raises(
            OffsetOutOfRange, match=r"offset 10 of t-0 is not between 0 and its end 9"
        ):
            await own.log.delete_records(partition, 10)
        assert (await own.log.bounds(partition)).start == 0

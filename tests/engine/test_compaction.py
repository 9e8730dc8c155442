"""Log compaction: of every key the last record stays, where it was, whoever reads."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from partstream.records import header
from partstream.records.codec import encode
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    last_of,
    left_of,
    streams,
    updates,
    write,
)
from tests.engine.logs import NOW, Producer, engine, stored_from

pytestmark = pytest.mark.every_server

SMALL: dict[str, Any] = {
    "cleanup_policy": "compact",
    "segment_bytes": 1_024,
    "delete_retention_ms": 60_000,
}


def _history(batches: int, keys: int, size: int = 100) -> list[list[tuple[bytes, bytes | None]]]:
    return [
        [
            (b"k%d" % ((7 * batch + i) % keys), b"%d:%d " % (batch, i) + b"x" * size)
            for i in range(4)
        ]
        for batch in range(batches)
    ]


async def test_the_last_record_of_every_key_stays(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, _history(40, 9))
        before = await left_of(own, partition)
        size = (await own.log.bounds(partition)).size
        done = await clean_now(own, partition)
        assert done is not None
        after = await left_of(own, partition)
        bounds = await own.log.bounds(partition)
        assert bounds.size < size / 3
        assert (bounds.start, bounds.end) == (0, 160)
        assert done.bytes_before - done.bytes_after == size - bounds.size
        assert last_of(after) == last_of(before)
        assert set(after) <= set(before), "an offset or a time has changed"
        clean = [record for record in after if record.offset < done.boundary]
        assert len({record.key for record in clean}) == len(clean)
        behind = [record for record in before if record.offset >= done.boundary]
        assert after[len(clean) :] == behind, "the segment being written is left alone"
        await check_compacted(own.store, partition)
        assert await clean_now(own, partition) is None


async def test_it_goes_on_from_where_it_was(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        history = _history(90, 17)
        for at in range(0, 90, 15):
            before = last_of(await left_of(own, partition))
            await write(own, partition, history[at : at + 15])
            await clean_now(own, partition)
            await check_compacted(own.store, partition)
            before |= {key: value for batch in history[at : at + 15] for key, value in batch}
            assert last_of(await left_of(own, partition)) == before


@pytest.mark.parametrize("budget", [1, 700, 10**6])
async def test_readers_anywhere_see_what_is_left(
    redis_url: str, namespace: str, budget: int
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, _history(30, 11))
        await clean_now(own, partition)
        whole = await stored_from(own.store, partition, 0)
        for offset in range(0, 121, 3):
            found = await stored_from(own.store, partition, offset, budget=budget)
            assert found == [stored for stored in whole if stored.next_offset > offset]


async def test_tombstones_stay_for_a_while(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**{**SMALL, "delete_retention_ms": 0})
        await write(own, partition, [[(b"a", b"1"), (b"b", b"1")], [(b"a", None)]])
        await write(own, partition, _history(20, 3, 300))
        await clean_now(own, partition)
        first = await left_of(own, partition)
        assert [(r.offset, r.value) for r in first if r.key == b"a"] == [(2, None)]
        seen = await check_compacted(own.store, partition)
        assert seen.number("horizon") > 0
        done = await clean_now(own, partition)
        assert done is not None, "there is nothing new, but a tombstone whose time has come"
        assert [r for r in await left_of(own, partition) if r.key == b"a"] == []
        assert (await check_compacted(own.store, partition)).state["horizon"] == ""
        assert await clean_now(own, partition) is None


async def test_producers_are_known_as_before(redis_url: str, namespace: str) -> None:
    """Of each producer the last batch stays, be it empty, and what it sends again is recognized."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        sent = updates((b"k0", b"old"), by=Producer(7, 1, 5))
        await own.log.append(partition, sent)
        await write(own, partition, _history(20, 3, 300))
        await clean_now(own, partition)
        held = (await streams(own.store, partition)).clean
        assert held[0][0] == 1
        assert held[0][1][43:57] == sent[43:57]
        assert (await own.log.append(partition, sent)).duplicate
        await check_compacted(own.store, partition)


@pytest.mark.parametrize("cleanings", [1, 2])
async def test_markers_of_transactions_stay(redis_url: str, namespace: str, cleanings: int) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, [[(b"k0", b"1")]])
        plain = encode([(NOW, struct.pack(">hh", 0, 1), struct.pack(">hi", 0, 0), ())])
        bits = header.TRANSACTIONAL_BIT | header.CONTROL_BIT
        marker = header.assemble(
            header.parse(plain)._replace(attributes=bits), plain[header.HEADER_SIZE :]
        )
        await own.log.append(partition, marker)
        for _ in range(cleanings):
            await write(own, partition, _history(20, 3, 300))
            assert await clean_now(own, partition) is not None
            held = (await streams(own.store, partition)).clean
            assert held[0] == (2, marker)
            await check_compacted(own.store, partition)


async def test_deletion_leaves_nothing(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, _history(20, 3))
        await clean_now(own, partition)
        await own.topics.delete("t")
        for key in (*partition.keys.all, *partition.keys.clean):
            assert not await own.store.execute("EXISTS", key, key=key)


async def test_records_are_deleted_from_the_cleaned_part(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(**SMALL)
        await write(own, partition, _history(40, 23))
        done = await clean_now(own, partition)
        assert done is not None
        for offset in (5, 50, done.boundary - 1, done.boundary, done.boundary + 2, 160):
            before = await left_of(own, partition)
            assert await own.log.delete_records(partition, offset) == offset
            await check_compacted(own.store, partition)
            assert await left_of(own, partition) == [r for r in before if r.offset >= offset]
        await write(own, partition, _history(30, 23))
        assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)

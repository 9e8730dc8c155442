"""A partition's index is read a page at a time, whatever the number of its segments."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from partstream.engine import index
from partstream.engine.index import Row, rows_behind
from partstream.engine.reading import Cursor, fetch
from partstream.store.store import Store
from tests.engine.logs import Engine, batch, check, engine
from tests.engine.mortal import Watched

END = 10
"""So many offsets a segment of the indexes that are made here."""


class Counting(Watched):
    """Counts what is read of an index."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls = self.rows = 0

    async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        answer = await call(*args, **kwargs)
        self.calls += 1
        self.rows += len(answer)
        return answer


async def _made(own: Engine, name: str, count: int) -> tuple[str, list[Row]]:
    """An index of so many segments, some with the same timestamp, that begins at offset 7."""
    key = (await own.partition(name)).keys.index
    rows = [Row(7 + END * number, 100 * number, number) for number in range(count + 1)]
    await own.store.execute("DEL", key, key=key)
    scored = [
        (number // 3 if number else "-inf", f"{row.end:020d}:{row.size}:{row.largest}")
        for number, row in enumerate(rows)
    ]
    for first in range(0, len(scored), 10_000):
        words = [word for pair in scored[first : first + 10_000] for word in pair]
        await own.store.execute("ZADD", key, *words, key=key)
    return key, rows[1:]


@pytest.mark.every_server
async def test_the_page_of_every_offset(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "PAGE", 4)
    async with engine(redis_url, namespace) as own:
        for count in (0, 1, 2, 3, 4, 5, 8, 9, 30):
            key, rows = await _made(own, f"t{count}", count)
            for offset in range(0, END * (count + 1) + 9, 3):
                page = await rows_behind(own.store, key, offset)
                behind = [row for row in rows if row.end > offset]
                assert page.rows == behind[: len(page.rows)]
                assert len(page.rows) >= min(4, len(behind))
                assert not page.is_last or page.rows == behind


async def test_of_sixty_thousand_segments_few_are_read(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        key, rows = await _made(own, "t", 60_000)
        for offset in (0, 7, 5_000, 299_999, 450_007, 598_000, 600_006, 600_007):
            counting: Any = Counting(own.store)
            page = await rows_behind(counting, key, offset)
            first = max(0, (offset - 7) // END)
            assert page.rows == rows[first : first + len(page.rows)]
            assert counting.rows <= 3 * index.PAGE + 20
            assert counting.calls <= 20
        tail: Any = Counting(own.store)
        assert (await rows_behind(tail, key, 599_990)).is_last
        assert tail.calls == 1, "whoever reads at the end looks for nothing"


async def test_segments_that_go_meanwhile_make_no_gap(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "PAGE", 4)
    async with engine(redis_url, namespace) as own:
        for call in range(1, 12):
            key, rows = await _made(own, f"t{call}", 60)

            class Dropping(Counting):
                def __init__(self, store: Store, *, key: str, at: int) -> None:
                    super().__init__(store)
                    self._key, self._at = key, at

                async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                    if self.calls == self._at:
                        await self._store.execute(
                            "ZREMRANGEBYRANK", self._key, 0, 19, key=self._key
                        )
                    return await super().around(call, *args, **kwargs)

            dropping: Any = Dropping(own.store, key=key, at=call)
            page = await rows_behind(dropping, key, 405)
            assert page.rows == rows[39 : 39 + len(page.rows)]
            assert len(page.rows) >= 4


async def test_a_reader_takes_page_after_page(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And asks for no giant answer where large entries follow small ones."""
    monkeypatch.setattr(index, "PAGE", 4)
    budget = 100_000
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(segment_bytes=1_024)
        for number in range(200):
            await own.log.append(partition, batch(60_000 if 10 < number % 40 < 20 else 300))
        rows = (await check(own.store, partition)).rows
        assert len(rows) > 60
        for begin in (0, 77, 195):
            cursor, ends = Cursor(partition, begin), [begin]
            while cursor.offset < 200:
                fetched = await fetch(own.store, cursor, budget)
                assert sum(len(stored.payload) for stored in fetched.batches) <= budget
                assert len(cursor.stretches) <= 2 * 4
                ends += [stored.next_offset for stored in fetched.batches]
                cursor.offset = ends[-1]
            assert all(above == below + 1 for below, above in pairwise(ends))

"""A partition's index, a page at a time: nobody reads all of it, as it may have any number of rows.

Rows are in the order of their ends, since no score is lower than one before it. Redis finds a row
by its rank at once, but none by its end; so the rank is looked for, in steps that double.
"""

from __future__ import annotations

from typing import NamedTuple

from partstream.store.store import Store

PAGE = 128
"""Rows; no answer has more than twice as many."""


class Row(NamedTuple):
    """A segment."""

    end: int
    size: int
    """Bytes of the log from its creation up to the segment's end."""
    largest: int
    """Bytes of its largest entry."""


class Page(NamedTuple):
    """Rows that follow one another."""

    rows: list[Row]
    is_last: bool
    """Whether there are no more behind them."""


async def rows_behind(store: Store, key: str, offset: int) -> Page:
    """The rows that end behind an offset, in order, as many as make a page.

    The very first row is never among them: it stands below the log's start.

    Args:
        store: where it is.
        key: of the index.
        offset: the offset.
    """
    page = await _rows(store, key, -PAGE, -1)
    # Most readers are near the end.
    if len(page) < PAGE or page[0].end <= offset:
        return _behind(page, offset, is_last=True)
    while True:
        rank = await _rank(store, key, offset)
        page = await _rows(store, key, rank, rank + 2 * PAGE - 1)
        # Rows that went meanwhile have moved the others down: then some are missing in between.
        if rank == 0 or (page and page[0].end <= offset):
            return _behind(page, offset, is_last=len(page) < 2 * PAGE)


def _behind(page: list[Row], offset: int, *, is_last: bool) -> Page:
    """What is asked for of a page; its first row is the one below, or was."""
    return Page([row for row in page[1:] if row.end > offset], is_last)


async def _rank(store: Store, key: str, offset: int) -> int:
    """The rank of a row that ends at or below an offset, less than a page below the last of them; 0
    if there is none."""
    low, high = 0, PAGE
    while await _ends_by(store, key, high, offset):
        low, high = high, 2 * high
    while high - low > PAGE:
        middle = (low + high) // 2
        if await _ends_by(store, key, middle, offset):
            low = middle
        else:
            high = middle
    return low


async def _ends_by(store: Store, key: str, rank: int, offset: int) -> bool:
    rows = await _rows(store, key, rank, rank)
    return bool(rows) and rows[0].end <= offset


async def _rows(store: Store, key: str, first: int, last: int) -> list[Row]:
    rows = await store.execute("ZRANGE", key, first, last, key=key)
    return [Row(*map(int, row.split(b":"))) for row in rows]

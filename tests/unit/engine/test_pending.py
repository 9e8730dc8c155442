"""Many steps at a time: all are done, the first error counts, and none is left when cancelled."""

from __future__ import annotations

import asyncio
import gc

import pytest

from partstream.engine.pending import gather


async def test_all_are_done_and_the_first_error_counts() -> None:
    done: list[int] = []

    async def step(number: int) -> None:
        await asyncio.sleep(0)
        if number in (50, 150):
            raise ValueError(number)
        done.append(number)

    with pytest.raises(ValueError, match="50"):
        await gather(step(number) for number in range(200))
    assert sorted(done) == [number for number in range(200) if number not in (50, 150)]


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    """A step that was made and is never awaited would warn, which fails a test."""

    async def step() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await gather(step() for _ in range(200))
    gc.collect()

"""Who answers first, when several servers are asked."""

from __future__ import annotations

import asyncio
import gc

import pytest

from partstream.errors import StoreUnavailable
from partstream.store.topology import Layout, _first_answer
from tests.waiting import until

ANSWER = Layout(True, ())


async def answers(after: asyncio.Event) -> Layout:
    await after.wait()
    return ANSWER


async def fails(after: asyncio.Event) -> Layout:
    await after.wait()
    raise StoreUnavailable("down")


async def test_an_answer_and_failures_at_the_same_time() -> None:
    """None of the failures may be one that nobody heard of: asyncio complains of those later."""
    unheard: list[object] = []
    before = len(asyncio.all_tasks())
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    try:
        now = asyncio.Event()
        questions = [fails(now), answers(now), *(fails(now) for _ in range(6))]
        asking = asyncio.create_task(_first_answer(questions))
        await until(lambda: len(asyncio.all_tasks()) == before + 1 + len(questions))
        now.set()
        assert await asking is ANSWER
        gc.collect()
        await asyncio.sleep(0)
        assert unheard == []
    finally:
        loop.set_exception_handler(None)


async def test_all_reasons_are_told() -> None:
    now = asyncio.Event()
    now.set()
    with pytest.raises(StoreUnavailable, match="down; down"):
        await _first_answer([fails(now), fails(now)])

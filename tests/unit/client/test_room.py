"""Bytes that are shared: first come, first served, and one batch always passes."""

from __future__ import annotations

import asyncio

from partstream.client.room import Room


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_is_granted_than_there_is() -> None:
    room = Room(100)
    assert await room.reserve(60) == 60
    assert await room.reserve(60) == 40
    third = asyncio.create_task(room.reserve(60))
    await settle()
    assert not third.done()
    room.release(10)
    assert await third == 10
    assert room.used == 100


async def test_waiters_are_served_in_order() -> None:
    room = Room(10)
    await room.reserve(10)
    served: list[int] = []

    async def wait(number: int) -> None:
        await room.reserve(10)
        served.append(number)
        await settle()
        room.release(10)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(wait(number))
        await settle()
        assert served == []
        room.release(10)
    assert served == [0, 1, 2, 3]
    assert room.used == 0


async def test_one_always_passes() -> None:
    room = Room(0)
    assert await room.reserve(50) == 1
    second = asyncio.create_task(room.reserve(50))
    await settle()
    assert not second.done()
    room.release(1)
    assert await second == 1


async def test_who_took_more_than_granted_holds_up_the_others() -> None:
    room = Room(10)
    granted = await room.reserve(10)
    room.adjust(500)
    room.release(granted)
    waiting = asyncio.create_task(room.reserve(10))
    await settle()
    assert not waiting.done()
    room.release(495)
    assert await waiting == 5


async def test_a_waiter_that_gives_up_holds_up_nobody() -> None:
    room = Room(10)
    await room.reserve(10)
    first = asyncio.create_task(room.reserve(10))
    second = asyncio.create_task(room.reserve(10))
    await settle()
    room.release(10)  # the first is called in, and gives up at that very moment
    first.cancel()
    assert await second == 10
    assert room.used == 10

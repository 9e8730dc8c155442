"""Wait for something that cannot be awaited: look again and again, up to a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def until(
    look: Callable[[], Any | Awaitable[Any]], *, within: float = 10.0, every: float = 0.01
) -> Any:
    """Call `look` (async or not) until it gives something true, and return that.

    Fails the test after `within` seconds, with what `look` gave last.
    """
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {seen!r}")
        await asyncio.sleep(every)


def wait_until(look: Callable[[], Any], *, within: float = 10.0, every: float = 0.01) -> Any:
    """The same for tests that are not async."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {seen!r}")
        time.sleep(every)
    return seen

"""An old primary that comes back: for seconds nobody has told it that it is one no more."""

from __future__ import annotations

import asyncio

import pytest

from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.store.store import Store

pytestmark = [pytest.mark.faults, pytest.mark.deadline(120)]


async def test_a_store_that_did_nothing_meanwhile_asks_who_is_the_primary(
    fresh_sentinel: EmbeddedSentinel,
) -> None:
    store = await Store.connect(fresh_sentinel.url)
    try:
        await store.execute("SET", "what", "before", key="what")
        await store.confirm("what")
        old = fresh_sentinel.primary()
        await asyncio.to_thread(old.kill)
        new = await asyncio.to_thread(fresh_sentinel.wait_taken_over, old)
        await asyncio.to_thread(old.restart)
        # It would be taken: until the sentinels have seen it, it is an empty primary.
        assert await store.execute("GET", "what", key="what") == b"before"
        await store.execute("SET", "what", "after", key="what")
        assert new.command("GET", "what") == b"after"
    finally:
        await store.close()

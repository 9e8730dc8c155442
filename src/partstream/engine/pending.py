"""Notes of what is going to be: topics that are being made, grown or deleted.

A topic's row is in one slot and its partitions are everywhere, so no step does it all. A note
stands from before the first step to after the last one, and whoever sweeps finishes what a crash
left half done.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Collection, Iterable
from typing import Any, Literal

from partstream.engine.partition import Partition, make_partition
from partstream.store.scripts import Script
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_DELETE = Script("log/delete")
_ABANDON = Script("topic/abandon")

_AT_ONCE = 64
"""Partitions that are made, changed or deleted at the same time."""
ABANDONED_MS = 300_000
"""A topic that has been in the making for this long is undone by the sweep."""

What = Literal["making", "growing", "deleting"]


class Pending:
    """The notes of a namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.keys.meta.pending

    async def note(self, what: What, name: str, topic_id: str, partitions: int) -> str:
        """Write a note down; returns its text, by which `publish` takes it away."""
        text = await self.text(what, name, partitions)
        await self._store.execute("HSET", self._key, topic_id, text, key=self._key)
        return text

    async def text(self, what: What, name: str, partitions: int) -> str:
        """The text of a note."""
        since = await self.now_ms()
        return json.dumps({"what": what, "name": name, "partitions": partitions, "since": since})

    async def partitions(self, topic_id: str) -> int:
        """How many partitions a topic has or is about to have, by its note; 0 without one."""
        note = await self._store.execute("HGET", self._key, topic_id, key=self._key)
        return int(json.loads(note)["partitions"]) if note else 0

    async def unmake(self, topic_id: str, partitions: Iterable[Partition]) -> None:
        """Delete partitions that nobody can know of (any more), then their topic's note."""
        await gather(self._delete(topic_id, partition) for partition in partitions)
        await self._forget_imports(topic_id)
        await self._store.execute("HDEL", self._key, topic_id, key=self._key)

    async def _delete(self, topic_id: str, partition: Partition) -> None:
        keys = partition.keys
        await self._store.run(_DELETE, keys.all, [topic_id, keys.bell], idempotent=True)
        # Not every partition has these, and a script would have to declare them: while a slot
        # migrates it would wait for keys that nobody has. Once the others are gone, no cleaner can
        # make them again.
        for key in keys.clean:
            await self._store.execute("UNLINK", key, key=key)

    async def _forget_imports(self, topic_id: str) -> None:
        """How far plain streams were imported into it means nothing any more."""
        imports = self._store.keys.meta.imports
        rows = await self._store.execute("HGETALL", imports, key=imports)
        stale = [row for row in rows[::2] if row.startswith(f"{topic_id}:".encode())]
        if stale:
            await self._store.execute("HDEL", imports, *stale, key=imports)

    async def finish(self, live: Collection[str], *, now_ms: int) -> int:
        """Finish deletions, and undo creations that a crash has left; says how many.

        Partitions by which a topic in `live` was to grow stay, for who grows it next.
        """
        rows = await self._store.execute("HGETALL", self._key, key=self._key)
        finished = 0
        for raw_id, row in zip(rows[::2], rows[1::2], strict=True):
            topic_id, note = raw_id.decode(), json.loads(row)
            if note["what"] != "deleting":
                if topic_id in live or now_ms - note["since"] < ABANDONED_MS:
                    continue
                doom = json.dumps({**note, "what": "deleting"})
                if not await self._store.run(_ABANDON, [self._key], [topic_id, row, doom]):
                    continue
            _logger.info("finishing the deletion of topic %s (%s)", note["name"], topic_id)
            await self.unmake(
                topic_id,
                [
                    make_partition(self._store.keys, note["name"], topic_id, index)
                    for index in range(note["partitions"])
                ],
            )
            finished += 1
        return finished

    async def now_ms(self) -> int:
        """The server's clock."""
        seconds, micros = await self._store.execute("TIME", key=self._key)
        return int(seconds) * 1000 + int(micros) // 1000


async def gather(work: Iterable[Awaitable[Any]]) -> None:
    """Do a lot of things, not too many at the same time; the first error counts.

    Each is made when its turn comes: whoever is cancelled leaves none that nobody awaits.
    """
    steps = iter(work)
    errors: list[Exception] = []

    async def some() -> None:
        for step in steps:
            try:
                await step
            except Exception as error:  # noqa: BLE001 (it is raised when the others are done)
                errors.append(error)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    if errors:
        raise errors[0]

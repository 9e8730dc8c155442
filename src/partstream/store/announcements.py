"""Says in the log where slots have gone: one line for all that went from one node to another.

A failover is told from a reshard by the replication ID: a replica that took over goes on in the
history of the one before it, and names it. Leader epochs follow from that ID.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from partstream.errors import PartstreamError
from partstream.metrics.hooks import Observer
from partstream.store.node import Node
from partstream.store.slots import ranges_text

_logger = logging.getLogger(__name__)
_PAUSE_S = 1.0
"""While slots are moved one by one, there is a line a second, and not one a slot."""


class Announcements:
    """What was said of the map of slots, and what is to be said yet."""

    def __init__(self, look: Callable[[], Sequence[Node | None]], observer: Observer) -> None:
        """`look` gives the map as it is known now."""
        self._look = look
        self._observer = observer
        self._said: Sequence[Node | None] = ()
        self._task: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """The map has changed. The first one is no news."""
        if not self._said:
            self._said = tuple(self._look())
        elif self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="announcements of slots")

    async def close(self) -> None:
        """Say no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while (now := tuple(self._look())) != self._said:
            before, self._said = self._said, now
            moved: dict[tuple[Node | None, Node | None], list[int]] = {}
            for slot, pair in enumerate(zip(before, now, strict=True)):
                if pair[0] is not pair[1]:
                    moved.setdefault(pair, []).append(slot)
            self._observer.slots_moved(sum(map(len, moved.values())))
            for (old, new), slots in moved.items():
                _logger.info("%s", await _line(old, new, slots))
            await asyncio.sleep(_PAUSE_S)


async def _line(old: Node | None, new: Node | None, slots: Sequence[int]) -> str:
    where = f"slots {ranges_text(slots)}"
    if new is None:
        return f"{where}: no node holds them any more, last was {old and old.address}"
    if old is None:
        return f"{where} are on {new.address} now"
    history = await _history(new)
    if history.get("master_replid2", "?") == old.history:
        return (
            f"{where}: {new.address} took over from {old.address}; leader epochs begin anew there "
            f"(replication ID {new.history_shown}, was {old.history_shown})"
        )
    return f"{where} have moved from {old.address} to {new.address}" + (
        f" (replication ID {new.history_shown})" if new.history else ""
    )


async def _history(node: Node) -> dict[str, str]:
    try:
        return await node.ask_history()
    except (PartstreamError, RedisError):
        return {}

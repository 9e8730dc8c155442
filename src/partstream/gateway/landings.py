"""What this gateway appends itself: Fetches that wait for it are handed it, and need not ask Redis.

A partition's producers and consumers come to the same gateway, the one that Metadata names as its
leader. So nearly all that a consumer waits for has just been in this process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from partstream.engine.log import appended
from partstream.engine.partition import Partition
from partstream.engine.reading import StoredBatch, batch_at


class Landed(NamedTuple):
    """A batch that is in the log now, and where the log began then."""

    batch: StoredBatch
    log_start: int


Listener: TypeAlias = Callable[[Landed | None], None]
"""Told of each batch; None: look, it is not known what became of one."""


class Landings:
    """The batches that are on their way to Redis, and who waits for them."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        """By a partition's bell, which is its name, too."""
        self._listeners: dict[str, list[Listener]] = {}

    def expects(self, bell: str) -> bool:
        """Whether a batch of the partition is on its way: what comes of it is told."""
        return bell in self._under_way

    def follow(
        self, partition: Partition, payload: bytes, answer: asyncio.Future[list[Any]]
    ) -> None:
        """Tell the listeners of a batch that was sent, when the log has answered."""
        bell = partition.keys.bell
        self._under_way[bell] += 1
        answer.add_done_callback(partial(self._land, bell, payload))

    def listen(self, bell: str, listener: Listener) -> Callable[[], None]:
        """Tell of all that lands in a partition; returns what ends it."""
        listeners = self._listeners.setdefault(bell, [])
        listeners.append(listener)

        def leave() -> None:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[bell]

        return leave

    def _land(self, bell: str, payload: bytes, answer: asyncio.Future[list[Any]]) -> None:
        self._under_way[bell] -= 1
        if not self._under_way[bell]:
            del self._under_way[bell]
        # It is looked at even if nobody listens: a connection that ends forgets its answers.
        failed = answer.cancelled() or answer.exception() is not None
        if listeners := self._listeners.get(bell):
            landed = None if failed else _landed(payload, answer.result())
            for listener in tuple(listeners):
                listener(landed)


def _landed(payload: bytes, answer: list[Any]) -> Landed | None:
    result = appended(answer)
    if result.duplicate:
        return None
    stamped = result.append_time if result.append_time >= 0 else None
    batch = batch_at(result.base_offset, result.leader_epoch, stamped, payload)
    return Landed(batch, result.log_start)

"""What a client that reads on will ask for next, read while it works on what it has.

A client that has a backlog to read asks for one budget of bytes after the other, and would wait for
Redis each time. What it does not ask for soon is thrown away: it is to be no older than what a
client may have on its way to it anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from partstream.gateway.unsent import Share

_KEPT_S = 1.0

T = TypeVar("T")


class Ahead(Generic[T]):
    """One partition's next bytes, which are being read or are there."""

    def __init__(
        self, offset: int, reading: Coroutine[Any, Any, T], share: Share, room: int
    ) -> None:
        """Begin to read.

        Args:
            offset: where it begins.
            reading: reads it.
            share: where `room` bytes have been taken for it.
            room: is given back when it is taken or thrown away.
        """
        self._offset = offset
        self._share = share
        self._room = room
        self._task: asyncio.Task[T] | None = asyncio.create_task(reading, name="reading ahead")
        self._expiry = asyncio.get_running_loop().call_later(_KEPT_S, self.drop)

    async def take(self, offset: int) -> T | None:
        """What there is from an offset on; None if it is not that which was read, or is no more."""
        task = self._task
        if task is None or offset != self._offset:
            self.drop()
            return None
        self._expiry.cancel()
        try:
            return await task
        finally:
            self._give()

    def drop(self) -> None:
        """Throw it away."""
        self._expiry.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._give()

    def _give(self) -> None:
        room, self._room = self._room, 0
        self._share.give_ahead(room)

"""How much may be fetched ahead: bytes that the readers of all partitions share."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """A number of bytes, given out first come, first served.

    Who is served may take more than was granted, since one batch always passes; then the others
    wait until all of it is given back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0
        """Bytes granted or held."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def reserve(self, wanted: int) -> int:
        """Wait for room, and take at most `wanted` bytes of it."""
        while self._waiting or not self._is_open:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                self._serve()
                raise
            if self._is_open:
                break
        granted = max(1, min(wanted, self._most - self.used))
        self.used += granted
        self._serve()
        return granted

    def adjust(self, size: int) -> None:
        """Take (or with a negative size give back) bytes without waiting."""
        self.used += size
        self._serve()

    def release(self, size: int) -> None:
        """Give bytes back."""
        self.adjust(-size)

    @property
    def _is_open(self) -> bool:
        return self.used < self._most or self.used == 0

    def _serve(self) -> None:
        """Let the next one in; it lets in the one after it, if there is room left."""
        while self._waiting and self._is_open:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

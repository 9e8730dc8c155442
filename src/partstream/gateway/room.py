"""How many bytes of requests all connections together may hold: Kafka's queued.max.request.bytes.

Every byte that has come counts, until the request that it belongs to is answered. Above the limit
connections are not read until others are done. If none has anything left to be done, for all that
is held are beginnings of requests, waiting would never end: whoever sends more is disconnected.
"""

from __future__ import annotations

from typing import Protocol


class Pausable(Protocol):
    """What a room asks of a connection."""

    def resume(self) -> None:
        """Read on."""


class NoRoom(Exception):
    """There is no room, and nobody who would make some."""


class Room:
    """The bytes of requests that are held, and who waits for less."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._requests = 0
        self._paused: set[Pausable] = set()

    @property
    def held(self) -> int:
        """Bytes of requests that are being served, wait for it, or are not whole yet."""
        return self._held

    def take(self, count: int, requests: int, connection: Pausable) -> bool:
        """Count bytes in, and the requests that they made whole.

        False if the connection is to pause until it is told to resume.

        Raises:
            NoRoom: nobody would ever tell it.
        """
        self._held += count
        self._requests += requests
        if self._held <= self._max_bytes:
            return True
        if not self._requests:
            raise NoRoom(f"{self._held} bytes of unfinished requests are held")
        self._paused.add(connection)
        return False

    def give(self, count: int, requests: int) -> None:
        """Count bytes and requests out."""
        self._held -= count
        self._requests -= requests
        if self._paused and (self._held <= self._max_bytes // 2 or not self._requests):
            paused, self._paused = self._paused, set()
            for connection in paused:
                connection.resume()

    def leave(self, connection: Pausable) -> None:
        """The connection is gone."""
        self._paused.discard(connection)

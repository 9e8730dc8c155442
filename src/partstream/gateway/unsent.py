"""How many bytes of answers all connections together may hold that their clients have not taken.

A Fetch asks for room before it reads: it may read as much as it is given, waits while there is
none, and gives back what it did not find. Whoever waits in vain reads one batch at a time, so that
clients that take nothing cannot stop the others. Other answers are counted, and wait for nobody.
"""

from __future__ import annotations

import asyncio

_LEAST = 1 << 20
"""Bytes of room with which a Fetch begins; less is not worth its while, unless it wants less."""
_PART = 4
"""The part of what is left that one Fetch gets at most: there is to be some for the next."""


class Unsent:
    """The bytes of answers that are held, and who waits for less."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._waiting: dict[Share, None] = {}
        """In the order in which they came."""

    @property
    def held(self) -> int:
        """Bytes that are held, or may be read just now."""
        return self._held

    @property
    def is_short(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    def change(self, count: int) -> None:
        """Count bytes in, or out."""
        self._held += count
        while self._waiting and count < 0:
            first = next(iter(self._waiting))
            if not (granted := self._granted(first.wanted)):
                return
            self._held += granted
            first.grant(granted)

    def take(self, wanted: int) -> int:
        """Count as many bytes in as there is room for; 0: there is none."""
        granted = 0 if self._waiting else self._granted(wanted)
        self._held += granted
        return granted

    def wait(self, share: Share) -> None:
        """Grant a connection room as soon as there is some, after all who came before."""
        self._waiting[share] = None

    def leave(self, share: Share) -> None:
        """The connection waits no more."""
        self._waiting.pop(share, None)

    def _granted(self, wanted: int) -> int:
        free = self._max_bytes - self._held
        return min(wanted, max(free // _PART, _LEAST)) if free >= min(wanted, _LEAST) else 0


class Share:
    """What one connection holds of it."""

    def __init__(self, unsent: Unsent) -> None:
        self.wanted = 0
        """Bytes that a Fetch waits for."""
        self._unsent = unsent
        self._reading = 0
        """Bytes that the request being served may read, or has read."""
        self._answers = 0
        """Bytes of answers that there are."""
        self._ahead = 0
        """Bytes that are read before anybody asks for them."""
        self._granting: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def held(self) -> int:
        """Bytes of answers that the client has not taken."""
        return self._answers

    def take(self, wanted: int) -> int:
        """How many more bytes may be read at once; 0: none."""
        granted = self._unsent.take(wanted)
        self._reading += granted
        return granted

    async def take_or_wait(self, wanted: int, patience_s: float) -> int:
        """As `take`, but wait for so long if there is no room."""
        granted = self.take(wanted)
        if granted or not wanted or patience_s <= 0:
            return granted
        self.wanted = wanted
        self._granting = asyncio.get_running_loop().create_future()
        self._unsent.wait(self)
        await asyncio.wait((self._granting,), timeout=patience_s)
        self.hurry()
        return self._reading

    def grant(self, count: int) -> None:
        """There is room for so much."""
        self._reading += count
        self.hurry()

    def hurry(self) -> None:
        """Wait no longer."""
        self._unsent.leave(self)
        if self._granting is not None and not self._granting.done():
            self._granting.set_result(None)

    def found(self, count: int) -> None:
        """So many bytes were read, for the answer to come."""
        if not self._closed:
            reading, self._reading = self._reading, count
            self._unsent.change(count - reading)

    def take_ahead(self, count: int) -> bool:
        """Count bytes in that are read before anybody asks for them, if there is room for all."""
        granted = 0 if self._closed else self._unsent.take(count)
        if granted < count:
            self._unsent.change(-granted)
            return False
        self._ahead += count
        return True

    def give_ahead(self, count: int) -> None:
        """Count them out."""
        if not self._closed:
            self._ahead -= count
            self._unsent.change(-count)

    def answered(self, count: int) -> None:
        """There is an answer of so many bytes, those that were read among them."""
        if self._closed:
            return
        self._answers += count
        reading, self._reading = self._reading, 0
        self._unsent.change(count - reading)

    def sent(self, count: int) -> None:
        """So many bytes of answers are out of hand."""
        if not self._closed:
            self._answers -= count
            self._unsent.change(-count)

    def close(self) -> None:
        """The connection is gone."""
        self._unsent.leave(self)
        held = self._answers + self._reading + self._ahead
        self._answers = self._reading = self._ahead = 0
        self._closed = True
        self._unsent.change(-held)

"""Connections that an event loop leaves open when it is closed, whoever made the loop.

The collector of garbage would find them too, but later: it blames whatever test runs by then.
"""

from __future__ import annotations

from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

_left_open: list[str] = []
_close = BaseSelectorEventLoop.close


def watch_loops() -> None:
    """Look at every loop of this process from now on, in the moment in which it is closed."""
    BaseSelectorEventLoop.close = _look_and_close  # type: ignore[method-assign]


def connections_left() -> list[str]:
    """What was left open since this was last asked."""
    found = _left_open.copy()
    _left_open.clear()
    return found


def _look_and_close(self: Any) -> None:
    for transport in tuple(self._transports.values()):  # nothing else knows them all
        if not transport.is_closing():
            ends = (transport.get_extra_info(name) for name in ("sockname", "peername"))
            _left_open.append(" to ".join(map(str, ends)))
    _close(self)

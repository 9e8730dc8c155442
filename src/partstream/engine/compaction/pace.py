"""Leaves room for others while a log is cleaned, and tells how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from partstream.engine.compaction.plan import Plan
from partstream.model import CompactionProgress

_BREATH_S = 0.0005
"""For so long others on the event loop have to wait at most, but for one batch."""
_TURNS = 10
"""So many turns of the loop others get between two of ours, as long as they have something to do.
What a producer does with one record takes several."""
_IDLE_TURN_S = 0.00004
"""Nobody did anything in a turn that took no longer."""
_RENEW_S = 5.0


Watcher = Callable[[CompactionProgress], None]


class Pace:
    """The pauses of one cleaning."""

    def __init__(self, plan: Plan, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self._whole = {
            "reading": plan.dirty_bytes,
            "writing": plan.clean_bytes + plan.dirty_bytes,
            "trimming": plan.dirty_bytes,
        }
        self._name = ""
        self._done = 0
        self._breath = self._renewed = time.monotonic()

    async def step(self, name: str, size: int) -> bool:
        """So many bytes are done; true if it is time to say that the cleaner is still there."""
        now = time.monotonic()
        if name != self._name:
            self._name, self._done = name, 0
        self._done += size
        if now - self._breath >= _BREATH_S:
            if self._watcher is not None:
                self._watcher(CompactionProgress(name, self._done, self._whole[name]))
            self._breath = await _let_others()
        if now - self._renewed >= _RENEW_S:
            self._renewed = now
            return True
        return False


async def _let_others() -> float:
    """Wait until the others on the event loop have nothing to do; what time it is then."""
    now = time.monotonic()
    for _ in range(_TURNS):
        before = now
        await asyncio.sleep(0)
        now = time.monotonic()
        if now - before <= _IDLE_TURN_S:
            break
    return now

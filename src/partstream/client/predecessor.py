"""Whether the member that has a static instance still lives, by what its successor is told of it.

No I/O, no clock.
"""

from __future__ import annotations

import re

_ENDS_AT = re.compile(r"session ends at (\d+)(?: in history (\w*))?")
_MOVES = 3
"""After so many heartbeats it lives: a clock that was set moves a session on, too, but not so
often."""


class Predecessor:
    """The last member of an instance, which was not heard to leave.

    A dead one is waited for as long as it takes: it goes when its session ends, whose length only
    it knows. For a living one, two members claim one instance, and the new one is refused.
    """

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long to wait at the least, even for one that lives."""
        self._patience_s = patience_s
        self._since: float | None = None
        self._ends_at: int | None = None
        self._history: str | None = None
        self._moves = 0

    def is_waited_for(self, refusal: str, now: float) -> bool:
        """Whether to ask again after a refusal, which was heard at `now`, seconds."""
        if self._since is None:
            self._since = now
        found = _ENDS_AT.search(refusal)
        if found is None:
            self._moves = _MOVES  # an older script does not say
        else:
            ends_at, history = int(found[1]), found[2]
            # After a restart or a failover everybody gets a whole session: that is no heartbeat.
            if self._ends_at is not None and history == self._history and ends_at > self._ends_at:
                self._moves += 1
            self._ends_at, self._history = ends_at, history
        return now < self._since + self._patience_s or self._moves < _MOVES

    @property
    def is_new(self) -> bool:
        """Whether nothing was heard of it yet."""
        return self._since is None

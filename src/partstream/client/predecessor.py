"""Whether the member that has a static instance still lives, by what its successor is told of it.

No I/O, no clock.
"""

from __future__ import annotations

import re

_ENDS_AT = re.compile(r"session ends at (\d+)")
_MOVES = 4
"""After so many heartbeats it lives. A restart or failover of the server moves the end of a dead
member's session on, too, but not as often as that."""


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
        self._moves = 0

    def is_waited_for(self, refusal: str, now: float) -> bool:
        """Whether to ask again after a refusal, which was heard at `now`, seconds."""
        if self._since is None:
            self._since = now
        found = _ENDS_AT.search(refusal)
        if found is None:
            self._moves = _MOVES  # an older script does not say
        elif self._ends_at != (ends_at := int(found[1])):
            self._moves += self._ends_at is not None
            self._ends_at = ends_at
        return now < self._since + self._patience_s or self._moves < _MOVES

    @property
    def is_new(self) -> bool:
        """Whether nothing was heard of it yet."""
        return self._since is None

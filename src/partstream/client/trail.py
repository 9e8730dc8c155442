"""What a reader has read, by leader epoch, and where the log is no longer that (KIP-320). No I/O.

One epoch is not enough to remember. A failover may take back the newest one as a whole, and a
second one then reaches into the epoch before it; what was read of that is still known here.
"""

from __future__ import annotations

from typing import NamedTuple

from partstream.client.positions import Position
from partstream.engine.log import History, epoch_end
from partstream.engine.reading import StoredBatch

_EPOCHS = 32
"""How many are remembered; of older ones it is taken for granted that they last."""


class Divergence(NamedTuple):
    """Where the log parted from what was read."""

    offset: int
    """From here on it is another one."""
    is_certain: bool
    """Whether it parted just there. If the log knows none of the epochs that were read, it parted
    there or before."""


class Trail:
    """The epochs of what was read, each with the first offset that was read in it."""

    def __init__(self, position: Position) -> None:
        """Begin at a position: it was reached in its epoch, nobody here knows since when."""
        self._read: list[tuple[int, int]] = []
        if position.leader_epoch >= 0:
            self._read.append((position.leader_epoch, position.offset))

    @property
    def epoch(self) -> int:
        """The newest; -1 if there is none."""
        return self._read[-1][0] if self._read else -1

    def follow(self, batches: list[StoredBatch], offset: int) -> None:
        """Note what was read from an offset on."""
        for batch in batches:
            if batch.leader_epoch != self.epoch:
                self._read.append((batch.leader_epoch, max(batch.base_offset, offset)))
        del self._read[:-_EPOCHS]

    def divergence(self, offset: int, history: History) -> Divergence | None:
        """Where the log parted from what was read below an offset; None if it is all there."""
        if not self._read:
            return None
        parted = offset
        for epoch, read_from in reversed(self._read):
            found = epoch_end(history.epochs, history.end, epoch)
            if found.leader_epoch == epoch:
                parted = min(parted, found.end_offset)
                return Divergence(parted, True) if parted < offset else None
            # The log has never heard of the epoch: whatever was read in it is gone.
            parted = min(parted, read_from)
            if found.leader_epoch >= 0:
                parted = min(parted, found.end_offset)
        # Nor of any other. What it has now begins with its newest epoch, or before.
        return Divergence(min(parted, history.newest_start), False)

"""When a log is no longer the one that was read, and from where on."""

from __future__ import annotations

import pytest

from partstream.client.positions import Position
from partstream.client.trail import Divergence, Trail
from partstream.engine.log import History
from partstream.engine.reading import StoredBatch

LOG = [(0, 0), (5, 20), (9, 40)]


def walked(*read: tuple[int, int, int], start: Position | None = None) -> Trail:
    """Who has read these: epoch, first offset, offset after the last."""
    trail = Trail(start or Position(0))
    for epoch, first, after in read:
        trail.follow([StoredBatch(first, after, epoch, None, b"")], first)
    return trail


@pytest.mark.parametrize(
    ("trail", "offset", "history", "expected"),
    [
        # It is all there; the epoch goes on, or ended where the reader stands or later.
        (walked((0, 0, 20), (5, 20, 40)), 40, History(LOG, 90), None),
        (walked((0, 0, 20), (5, 20, 30)), 30, History(LOG, 90), None),
        (walked((9, 40, 90)), 90, History(LOG, 90), None),
        # The epoch ended before: the rest of what was read is gone.
        (walked((5, 20, 50)), 50, History(LOG, 90), Divergence(40, True)),
        (walked((9, 40, 95)), 95, History(LOG, 90), Divergence(90, True)),
        # It never was: all that was read in it is gone, even where the log has grown past that.
        (walked((5, 20, 35), (7, 35, 50)), 50, History(LOG, 90), Divergence(35, True)),
        (walked((9, 40, 45), (12, 45, 50)), 50, History(LOG, 90), Divergence(45, True)),
        # And the one before was shortened, too.
        (walked((5, 20, 45), (7, 45, 50)), 50, History(LOG, 90), Divergence(40, True)),
        (walked((0, 0, 45), (12, 45, 50)), 50, History(LOG, 90), Divergence(20, True)),
        # Two never were.
        (walked((0, 0, 15), (3, 15, 30), (12, 30, 50)), 50, History(LOG, 90), Divergence(15, True)),
        # Nothing is known of what was read: at the start of the newest epoch, or before.
        (walked((12, 30, 50)), 50, History(LOG, 90), Divergence(30, False)),
        (walked((12, 45, 50)), 50, History(LOG, 90), Divergence(40, False)),
        (walked(start=Position(50, 12)), 50, History(LOG, 90), Divergence(40, False)),
        (walked(start=Position(30, 12)), 30, History(LOG, 90), Divergence(30, False)),
        # A position says no more than that it was reached.
        (walked(start=Position(50, 9)), 50, History(LOG, 90), None),
        (walked(start=Position(50, 5)), 50, History(LOG, 90), Divergence(40, True)),
        (walked(start=Position(50)), 50, History(LOG, 90), None),
    ],
)
def test_a_log_parts_from_what_was_read(
    trail: Trail, offset: int, history: History, expected: Divergence | None
) -> None:
    assert trail.divergence(offset, history) == expected


def test_a_batch_that_is_read_from_its_middle_counts_from_there() -> None:
    trail = walked((5, 20, 30))
    trail.follow([StoredBatch(25, 40, 7, None, b"")], 30)
    assert trail.divergence(40, History(LOG, 90)) == Divergence(30, True)


def test_old_epochs_are_forgotten() -> None:
    trail = walked(*((epoch, epoch, epoch + 1) for epoch in range(100)))
    assert trail.epoch == 99
    assert len(trail._read) == 32

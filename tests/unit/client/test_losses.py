"""Where a log has parted from what it had acknowledged, by its history of leader epochs."""

from __future__ import annotations

import asyncio

import pytest

from partstream.client.losses import Acknowledged, find_cut
from partstream.engine.log import Bounds, EpochEnd, Log, epoch_end
from partstream.engine.partition import Partition, make_partition
from partstream.store.keys import Keys

KNOWN = Acknowledged(epoch=5, first=100, end=110)


class OnPaper(Log):
    """A log of which there is only the history."""

    def __init__(self, history: list[tuple[int, int]], end: int) -> None:
        self._history, self._end = history, end

    async def epoch_end(self, partition: Partition, epoch: int) -> EpochEnd:
        return epoch_end(self._history, self._end, epoch)

    async def bounds(self, partition: Partition) -> Bounds:
        return Bounds(0, self._end, self._history[-1][0], 0)


@pytest.mark.parametrize(
    ("history", "end", "first"),
    [
        ([(3, 0), (5, 100)], 110, None),
        ([(3, 0), (5, 100)], 107, 107),
        # Another producer was first to write after the loss, beyond what is gone or not.
        ([(3, 0), (5, 100), (9, 107)], 109, 107),
        ([(3, 0), (5, 100), (9, 107)], 200, 107),
        ([(3, 0), (5, 100), (9, 110)], 200, None),
        # The log never heard of the epoch.
        ([(3, 0)], 100, 100),
        ([(3, 0)], 95, 95),
        ([(3, 0), (9, 95)], 200, 95),
    ],
)
def test_the_cut_is_where_the_known_epoch_ends(
    history: list[tuple[int, int]], end: int, first: int | None
) -> None:
    partition = make_partition(Keys("ps"), "t", "id", 0)
    loss = asyncio.run(find_cut(OnPaper(history, end), partition, KNOWN))
    if first is None:
        assert loss is None
    else:
        assert loss is not None
        assert (loss.first_offset, loss.next_offset) == (first, KNOWN.end)

"""Noticing that Redis has taken back what it had acknowledged: a crash or a failover can do that.

A producer keeps, for each partition, which offsets were acknowledged to it under which leader
epoch. When an answer comes under another epoch, the log's history tells where the old one ends.
"""

from __future__ import annotations

from typing import NamedTuple

from partstream.engine.log import Log
from partstream.engine.partition import Partition
from partstream.model import LogLoss

__all__ = ["Acknowledged", "LogLoss", "find_cut", "find_loss"]


class Acknowledged(NamedTuple):
    """What a partition has acknowledged to a producer under one leader epoch."""

    epoch: int
    first: int
    """The first offset."""
    end: int
    """The offset after the last."""


async def find_loss(
    log: Log, partition: Partition, known: Acknowledged, epoch: int
) -> LogLoss | None:
    """What is gone of what was acknowledged, now that the partition answers under another epoch.

    Args:
        epoch: the new one; its records stand where those that are lost stood.

    Raises:
        UnknownTopicId: the topic was deleted, and all of it is gone.
    """
    found = await log.epoch_end(partition, known.epoch)
    first = found.end_offset
    if first < 0:
        # The log never heard of the old epoch, and all that it knows is numbered below: the
        # histories parted where the new epoch begins, or in one that came in between.
        first = (await log.epoch_end(partition, epoch - 1)).end_offset
        first = first if 0 <= first < known.end else known.first
    return _loss(partition, known, first)


async def find_cut(log: Log, partition: Partition, known: Acknowledged) -> LogLoss | None:
    """What is gone if the log has lost its end. Raises as `find_loss`.

    The cut is where the known epoch ends, not where the log does: others may have written since.
    """
    found = await log.epoch_end(partition, known.epoch)
    if found.leader_epoch == known.epoch:
        return _loss(partition, known, found.end_offset)
    # All of that epoch is gone, and perhaps something before it.
    end = found.end_offset
    if end < 0:
        end = (await log.bounds(partition)).end
    return _loss(partition, known, min(known.first, end))


def _loss(partition: Partition, known: Acknowledged, first: int) -> LogLoss | None:
    if first >= known.end:
        return None
    return LogLoss(partition.topic, partition.index, first, known.end, known.epoch)

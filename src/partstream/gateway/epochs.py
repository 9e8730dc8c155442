"""The leader epochs of partitions, as Metadata tells them (KIP-320).

They are read from Redis when somebody asks, at most once a second for each topic, and taken from
every answer that carries one: a client that is told that its epoch is old finds the new one here.
All who ask meanwhile share one look: where it takes long, of a topic of thousands of partitions or
from a Redis that is slow, theirs would only make it longer.
"""

from __future__ import annotations

import asyncio

from partstream.engine.log import Log
from partstream.engine.partition import Partition, Topic
from partstream.errors import (
    ClosedClient,
    FencedLeaderEpoch,
    PartstreamError,
    UnknownLeaderEpoch,
)

_FRESH_S = 1.0
_PATIENCE_S = 1.0
"""So long Metadata is held up: the leaders that it tells of are worth more than their epochs."""
UNKNOWN = -1


class Epochs:
    """What is known of leader epochs, and since when."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, tuple[float, list[int]]] = {}
        self._looking: dict[tuple[str, int], asyncio.Task[list[int]]] = {}
        self.generation = 0
        """Grows whenever an epoch turns out to be another."""

    async def of(self, topic: Topic) -> list[int]:
        """The epochs of a topic's partitions; -1 for one that cannot be asked now.

        Where Redis takes its time, they are as they were last known.
        """
        now = asyncio.get_running_loop().time()
        known = self._known.get(topic.id)
        if known is not None and now < known[0] and len(known[1]) == len(topic.partitions):
            return known[1]
        key = topic.id, len(topic.partitions)
        looking = self._looking.get(key)
        if looking is None:
            looking = asyncio.create_task(self._look(topic), name=f"leader epochs of {topic.name}")
            self._looking[key] = looking
            looking.add_done_callback(lambda _: self._looking.pop(key, None))
        # Not `await looking`: who hangs up must not end it for the others.
        done, _ = await asyncio.wait((looking,), timeout=_PATIENCE_S)
        if not done:
            count = len(topic.partitions)
            return known[1] if known and len(known[1]) == count else [UNKNOWN] * count
        if looking.cancelled():
            raise ClosedClient("the gateway was closed meanwhile")
        return looking.result()

    async def close(self) -> None:
        """End what is under way."""
        looking = tuple(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _look(self, topic: Topic) -> list[int]:
        epochs = await asyncio.gather(*map(self._read, topic.partitions))
        now = asyncio.get_running_loop().time()
        known = self._known.get(topic.id)
        if known is None or known[1] != epochs:
            self.generation += 1
        self._known[topic.id] = (now + _FRESH_S, epochs)
        if len(self._known) > 100_000:
            self._known.clear()
        return epochs

    def saw(self, partition: Partition, epoch: int) -> None:
        """An answer of the partition carried this epoch."""
        known = self._known.get(partition.topic_id)
        if known is None or partition.index >= len(known[1]):
            return
        if known[1][partition.index] < epoch:
            known[1][partition.index] = epoch
            self.generation += 1

    async def _read(self, partition: Partition) -> int:
        try:
            return (await self._log.bounds(partition)).leader_epoch
        except PartstreamError:
            return UNKNOWN


def check_epoch(believed: int, epoch: int) -> None:
    """Compare the epoch that a client believes in with the partition's; -1 is no belief.

    An older one is no error: a leader is advice here, so what any gateway answers is true, and
    clients need up to a second to hear of an epoch. Not all of them ask again: librdkafka's
    `query_watermark_offsets` fails.

    Raises:
        FencedLeaderEpoch: the client's cannot have been one.
        UnknownLeaderEpoch: the client's is newer.
    """
    if believed < UNKNOWN:
        raise FencedLeaderEpoch(f"the leader epoch is {epoch}, not {believed}")
    if believed > epoch:
        raise UnknownLeaderEpoch(f"the leader epoch is {epoch}, not yet {believed}")

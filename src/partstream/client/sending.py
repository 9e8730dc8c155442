"""What the lines of a producer need of it."""

from __future__ import annotations

from typing import Protocol

from partstream.client.accumulator import Batch, Queue
from partstream.client.losses import LogLoss
from partstream.config.producer import ProducerConfig
from partstream.engine.log import Log
from partstream.engine.partition import Topic
from partstream.store.store import Store


class Sending(Protocol):
    """What a line needs of its producer."""

    config: ProducerConfig
    log: Log
    producer_id: int
    """-1 without idempotence."""

    @property
    def store(self) -> Store:
        """The open store."""

    async def refresh(self, name: str) -> Topic:
        """The topic as it is now, read again, and created if that is allowed."""

    def sealed(self, queue: Queue) -> None:
        """Told of every batch that was sealed before it was full."""

    def settled(self, batch: Batch) -> None:
        """Told of every batch that needs no memory any more."""

    def lost(self, loss: LogLoss) -> None:
        """Told of acknowledged records that are gone."""

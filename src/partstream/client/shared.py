"""What the readers of one consumer have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from partstream.client.buffer import PartitionBuffer
from partstream.client.positions import Reset
from partstream.client.room import Room
from partstream.engine.log import Log
from partstream.engine.topics import Topics
from partstream.store.store import Store


@dataclass(frozen=True, slots=True)
class Shared:
    """Handed to each of them."""

    store: Store
    topics: Topics
    log: Log
    room: Room
    partition_bytes: int
    """Bytes that are fetched ahead of one partition."""
    reset: Reset
    refused_look_s: float
    """How often to look where the server does not let us hear bells."""
    backoff_s: float
    backoff_max_s: float
    on_ready: Callable[[PartitionBuffer], None]
    """Told when a buffer has something to take."""
    on_located: Callable[[PartitionBuffer], None]
    """Told when a buffer's position is known."""

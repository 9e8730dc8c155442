"""What members of groups that are measured have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from partstream.engine.groups import ConsumerGroups
from partstream.groups.rows import TopicIdPartition
from partstream.store.bells import Watch
from partstream.store.store import Store


class BellMember(ABC):
    """A member that hears when there may be news."""

    def __init__(self, groups: ConsumerGroups, store: Store, group_id: str, member_id: str) -> None:
        self.id = member_id
        self.version = 0
        """How far it has come: what a heartbeat goes by."""
        self.owned: frozenset[TopicIdPartition] = frozenset()
        self.beats = 0
        self._groups, self._store, self._group = groups, store, group_id
        self._rung = asyncio.Event()
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Hear when there may be news."""
        channel = self._groups.bell_channel(self._group, self.id)
        self._watch = await self._store.bells.watch(channel, self._rung.set)

    def start(self) -> None:
        """Join, and live on."""
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """As a crash: nobody is told."""
        if self._watch is not None:
            self._watch.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    async def beat(self) -> bool:
        """One heartbeat; whether there is more to do at once."""

    @abstractmethod
    async def _live(self) -> None:
        """Heartbeat until it is stopped."""

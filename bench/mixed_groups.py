"""Members of a consumer group that speak the classic protocol, beside others that do not: half of
its clients have been switched over (KIP-848)."""

from __future__ import annotations

import asyncio
import struct

from bench.members import BellMember
from partstream.engine.groups import ConsumerGroups
from partstream.groups.classic_events import NONE, Join, Sync
from partstream.groups.classic_protocol import CONSUMER, assigned_partitions
from partstream.store.store import Store

_PROTOCOL = "cooperative-sticky"
_HEARTBEAT_S = 0.1
"""Three seconds as a rule: what is measured is not how long clients wait. A bell shortens it."""


class ClassicMember(BellMember):
    """A member that joins again when it is told to, and keeps meanwhile what it may."""

    def __init__(
        self, groups: ConsumerGroups, store: Store, group_id: str, number: int, topic_id: str
    ) -> None:
        super().__init__(groups, store, group_id, f"classic-{number:04}")
        self._topic_id = topic_id

    async def beat(self) -> bool:
        """One heartbeat; whether the member is to join again."""
        self.beats += 1
        code = await self._groups.classic.heartbeat(self._group, self.id, self.version, None)
        return code != NONE

    async def _live(self) -> None:
        joins = True
        while True:
            if joins:
                joins = await self._rejoin()
                continue
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
            joins = await self.beat()

    async def _rejoin(self) -> bool:
        """Join, and hear what to own; whether to join once more, to say what was let go of."""
        wish = self._wish()
        joined = await self._groups.classic.join(
            self._group,
            Join(
                self.id if self.version else "",
                self.id,
                CONSUMER,
                ((_PROTOCOL, wish),),
                session_ms=45_000,
                rebalance_ms=300_000,
                id_required=False,
            ),
        )
        if joined.error != NONE:
            raise RuntimeError(f"{self.id} cannot join: error {joined.error}")
        self.version = joined.generation
        synced = await self._groups.classic.sync(
            self._group, Sync(self.id, self.version, None, CONSUMER, _PROTOCOL)
        )
        if synced.error != NONE:
            return True
        before = self.owned
        named = assigned_partitions(synced.assignment) or ()
        self.owned = frozenset((self._topic_id, number) for _, number in named)
        return bool(before - self.owned)

    def _wish(self) -> bytes:
        """That it wants the topic `t`, and what it owns of it."""
        numbers = sorted(number for _, number in self.owned)
        owned = [struct.pack(">i", bool(numbers))]
        if numbers:
            owned.append(struct.pack(f">h1si{len(numbers)}i", 1, b"t", len(numbers), *numbers))
        return struct.pack(">hih1si", 1, 1, 1, b"t", -1) + b"".join(owned)

"""A group member as a client has to be: for tests of the coordinator, without records."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from partstream.engine.groups import ConsumerGroups, Heartbeat
from partstream.engine.topics import Topics
from partstream.errors import FencedMemberEpoch, UnknownMemberId
from partstream.groups.classic_events import Limits
from partstream.groups.rows import TopicIdPartition
from partstream.model import GroupState
from partstream.store.store import Store


class Rig:
    """One process's worth of engine: a store, topics and groups."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.topics = Topics(store)
        self.groups = ConsumerGroups(
            store,
            self.topics,
            classic=Limits(initial_rebalance_delay_ms=0, min_session_timeout_ms=1),
        )


@asynccontextmanager
async def rig(url: str, namespace: str) -> AsyncIterator[Rig]:
    """An engine on that server and namespace."""
    store = await Store.connect(url, namespace=namespace)
    made = Rig(store)
    try:
        yield made
    finally:
        await made.groups.close()
        made.topics.close()
        await store.close()


class Member:
    """One member: joins, lets go of what it is told to, and says so."""

    def __init__(
        self,
        groups: ConsumerGroups,
        group_id: str,
        topics: Iterable[str] = ("t",),
        *,
        member_id: str | None = None,
        session_ms: int = 10_000,
        **join: Any,
    ) -> None:
        self.groups = groups
        self.group_id = group_id
        self.id = member_id or uuid.uuid4().hex[:8]
        self.session_ms = session_ms
        self.join_fields: dict[str, Any] = {"rebalance_timeout_ms": 60_000, **join}
        if "subscribed_regex" not in join:
            self.join_fields["subscribed_topics"] = list(topics)
        self.epoch = 0
        self.version: int | None = None
        self.incarnation = 0
        self.owned: frozenset[TopicIdPartition] = frozenset()

    def arguments(self) -> dict[str, Any]:
        """Its next heartbeat."""
        common = {
            "group_id": self.group_id,
            "member_id": self.id,
            "member_epoch": self.epoch,
            "session_timeout_ms": self.session_ms,
            "instance_id": self.join_fields.get("instance_id"),
        }
        if self.epoch == 0:
            return {**common, **self.join_fields, "owned": (), "incarnation": self.incarnation}
        return {**common, "owned": self.owned, "seen": self.version}

    async def beat(self) -> Heartbeat:
        """One heartbeat; what it must let go of, it lets go of at once."""
        if self.epoch == 0:
            self.incarnation += 1
        answer = await self.groups.heartbeat(**self.arguments())
        self.take(answer)
        return answer

    def take(self, answer: Heartbeat) -> None:
        """Do what an answer says."""
        self.epoch, self.version = answer.member_epoch, answer.version
        if answer.assignment is not None:
            self.owned = answer.assignment

    def lose_everything(self) -> None:
        """What a fenced member does before it joins again."""
        self.epoch, self.version, self.owned = 0, None, frozenset()

    async def leave(self, epoch: int = -1) -> None:
        """Leave, for good or (-2) for a while."""
        await self.groups.heartbeat(
            self.group_id, self.id, epoch, instance_id=self.join_fields.get("instance_id")
        )
        self.lose_everything()


async def settle(*members: Member, within: float = 10.0) -> None:
    """Heartbeat in turns until nobody has anything left to do."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        quiet = True
        for member in members:
            before = (member.epoch, member.version, member.owned)
            try:
                await member.beat()
            except (FencedMemberEpoch, UnknownMemberId):
                member.lose_everything()
                quiet = False
                continue
            quiet &= before == (member.epoch, member.version, member.owned)
        if quiet and await _stable({(member.groups, member.group_id) for member in members}):
            return
        assert loop.time() < deadline, f"not settled: {[(m.epoch, m.owned) for m in members]}"


async def _stable(groups: Iterable[tuple[ConsumerGroups, str]]) -> bool:
    seen = [await engine.describe(group_id) for engine, group_id in groups]
    return all(group.state == GroupState.STABLE for group in seen)

"""A member of a classic group as a client has to be: for tests of the coordinator."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from partstream.engine.groups import ConsumerGroups
from partstream.engine.groups.classic_answers import Joined, Synced
from partstream.errors import MemberIdRequired
from partstream.groups.classic_events import Join, Leave, Sync

_NUMBERS = itertools.count(1)


def subscription(
    *topics: str, version: int = 0, owned: Sequence[int] = (), user_data: bytes | None = None
) -> bytes:
    """The metadata of a consumer that subscribes to these; it owns partitions of the first."""
    names = b"".join(map(_string, topics))
    parts = [struct.pack(">hi", version, len(topics)), names, _data(user_data)]
    if version >= 1:
        rows = _string(topics[0]) + struct.pack(f">i{len(owned)}i", len(owned), *owned)
        parts.append(struct.pack(">i", bool(owned)) + (rows if owned else b""))
    if version >= 2:
        parts.append(struct.pack(">i", -1))
    if version >= 3:
        parts.append(struct.pack(">h", -1))
    return b"".join(parts)


def _data(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def assignment(topic: str, *partitions: int) -> bytes:
    """The assignment of partitions of one topic."""
    numbers = struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return struct.pack(">hi", 0, 1) + _string(topic) + numbers + struct.pack(">i", -1)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class ClassicMember:
    """One member; it says what its requests came to."""

    def __init__(
        self,
        groups: ConsumerGroups,
        group_id: str = "g",
        *,
        protocols: Sequence[tuple[str, bytes]] = (("range", subscription("t")),),
        protocol_type: str = "consumer",
        instance_id: str | None = None,
        session_ms: int = 10_000,
        rebalance_ms: int = 10_000,
    ) -> None:
        self.groups = groups
        self.group_id = group_id
        self.protocols = tuple(protocols)
        self.protocol_type = protocol_type
        self.instance_id = instance_id
        self.session_ms = session_ms
        self.rebalance_ms = rebalance_ms
        self.id = ""
        self.joined = Joined(-1, "")
        self.assignment = b""

    @property
    def generation(self) -> int:
        """The one that it was told of last."""
        return self.joined.generation

    @property
    def leads(self) -> bool:
        """Whether it is to assign."""
        return self.joined.leader == self.id

    def request(self, **changes: Any) -> Join:
        """Its next JoinGroup."""
        request = Join(
            self.id,
            f"{self.instance_id or 'client'}-{next(_NUMBERS)}",
            self.protocol_type,
            self.protocols,
            self.session_ms,
            self.rebalance_ms,
            self.instance_id,
            "client",
            "/127.0.0.1",
        )
        return replace(request, **changes)

    async def join(self, **changes: Any) -> Joined:
        """Join, with the id that it is given if it needs one; waits for the others."""
        answer = await self.groups.classic.join(self.group_id, self.request(**changes))
        if answer.error == MemberIdRequired.code:
            self.id = answer.member_id
            answer = await self.groups.classic.join(self.group_id, self.request(**changes))
        if answer.error == 0:
            self.id = answer.member_id
            self.joined = answer
        return answer

    async def sync(self, assignments: dict[str, bytes] | None = None) -> Synced:
        """Sync; as the leader with these assignments, or each member's id."""
        if assignments is None and self.leads:
            assignments = {member_id: member_id.encode() for member_id, _, _ in self.joined.members}
        return await self.groups.classic.sync(
            self.group_id,
            Sync(
                self.id,
                self.generation,
                self.instance_id,
                self.protocol_type,
                self.joined.protocol,
                assignments or {},
            ),
        )

    async def live(self, enough: Callable[[], bool]) -> None:
        """Do what a client does, until it is enough."""
        while not enough():
            joined = await self.join()
            if joined.error != 0:
                self.id = ""
                continue
            synced = await self.sync()
            self.assignment = synced.assignment
            heard = synced.error == 0
            while heard and not enough() and await self.beat() == 0:  # noqa: ASYNC110 (heartbeats)
                await asyncio.sleep(0.02)

    async def settle(self) -> Synced:
        """Join and sync."""
        joined = await self.join()
        assert joined.error == 0, joined
        return await self.sync()

    async def beat(self) -> int:
        """A heartbeat; its error."""
        return await self.groups.classic.heartbeat(
            self.group_id, self.id, self.generation, self.instance_id
        )

    async def leave(self) -> int:
        """Leave; the error."""
        (code,) = await self.groups.classic.leave(
            self.group_id, Leave(((self.id, self.instance_id),))
        )
        return code

"""What tests of groups share: records to read, and what the members have seen of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tests.foreign.agent import Agent
from tests.waiting import until

SOON = 90.0
"""Seconds that a rebalance may take on a machine that has much else to do."""

QUICK: dict[str, Any] = {
    "group_initial_rebalance_delay_ms": 0,
    "group_consumer_heartbeat_interval_ms": 200,
}
"""Configs of a gateway whose groups do not wait for those who might still come."""


class Watch:
    """One group, its members, and the topic that it reads."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.where = {"bootstrap": bootstrap, "topic": topic, "group": f"{topic}-group"}
        self.partitions = partitions
        self.written: list[str] = []
        self.members: dict[str, Agent] = {}
        self.gone: dict[str, dict[str, Any]] = {}

    async def create(self, client: Agent) -> None:
        """The topic."""
        await client("create_topic", partitions=self.partitions, configs={}, **self.where)

    async def write(self, client: Agent, count: int) -> None:
        """More records, as many to each partition."""
        first = len(self.written)
        values = [str(number) for number in range(first, first + count)]
        records = [
            {"partition": number % self.partitions, "value": value}
            for number, value in enumerate(values)
        ]
        await client("produce", records=records, **self.where)
        self.written += values

    async def join(self, client: Agent, member: str, assignor: str, **more: Any) -> None:
        """Another member."""
        await client("join", member=member, assignor=assignor, **self.where, **more)
        self.members[member] = client

    async def leave(self, member: str) -> None:
        """The end of a member; what it has read counts."""
        seen = await self.members.pop(member)("leave", member=member)
        assert seen["failed"] is None, seen["failed"]
        self.gone[member] = seen

    async def seen(self) -> dict[str, dict[str, Any]]:
        """What each member has seen."""
        told = {name: await agent("member", member=name) for name, agent in self.members.items()}
        for name, seen in told.items():
            assert seen["failed"] is None, f"{name}: {seen['failed']}"
        return told

    async def shared(self, *sizes: int) -> dict[str, dict[str, Any]]:
        """Wait until the members own so many partitions each, and no partition has two owners."""

        async def settled() -> dict[str, dict[str, Any]] | None:
            told = await self.seen()
            owned = Counter(number for one in told.values() for _, number in one["assigned"])
            found = sorted(len(one["assigned"]) for one in told.values())
            whole = owned == Counter(range(self.partitions))
            return told if whole and found == sorted(sizes) else None

        result: dict[str, dict[str, Any]] = await until(settled, within=SOON, every=0.05)
        return result

    async def all_read(self) -> None:
        """Wait until all that was written was read, in order within each partition."""

        async def complete() -> bool:
            return {row["value"] for row in await self._rows()} >= set(self.written)

        await until(complete, within=SOON, every=0.05)
        for name, seen in {**await self.seen(), **self.gone}.items():
            _assert_in_order(name, seen)

    async def _rows(self) -> list[dict[str, Any]]:
        told = {**await self.seen(), **self.gone}
        return [row for seen in told.values() for row in seen["records"]]

    async def committed(self, client: Agent) -> int:
        """How many records the group has committed."""
        total = 0
        for number in range(self.partitions):
            told = await client("committed", partition=number, **self.where)
            total += max(0, told["offset"] or 0)
        return total


def _assert_in_order(name: str, seen: Mapping[str, Any]) -> None:
    """A member sees each partition in order; what was not committed it may see once more."""
    offsets = defaultdict(list)
    for row in seen["records"]:
        offsets[row["partition"]].append(row["offset"])
    times = 1 + sum(what == "assigned" for what, _ in seen["events"])
    for partition, read in offsets.items():
        back = sum(later <= sooner for sooner, later in pairwise(read))
        assert back < times, f"{name} read partition {partition} out of order: {read}"


def given_up(seen: Mapping[str, Any], *, since: int = 0) -> list[int]:
    """How many partitions each revocation took, from the `since`-th event on."""
    return [len(rows) for what, rows in seen["events"][since:] if what == "revoked" and rows]

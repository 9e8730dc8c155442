"""Clients of several languages that write and read while something fails, and the judge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.foreign.agent import Agent
from tests.foreign.groups import Watch
from tests.foreign.kinds import KINDS
from tests.waiting import until

WRITERS = ("java-4.3.0", "franz-go", "confluent-kafka-new")
"""One client of each family that writes with idempotence."""
PARTITIONS = 4
SETTLES = 120.0
"""Seconds in which clients must have found back, on a machine that has much else to do."""


def ready(agents: dict[str, Agent]) -> dict[str, Agent]:
    """Those of the writers that can run on this machine; on CI all must."""
    found = {}
    for kind in KINDS:
        if kind.name not in WRITERS:
            continue
        if kind.name not in agents or not agents[kind.name].idle:
            try:
                agents[kind.name] = Agent(kind.command())
            except pytest.skip.Exception:
                continue
        found[kind.name] = agents[kind.name]
    return found


class Stream:
    """One client that writes, and two members of the same client that read what it writes."""

    def __init__(self, client: Agent, bootstrap: str, name: str, topic: str) -> None:
        self.name = name
        self.client = client
        self.group = Watch(bootstrap, topic, PARTITIONS)

    async def begin(self, **configs: str) -> None:
        """Make the topic, write and read."""
        where = {**self.group.where, "partitions": PARTITIONS}
        await self.client("create_topic", configs=configs, **where)
        await self.client("write", member="writer", **where)
        for member in ("one", "two"):
            await self.group.join(self.client, member, "range", session_ms=10_000)
        await self.group.shared(2, 2)
        await self.goes_on()

    async def goes_on(self) -> None:
        """Wait until more was written and acknowledged, and more was read."""
        acked, read = await self._progress()

        async def further() -> bool:
            now_acked, now_read = await self._progress()
            return now_acked > acked + 100 and now_read > read + 100

        await until(further, within=SETTLES, every=0.1)

    async def _progress(self) -> tuple[int, int]:
        told = await self.client("writer", member="writer")
        assert told["refused"] == [], told["refused"][:3]
        seen = await self.group.seen()
        return told["acked"], sum(len(one["records"]) for one in seen.values())

    async def judge(self) -> None:
        """Nothing acknowledged is lost, nothing is there twice, and all is in order."""
        told = await self.client("written", member="writer")
        assert told["refused"] == [], told["refused"][:3]
        acked: dict[int, tuple[int, int | None]] = {n: (p, at) for n, p, at in told["acked"]}
        assert len(acked) == len(told["acked"]), "acknowledged twice"
        log = [row for number in range(PARTITIONS) for row in await self._log(number)]
        places: dict[int, tuple[int, int]] = {}
        for row in log:
            number = int(row["value"])
            assert number not in places, f"{self.name}: {number} is there twice"
            places[number] = (row["partition"], row["offset"])
        wrong = {
            number: (at, places.get(number))
            for number, at in acked.items()
            # librdkafka knows no offset where a later acknowledgement implies this one.
            if number not in places or at[1] not in (None, -1001, places[number][1])
        }
        assert not wrong, f"{self.name}: acknowledged, and not there: {list(wrong.items())[:5]}"
        for partition in range(PARTITIONS):
            found = [int(row["value"]) for row in log if row["partition"] == partition]
            assert found == sorted(found), f"{self.name}: partition {partition} is out of order"
        self.group.written = [str(number) for number in places]
        await self.group.all_read()
        await self.group.leave("one")
        await self.group.leave("two")

    async def _log(self, partition: int) -> list[dict[str, Any]]:
        where = {**self.group.where, "partition": partition}
        count = (await self.client("offsets", time=0, **where))["latest"]
        told = await self.client("consume", offset="earliest", count=count, **where)
        rows: list[dict[str, Any]] = told["records"]
        assert [row["offset"] for row in rows] == list(range(count))
        return rows


class Traffic:
    """All streams."""

    def __init__(self, agents: dict[str, Agent], bootstrap: str, namespace: str) -> None:
        self.streams = [
            Stream(client, bootstrap, name, f"{namespace}-{name}")
            for name, client in ready(agents).items()
        ]

    async def begin(self, **configs: str) -> None:
        """Write and read, all clients at a time."""
        await asyncio.gather(*(stream.begin(**configs) for stream in self.streams))

    async def goes_on(self) -> None:
        """Wait until each client has come further."""
        await asyncio.gather(*(stream.goes_on() for stream in self.streams))

    async def settled(self) -> None:
        """Wait until each group's members share its partitions, and all come further."""
        await asyncio.gather(*(stream.group.shared(2, 2) for stream in self.streams))
        await self.goes_on()

    async def judge(self) -> None:
        """Stop, and look at what is there."""
        await asyncio.gather(*(stream.judge() for stream in self.streams))

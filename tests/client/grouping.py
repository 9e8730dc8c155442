"""What tests of consumers in groups share: members that poll for ever, and what they note."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.model import Record, TopicPartition
from tests.client.consuming import (
    tps,
)

Names = frozenset[TopicPartition]


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    fixed = {
        "auto_offset_reset": "earliest",
        "group_id": "g",
        "session_timeout_ms": 3_000,
        "enable_auto_commit": False,
    }
    return Consumer(url, namespace=namespace, **{**fixed, **config})


class Member:
    """A consumer in a task of its own, which polls for ever and notes what it gets."""

    def __init__(self, reader: Consumer) -> None:
        self.reader = reader
        self.records: list[Record] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.records += await self.reader.poll(timeout=None)

    @property
    def owned(self) -> frozenset[TopicPartition]:
        return self.reader.assignment()

    async def stop(self) -> None:
        """Poll no more."""
        self.task.cancel()
        done = await asyncio.gather(self.task, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError), done


@asynccontextmanager
async def members(
    url: str, namespace: str, count: int, topics: Iterable[str] = ("t",), **config: Any
) -> AsyncIterator[list[Member]]:
    """Members of a group, which leave at the end."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            reader = await stack.enter_async_context(consumer(url, namespace, **config))
            await reader.subscribe(topics)
            made.append(Member(reader))
            stack.push_async_callback(made[-1].stop)
        yield made


def share_out(group: list[Member], names: Iterable[TopicPartition], sizes: list[int]) -> bool:
    """Whether the members own all of it, nobody twice, in shares of these sizes."""
    owned = [member.owned for member in group]
    return (
        sorted(map(len, owned)) == sorted(sizes)
        and sum(map(len, owned)) == len(frozenset().union(*owned))
        and frozenset().union(*owned) == set(names)
    )


def all_of(partitions: int) -> Names:
    """The partitions of the topic that tests mostly use."""
    return frozenset(tps(partitions))


class Diary(RebalanceListener):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Names]] = []
        self.on: dict[str, Callable[[Names], Any]] = {}

    async def _note(self, what: str, partitions: Names) -> None:
        self.entries.append((what, partitions))
        if what in self.on:
            await self.on[what](partitions)

    async def on_partitions_assigned(self, partitions: Names) -> None:
        await self._note("assigned", partitions)

    async def on_partitions_revoked(self, partitions: Names) -> None:
        await self._note("revoked", partitions)

    async def on_partitions_lost(self, partitions: Names) -> None:
        await self._note("lost", partitions)

    def total(self, what: str) -> Names:
        """All partitions of one kind of entry."""
        return frozenset().union(*(names for kind, names in self.entries if kind == what))

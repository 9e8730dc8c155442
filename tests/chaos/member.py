"""A member of the consumer group, and its user."""

from __future__ import annotations

import asyncio
import random

from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.errors import CommitFailed, PartstreamError, StoreUnavailable
from partstream.model import TopicPartition
from tests.chaos.clients import World, is_explained, note, persist
from tests.chaos.history import (
    Assigned,
    Began,
    Closed,
    CommitBegun,
    CommitEnded,
    Gone,
    Owning,
    now,
)
from tests.chaos.names import TOPIC
from tests.chaos.plan import Client


class Member(RebalanceListener):
    """Reads what the group gives it, and commits it."""

    def __init__(self, world: World, name: str, client: Client, rng: random.Random) -> None:
        self._world, self._name, self._rng = world, name, rng
        self._manner = client.manner
        self._automatic: bool = client.config["enable_auto_commit"]
        self._instance: str | None = client.config["group_instance_id"]
        self._consumer = Consumer(
            world.url, namespace=world.namespace, client_id=name, **client.config
        )
        self._commits = 0
        self._batches = 0
        self._noted: tuple[str, int, tuple[int, ...]] | None = None

    async def run(self) -> None:
        """Read and commit until the end is called."""
        world, consumer = self._world, self._consumer
        world.journal.write(Began(now(), self._name, "member"))
        try:
            await persist(world, self._name, "start", consumer.start)
            await persist(
                world,
                self._name,
                "subscribe",
                lambda: consumer.subscribe([TOPIC], listener=self),
            )
            while not world.draining.is_set():
                await self._turn()
        finally:
            await consumer.close()
            world.journal.write(Closed(now(), self._name))

    # What the consumer tells.

    def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        positions = self._consumer.opened.poller.position
        for name in sorted(partitions):
            position = positions(name)
            at = -1 if position is None else position.offset
            self._world.journal.write(Assigned(now(), self._name, name.partition, at))

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if not self._automatic:
            await self._commit()
        self._give_up(partitions)

    def on_partitions_lost(self, partitions: frozenset[TopicPartition]) -> None:
        self._give_up(partitions)

    def _give_up(self, partitions: frozenset[TopicPartition]) -> None:
        for name in sorted(partitions):
            self._world.journal.write(Gone(now(), self._name, name.partition))

    # What its user does.

    async def _turn(self) -> None:
        try:
            records = await self._consumer.poll(timeout=0.2)
        except PartstreamError as error:
            if not is_explained(error):
                raise
            self._world.trouble(self._name, "poll", error)
            return
        note(self._world.journal, self._name, records)
        self._note_ownership()
        if records:
            self._batches += 1
            # In the end it makes haste, so that a backlog tells of nothing but trouble.
            work = 0.0 if self._world.finishing.is_set() else self._manner["work"]
            await asyncio.sleep(self._rng.random() * work)
        if self._automatic or not self._batches:
            return
        if not records or self._batches >= self._manner["commit_every"]:
            self._batches = 0
            await (self._commit_later() if self._manner["asynchronous"] else self._commit())

    def _note_ownership(self) -> None:
        """What it owns by its own book and by the group's last answer, which names the epoch."""
        opened = self._consumer.opened
        try:
            identity = opened._identity()
        except CommitFailed:
            return
        assert identity is not None
        assert opened._member is not None
        granted = {index for _, index in opened._member.assignment}
        owned = tuple(
            name.partition
            for name in sorted(self._consumer.assignment())
            if name.partition in granted
        )
        noted = (identity.member_id, identity.member_epoch, owned)
        if noted != self._noted:
            self._noted = noted
            # A static member hands on what it owns, epoch and all, to whoever follows it; and one
            # that joins again follows itself.
            member = self._instance or identity.member_id
            self._world.journal.write(
                Owning(now(), self._name, member, identity.member_epoch, list(owned))
            )

    def _begin_commit(self) -> int:
        """Write down what a commit without arguments is about to commit."""
        self._commits += 1
        at = now()
        self._world.journal.write(
            *(
                CommitBegun(at, self._name, self._commits, buffer.partition.index, position.offset)
                for buffer, position in self._consumer.opened.poller.positions().items()
            )
        )
        return self._commits

    def _end_commit(self, number: int, error: BaseException | None) -> None:
        outcome = "ok" if error is None else "failed"
        if isinstance(error, StoreUnavailable | asyncio.CancelledError):
            outcome = "unknown"
        text = "" if error is None else repr(error)
        self._world.journal.write(CommitEnded(now(), self._name, number, outcome, text))

    async def _commit(self) -> None:
        number = self._begin_commit()
        error: BaseException | None = None
        try:
            await self._consumer.commit()
        except (PartstreamError, asyncio.CancelledError) as raised:
            error = raised
            if not is_explained(raised):
                raise
        finally:
            self._end_commit(number, error)

    async def _commit_later(self) -> None:
        number = self._begin_commit()
        await self._consumer.commit_async(callback=lambda _, error: self._end_commit(number, error))

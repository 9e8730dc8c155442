"""Brings what a consumer reads into line with what its group says, and tells its owner.

All of it runs within `poll`: the owner hears of a partition before the first record of it, and has
the last word before another member gets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from partstream.client.fetcher import Fetcher
from partstream.client.listener import RebalanceListener, tell
from partstream.client.membership import Membership, State
from partstream.client.positions import Position
from partstream.engine.groups import ConsumerGroups
from partstream.engine.partition import Partition
from partstream.engine.topics import Topics
from partstream.errors import PartstreamError, UnknownTopicId, UnknownTopicOrPartition
from partstream.groups.rows import NOTHING, Partitions, TopicIdPartition
from partstream.metrics.hooks import Observer
from partstream.model import TopicPartition

_logger = logging.getLogger(__name__)
_RETRY_S = 0.2

_Prepared: TypeAlias = "dict[TopicIdPartition, tuple[Partition | None, Position | None]]"


class Rebalancer:
    """The partitions that one member owns."""

    def __init__(
        self,
        membership: Membership,
        *,
        groups: ConsumerGroups,
        group_id: str,
        topics: Topics,
        fetcher: Fetcher,
        auto_commit: Callable[[], Awaitable[None]],
        commits_settled: Callable[[], Awaitable[None]],
        news: asyncio.Event,
        observer: Observer,
    ) -> None:
        """Own nothing yet.

        Args:
            news: set when `step` has something to do.
            auto_commit: commits what was processed, if the consumer is to do that by itself.
            commits_settled: waits for the commits that were begun.
            observer: told of partitions that come and go.
        """
        self._membership = membership
        self._groups = groups
        self._group_id = group_id
        self._topics = topics
        self._fetcher = fetcher
        self._auto_commit = auto_commit
        self._commits_settled = commits_settled
        self._news = news
        self._observer = observer
        self._owned: dict[TopicIdPartition, TopicPartition | None] = {}
        self._in_line_with: Partitions = NOTHING
        self._preparing: asyncio.Task[_Prepared] | None = None
        self._preparing_for: Partitions = NOTHING

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something. Cheap: asked at every poll."""
        member = self._membership
        member.look_at_the_clock()
        if member.state is not State.JOINED:
            return member.state is not State.JOINING
        target = member.assignment
        return target is not self._in_line_with and target != self._owned.keys()

    async def step(self, listener: RebalanceListener | None) -> bool:
        """Let go of what is lost or revoked, then take what was added; whether anything changed.

        Raises:
            PartstreamError: the group refuses this member for good.
            Exception: whatever the listener raised; the change was made all the same.
        """
        member = self._membership
        if member.error is not None:
            await self.lose(listener)
            raise type(member.error)(*member.error.args)
        if member.state is State.LOST:
            try:
                await self.lose(listener)
            finally:
                member.rejoin()
            return True
        target = member.assignment
        gone = self._owned.keys() - target
        if gone:
            await self.revoke(gone, listener)
        taken = await self._assign(target - self._owned.keys(), listener)
        if self._owned.keys() == target:
            self._in_line_with = target
        return bool(gone) or taken

    async def revoke(
        self, gone: Collection[TopicIdPartition], listener: RebalanceListener | None
    ) -> None:
        """Let go of partitions in good order; only then does the group hear of it.

        Commits that nobody waits for come first, too: the group takes them of an owner only.
        """
        try:
            try:
                await self._auto_commit()
                await tell(listener, "on_partitions_revoked", self._names(gone))
            finally:
                await self._commits_settled()
        finally:
            self._drop(gone)
            self._tell(revoked=len(gone))

    async def revoke_all(self, listener: RebalanceListener | None) -> None:
        """Let go of everything, for the consumer leaves."""
        self._membership.look_at_the_clock()
        if self._membership.state is State.JOINED:
            await self.revoke(list(self._owned), listener)
        else:
            await self.lose(listener)

    async def lose(self, listener: RebalanceListener | None) -> None:
        """Everything is gone already."""
        await self.close()
        lost = list(self._owned)
        names = self._names(lost)
        self._drop(lost)
        self._tell(lost=len(lost))
        await tell(listener, "on_partitions_lost", names)

    async def close(self) -> None:
        """Drop what is being looked up."""
        if self._preparing is not None:
            task, self._preparing = self._preparing, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _assign(self, added: Partitions, listener: RebalanceListener | None) -> bool:
        """Take what was added once it is known where to begin; does not wait for that."""
        if not added:
            return False
        if self._preparing is None:
            self._preparing_for = added
            self._preparing = asyncio.create_task(self._prepare(added))
            self._preparing.add_done_callback(lambda _: self._news.set())
        if not self._preparing.done():
            return False
        done, self._preparing = self._preparing, None
        prepared = done.result()
        if added != self._preparing_for:
            return True  # others may have had some of it meanwhile, and have committed: look again
        for key in added:
            partition, position = prepared[key]
            self._owned[key] = None if partition is None else partition.name
            if partition is not None:
                self._fetcher.add(partition, position, by_group=True)
        self._report()
        self._tell(assigned=len(added))
        await tell(listener, "on_partitions_assigned", self._names(added))
        return True

    async def _prepare(self, added: Partitions) -> _Prepared:
        """Find partitions and their committed offsets, however long it takes."""
        while True:
            try:
                partitions = {key: await self._partition(key) for key in sorted(added)}
                known = [key for key, partition in partitions.items() if partition is not None]
                committed = await self._groups.fetch_offsets(self._group_id, known)
            except PartstreamError as error:
                if not error.retriable:
                    raise
                _logger.warning("group %s: committed offsets: %s", self._group_id, error)
                await asyncio.sleep(_RETRY_S)
                continue
            return {
                key: (
                    partition,
                    Position(committed[key].offset, committed[key].leader_epoch)
                    if key in committed
                    else None,
                )
                for key, partition in partitions.items()
            }

    async def _partition(self, key: TopicIdPartition) -> Partition | None:
        """The partition of that id; None if its topic was deleted meanwhile."""
        topic_id, index = key
        try:
            topic = await self._topics.by_id(topic_id)
            if index >= len(topic.partitions):
                topic = await self._topics.get(topic.name, fresh=True)
            return topic.partition(index)
        except (UnknownTopicId, UnknownTopicOrPartition) as error:
            _logger.info("group %s assigned what is gone: %s", self._group_id, error)
            return None

    def _drop(self, gone: Collection[TopicIdPartition]) -> None:
        for key in gone:
            name = self._owned.pop(key, None)
            if name is not None:
                self._fetcher.remove(name)
        self._report()

    def _tell(self, *, assigned: int = 0, revoked: int = 0, lost: int = 0) -> None:
        if assigned or revoked or lost:
            self._observer.rebalanced(
                self._group_id,
                assigned=assigned,
                revoked=revoked,
                lost=lost,
                owned=len(self._owned),
            )

    def _report(self) -> None:
        self._membership.own(frozenset(self._owned))

    def _names(self, keys: Collection[TopicIdPartition]) -> list[TopicPartition]:
        names = (self._owned[key] for key in keys)
        return [name for name in names if name is not None]

"""A connected consumer: its parts, and how they work together.

`Consumer` says what each call means and refuses what makes no sense; here it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from partstream.client.arguments import at_least
from partstream.client.committer import Callback, Committer, Named
from partstream.client.fetcher import Fetcher
from partstream.client.lookups import Lookups
from partstream.client.membership import Identity, Membership
from partstream.client.polling import Poller
from partstream.client.positions import Position, Reset, positions_of
from partstream.client.rebalance import Rebalancer
from partstream.client.session import get_or_create
from partstream.client.subscription import Subscription
from partstream.config.consumer import ConsumerConfig
from partstream.engine.groups import ConsumerGroups
from partstream.engine.topics import Topics
from partstream.errors import (
    ClosedClient,
    IllegalState,
    InvalidGroupId,
    PartstreamError,
    UnknownTopicOrPartition,
)
from partstream.groups.rows import TopicIdPartition
from partstream.model import OffsetAndMetadata, Record, TopicPartition
from partstream.store.store import Store

_logger = logging.getLogger(__name__)


class Consumption:
    """What one consumer reads, and for which group."""

    def __init__(
        self, store: Store, topics: Topics, groups: ConsumerGroups, config: ConsumerConfig
    ) -> None:
        self.config = config
        self.subscription = Subscription()
        self.groups = groups
        self.lookups = Lookups(store, topics)
        self._store = store
        self._topics = topics
        self._news = asyncio.Event()
        self.fetcher = Fetcher(store, topics, config, self._news)
        self.poller = Poller(self.fetcher, self._news, self._upkeep)
        self._committer: Committer | None = None
        if config.group_id is not None:
            self._committer = Committer(
                self.groups,
                config,
                identity=self._identity,
                hurry=self._hurry,
                disowned=self._disown,
                observer=store.observer,
            )
        self._member: Membership | None = None
        self._rebalancer: Rebalancer | None = None
        self._failed = False
        self._closing = False
        self._ended = False

    # What to read.

    async def subscribe(self, subscription: Subscription) -> None:
        """Join the group, or tell it what to share out from now on."""
        await asyncio.gather(*map(self._make_sure_of, subscription.topics))
        self._check_open()
        self.subscription = subscription
        if self._member is not None:
            self._member.subscribe(subscription)
            return
        assert self.config.group_id is not None
        self._member = Membership(
            self.groups,
            self._store,
            self.config,
            subscription,
            news=self._news,
            activity=self.poller.activity,
        )
        self._rebalancer = Rebalancer(
            self._member,
            groups=self.groups,
            group_id=self.config.group_id,
            topics=self._topics,
            fetcher=self.fetcher,
            auto_commit=self._auto_commit,
            commits_settled=self._commits().settled,
            news=self._news,
            observer=self._store.observer,
        )

    async def assign(self, names: set[TopicPartition]) -> None:
        """Read these partitions and no others."""
        subscription = self.subscription.to_hand()
        for topic in {name.topic for name in names}:
            await get_or_create(self._topics, topic, self.config)
        added = names - self.fetcher.partitions
        new = [await self.lookups.partition(name) for name in sorted(added)]
        committed = {}
        if self.config.group_id is not None:
            keys = [(partition.topic_id, partition.index) for partition in new]
            committed = await self.groups.fetch_offsets(self.config.group_id, keys)
        self.poller.give_back()
        await self._auto_commit()
        self._check_open()
        self.subscription = subscription
        for name in self.fetcher.partitions - names:
            self.fetcher.remove(name)
        for partition in new:
            at = committed.get((partition.topic_id, partition.index))
            position = None if at is None else Position(at.offset, at.leader_epoch)
            self.fetcher.add(partition, position, by_group=False)

    async def let_go(self) -> None:
        """Stop reading, in good order."""
        self.poller.give_back()
        member, rebalancer = self._member, self._rebalancer
        listener = self.subscription.listener
        if member is None or rebalancer is None:
            await self._auto_commit()
            for name in self.fetcher.partitions:
                self.fetcher.remove(name)
            self.subscription = Subscription()
            return
        try:
            await rebalancer.revoke_all(listener)
        finally:
            self._ended = self._closing  # a commit from now on would not be a member's
            self.subscription = Subscription()
            self._member = self._rebalancer = None
            await rebalancer.close()
            await member.leave()

    async def close(self, timeout: float | None, *, failed: bool) -> None:
        """Let go of everything, and end.

        Args:
            timeout: seconds for good-byes.
            failed: whether the user never came back from the last records, for an exception came
                between: then they are not auto-committed.
        """
        self._failed = failed
        self._closing = True
        await self.poller.close()
        try:
            async with asyncio.timeout(timeout):
                await self.let_go()
                if self._committer is not None:
                    await self._committer.settled()
                    self._committer.run_callbacks()
        except (PartstreamError, TimeoutError) as error:
            _logger.warning("closing a consumer: %r", error)
        finally:
            if self._committer is not None:
                await self._committer.close()
            await self.fetcher.close()

    # Records.

    async def poll(self, most: int, timeout: float | None) -> list[Record]:
        """See `Poller.poll`."""
        self._check_reading(most)
        with self._not_late():
            return await self.poller.poll(most, timeout)

    async def fill(self, most: int, timeout: float | None) -> None:
        """See `Poller.fill`."""
        self._check_reading(most)
        with self._not_late():
            await self.poller.fill(most, timeout)

    def fill_at_once(self, most: int) -> bool:
        """As `fill` where nothing has to be waited for, else False: then `fill` has to be awaited.

        For a user on another thread: a task, and what it awaits, are several turns of the loop.
        """
        self._check_reading(most)
        if self._rebalancer is not None and self._rebalancer.has_work:
            return False
        with self._not_late():
            self._call_back()
            self._commit_if_due()
            return self.poller.fill_at_once(most)

    async def position(self, name: TopicPartition) -> int:
        """The offset of the next record, once it is known."""
        await self.fetcher.located(name)
        position = self.poller.position(name)
        assert position is not None
        return position.offset

    def seek(self, name: TopicPartition, to: Position | Reset) -> None:
        """Go on elsewhere."""
        self.fetcher.buffer(name)
        self.poller.give_back()
        self.poller.moved(name)
        if isinstance(to, Position):
            self.fetcher.seek(name, to)
        else:
            self.fetcher.seek(name, None, to)

    # Commits.

    async def commit(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None
    ) -> None:
        """Commit and wait."""
        committer = self._commits()
        committer.run_callbacks()
        await committer.commit(await self._asked_for(self._named(offsets)))
        committer.run_callbacks()

    async def commit_later(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None,
        callback: Callback | None,
    ) -> None:
        """Commit without waiting."""
        committer = self._commits()
        named = self._named(offsets)
        committer.commit_later(await self._asked_for(named), named, callback)

    async def committed(
        self, names: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """What the group has committed."""
        self._commits()
        assert self.config.group_id is not None
        keys = await self._keys(names)
        found = await self.groups.fetch_offsets(self.config.group_id, keys.values())
        return {name: found.get(key) for name, key in keys.items()}

    def _commits(self) -> Committer:
        if self._ended:
            raise ClosedClient("this consumer is closed")
        if self._committer is None:
            raise InvalidGroupId("committed offsets need a group_id")
        return self._committer

    def _named(self, offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None) -> Named:
        if offsets is not None:
            return positions_of(offsets)
        return {
            buffer.partition.name: OffsetAndMetadata(at.offset, "", at.leader_epoch)
            for buffer, at in self.poller.positions().items()
        }

    async def _asked_for(self, named: Named) -> dict[TopicIdPartition, OffsetAndMetadata]:
        """What a commit that the user asks for says, and that it was asked for."""
        keys = await self._keys(named)
        for name in named.keys() & self.fetcher.partitions:
            # Whatever becomes of it: no commit behind it may go back to less.
            self.poller.committed(name, Position(named[name].offset, named[name].leader_epoch))
        return {keys[name]: position for name, position in named.items()}

    async def _keys(
        self, names: Iterable[TopicPartition]
    ) -> dict[TopicPartition, TopicIdPartition]:
        """The ids of partitions: of those assigned the ones that are read, else the newest."""
        keys = {}
        assigned = self.fetcher.partitions
        for name in names:
            if name in assigned:
                partition = self.fetcher.buffer(name).partition
            else:
                partition = await self.lookups.partition(name)
            keys[name] = (partition.topic_id, partition.index)
        return keys

    # What happens while the user waits.

    async def _upkeep(self) -> float | None:
        rebalancer = self._rebalancer
        self._call_back()
        while rebalancer is not None and rebalancer.has_work:
            if not await rebalancer.step(self.subscription.listener):
                break
        return self._commit_if_due()

    def _call_back(self) -> None:
        if self._committer is not None:
            self._committer.run_callbacks()

    def _commit_if_due(self) -> float | None:
        """With auto-commit; seconds until it is time again."""
        committer = self._committer
        if committer is None or not self.config.enable_auto_commit:
            return None
        if not committer.due_in:
            committer.auto(self._positions())
        return committer.due_in

    async def _auto_commit(self) -> None:
        if self._committer is not None and self.config.enable_auto_commit:
            await self._committer.auto_now(self._positions(done_only=self._failed))

    def _positions(self, *, done_only: bool = False) -> dict[TopicIdPartition, OffsetAndMetadata]:
        return {
            (buffer.partition.topic_id, buffer.partition.index): OffsetAndMetadata(
                at.offset, "", at.leader_epoch
            )
            for buffer, at in self.poller.positions(done_only=done_only).items()
        }

    async def _make_sure_of(self, topic: str) -> None:
        """Create a topic that is not there, if that is allowed; else it may come later."""
        try:
            await get_or_create(self._topics, topic, self.config)
        except UnknownTopicOrPartition:
            _logger.warning("subscribed to topic %s, which does not exist", topic)

    def _check_open(self) -> None:
        if self._closing:
            raise ClosedClient("this consumer was closed meanwhile")

    def _check_reading(self, most: int) -> None:
        at_least(1, most, "max_records")
        self._check_open()
        if self.subscription.is_empty:
            raise IllegalState("this consumer is not subscribed to anything, nor assigned anything")

    @contextmanager
    def _not_late(self) -> Iterator[None]:
        """While it polls, the user is not late, however long there is nothing to read."""
        member = self._member
        if member is None:
            yield
            return
        member.enter_poll()
        try:
            yield
        finally:
            member.leave_poll()

    def _identity(self) -> Identity | None:
        return None if self._member is None else self._member.identity

    def _disown(self, identity: Identity, error: PartstreamError) -> None:
        if self._member is not None:
            self._member.disown(identity, error)

    def _hurry(self) -> None:
        if self._member is not None:
            self._member.hurry()

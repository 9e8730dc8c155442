"""The asyncio consumer: records of topics, in order within each partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from partstream.client.arguments import check_callback, seconds
from partstream.client.committer import Callback
from partstream.client.consumption import Consumption
from partstream.client.context import AsyncContext
from partstream.client.listener import RebalanceListener, check_listener
from partstream.client.positions import (
    Partitions,
    Position,
    by_partition,
    partition_of,
    partitions_of,
    position_of,
)
from partstream.client.session import Session
from partstream.config.build import load
from partstream.config.consumer import ConsumerConfig
from partstream.errors import IllegalState, InvalidGroupId
from partstream.model import (
    OffsetAndMetadata,
    OffsetAndTimestamp,
    Record,
    TopicPartition,
)

_CLOSE_S = 30.0


class Consumer(AsyncContext):
    """Reads records of topics, each partition in its order.

    Use it as `async with Consumer(url, group_id="billing") as consumer`, or call `start()` and
    `close()`. Then `await consumer.subscribe(["orders"])` to share the topics with the other
    members of the group, or `await consumer.assign(...)` to read partitions of one's own choice;
    and `async for record in consumer`, or `await consumer.poll()` for lists of records.

    Configs are those of `ConsumerConfig`. One task at a time may poll or iterate.

    Every method raises IllegalState before `start`, ClosedClient after `close`, and ForkedClient in
    another process than the one that made the consumer. Where partitions are arguments, each may be
    a TopicPartition or a collection of them. An argument that is none raises IllegalState, too.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Check the configs; nothing is connected before `start`.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.

        Raises:
            ConfigError: a key or value is not valid.
        """
        self.config = load(ConsumerConfig, {"url": url, **config})
        self._session = Session(self.config, "consumer")
        self._opened: Consumption | None = None
        self._closing = False
        self._run: Iterator[Record] = iter(())

    async def start(self) -> Self:
        """Connect.

        Raises:
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        if not self._session.started:
            session = self._session
            await session.open()
            self._opened = Consumption(session.store, session.topics, session.groups, self.config)
        return self

    @property
    def opened(self) -> Consumption:
        """The parts of a consumer that was started: for its blocking twin."""
        self._session.check()
        if self._opened is None:
            raise IllegalState("this consumer was not started: use `async with`, or start()")
        return self._opened

    # What to read.

    async def subscribe(
        self,
        topics: Iterable[str] | str = (),
        *,
        pattern: str | None = None,
        listener: RebalanceListener | None = None,
    ) -> None:
        """Share topics with the other members of the group, in place of those before.

        The group gives this consumer its partitions while it polls.

        Args:
            topics: names; one that does not exist is created if allow_auto_create_topics is on,
                and else read once it is there. None at all: `unsubscribe`.
            pattern: in place of `topics`, a regular expression that matches whole names of
                topics, now and later.
            listener: told of partitions that come and go.

        Raises:
            InvalidGroupId: the consumer has no group_id.
            InvalidTopic, InvalidRegularExpression: as they say.
            IllegalState: partitions were assigned by hand, or topics and a pattern are given.
        """
        opened = self.opened
        check_listener(listener)
        if self.config.group_id is None:
            raise InvalidGroupId("subscribe needs a group_id; without a group, use assign")
        if pattern is None:
            subscription = opened.subscription.to_topics(topics, listener)
        elif not topics:
            subscription = opened.subscription.to_pattern(pattern, listener)
        else:
            raise IllegalState("subscribe takes either topics or a pattern")
        if subscription.is_empty:
            await opened.let_go()
        else:
            await opened.subscribe(subscription)

    async def unsubscribe(self) -> None:
        """Read nothing, and leave the group: its other members get the partitions."""
        await self.opened.let_go()

    async def assign(self, *partitions: Partitions) -> None:
        """Read these partitions, in place of those before; no group has a say in it.

        Reading begins at the offset that `group_id` has committed, or without one as
        auto_offset_reset says. A partition that was assigned before goes on where it is.

        Raises:
            IllegalState: the consumer is subscribed.
            UnknownTopicOrPartition, InvalidTopic: there is no such partition.
        """
        opened = self.opened
        names = set(partitions_of(partitions))
        if names:
            await opened.assign(names)
        else:
            await opened.let_go()

    def subscription(self) -> frozenset[str]:
        """The topics subscribed to by name."""
        return frozenset(self.opened.subscription.topics)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are read now."""
        return frozenset(self.opened.fetcher.partitions)

    # Records.

    async def poll(
        self, max_records: int | None = None, timeout: float | None = 0.0
    ) -> list[Record]:
        """The next records; an empty list if there are none within `timeout` seconds.

        Returns as soon as there is one. The position is then behind the last one returned.

        Args:
            max_records: the most that are returned; by default max_poll_records.
            timeout: seconds; None waits for ever.

        Raises:
            IllegalState: nothing is subscribed to or assigned, or another task polls.
            Wakeup: `wakeup` was called.
            NoOffsetForPartition, OffsetOutOfRange, LogTruncation: auto_offset_reset is none, and
                it is not clear where to go on; `seek` says so.
            CorruptRecord, SerializationError: a batch or record cannot be read; `seek` skips it.
            UnknownTopicOrPartition: the topic of an assigned partition was deleted.
            FencedInstanceId, UnreleasedInstanceId, ...: the group refuses this consumer.
        """
        most = self.config.max_poll_records if max_records is None else max_records
        return await self.opened.poll(most, seconds(timeout))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        """The next record, waiting for it for ever. The position is then behind it."""
        while True:
            for record in self._run:
                return record
            opened = self.opened
            run = opened.poller.next_run()
            if run is None:
                await opened.fill(self.config.max_poll_records, None)
                run = opened.poller.next_run() or iter(())
            self._run = run

    def wakeup(self) -> None:
        """Have the poll that is waiting, or else the next one, raise Wakeup."""
        self.opened.poller.wake()

    # Positions.

    async def partitions_for(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnknownTopicOrPartition, InvalidTopic: there is no such topic.
        """
        self._session.check()
        return len((await self._session.topics.get(topic)).partitions)

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the next record; waits until it is known where to begin.

        Raises:
            IllegalState: the partition is not assigned to this consumer.
            NoOffsetForPartition, ...: it cannot be known.
        """
        return await self.opened.position(partition_of(partition))

    def seek(self, partition: TopicPartition, offset: int | OffsetAndMetadata) -> None:
        """Go on with another offset; what comes from `commit` fits, too.

        Raises:
            IllegalState: the partition is not assigned to this consumer, or the offset is none.
        """
        name = partition_of(partition)
        position = position_of(name, offset)
        self.opened.seek(name, Position(position.offset, position.leader_epoch))

    def seek_to_beginning(self, *partitions: Partitions) -> None:
        """Go on with the first record that there is; without arguments in all partitions."""
        for name in self._assigned(partitions):
            self.opened.seek(name, "earliest")

    def seek_to_end(self, *partitions: Partitions) -> None:
        """Go on behind the last record; without arguments in all partitions."""
        for name in self._assigned(partitions):
            self.opened.seek(name, "latest")

    async def seek_to_timestamp(self, timestamp_ms: int, *partitions: Partitions) -> None:
        """Go on with the first record at or after a time, or at the end if there is none.

        Args:
            timestamp_ms: milliseconds since 1970.
            partitions: without any, all.
        """
        opened = self.opened
        names = self._assigned(partitions)
        found = await opened.lookups.for_times(dict.fromkeys(names, timestamp_ms))
        for name, at in found.items():
            opened.seek(name, "latest" if at is None else Position(at.offset))

    def pause(self, *partitions: Partitions) -> None:
        """Return no records of these partitions until `resume`; what was fetched is kept."""
        opened = self.opened
        opened.poller.give_back()
        for name in self._assigned(partitions):
            opened.fetcher.pause(name)

    def resume(self, *partitions: Partitions) -> None:
        """Return records of these partitions again."""
        for name in self._assigned(partitions):
            self.opened.fetcher.resume(name)

    def paused(self) -> frozenset[TopicPartition]:
        """The partitions that are paused."""
        return frozenset(
            buffer.partition.name for buffer in self.opened.fetcher.buffers() if buffer.paused
        )

    # Commits.

    async def commit(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None = None
    ) -> None:
        """Commit, and wait until that is done.

        Args:
            offsets: per partition the offset to go on with (that of the last record, plus 1). By
                default all positions: behind every record that was handed out, the current one of
                an iteration included.

        Raises:
            InvalidGroupId: the consumer has no group_id.
            CommitFailed: the group has given the partitions to another member.
            OffsetMetadataTooLarge: metadata of more than 4,096 bytes.
            StoreUnavailable: no answer within request_timeout_ms.
        """
        await self.opened.commit(offsets)

    async def commit_async(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int] | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Commit without waiting for it to be done.

        Args:
            offsets: as for `commit`.
            callback: called with the offsets, and None or what went wrong, within a later call of
                `poll`, `commit` or `close`. Without one, failures are logged.

        Raises:
            InvalidGroupId: the consumer has no group_id.
        """
        check_callback(callback, "callback")
        await self.opened.commit_later(offsets, callback)

    async def committed(
        self, *partitions: Partitions
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """The committed offsets of the group; None where there is none. By default all assigned.

        Raises:
            InvalidGroupId: the consumer has no group_id.
            UnknownTopicOrPartition: there is no such partition.
        """
        return await self.opened.committed(self._these(partitions))

    # Where logs begin and end.

    async def beginning_offsets(self, *partitions: Partitions) -> dict[TopicPartition, int]:
        """The first offset that each partition still has. By default all assigned ones."""
        found = await self.opened.lookups.bounds(self._these(partitions))
        return {name: bounds.start for name, bounds in found.items()}

    async def end_offsets(self, *partitions: Partitions) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will have. By default all assigned."""
        found = await self.opened.lookups.bounds(self._these(partitions))
        return {name: bounds.end for name, bounds in found.items()}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record at or after a time (ms since 1970); None where there is none."""
        return await self.opened.lookups.for_times(by_partition(times, "times"))

    async def lag(self, *partitions: Partitions) -> dict[TopicPartition, int]:
        """How many records there are behind the position. By default all assigned partitions.

        Raises:
            IllegalState: a partition is not assigned to this consumer.
        """
        names = self._assigned(partitions)
        ends = await self.opened.lookups.bounds(names)
        return {name: max(0, ends[name].end - await self.position(name)) for name in names}

    # The end.

    async def close(self, timeout: float | None = _CLOSE_S) -> None:
        """Commit (with enable_auto_commit), leave the group and disconnect.

        A poll that waits in another task ends with ClosedClient. Static members (with a
        group_instance_id) keep their partitions for session_timeout_ms, so that they may restart.

        Args:
            timeout: seconds for the good-byes; after that it just disconnects.
        """
        await self._close(seconds(timeout), failed=False)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close_after(error)

    async def close_after(self, error: BaseException | None) -> None:
        """Close as a `with` statement does: if it failed, what it was at is not auto-committed."""
        await self._close(_CLOSE_S, failed=error is not None)

    async def _close(self, timeout: float | None, *, failed: bool) -> None:
        if self._closing:
            return
        self._closing = True
        try:
            if self._opened is not None:
                await self._opened.close(timeout, failed=failed)
        finally:
            await self._session.close()

    def _assigned(self, partitions: Iterable[Partitions]) -> list[TopicPartition]:
        """These partitions, or all; each is assigned, or IllegalState says which one is not."""
        names = self._these(partitions)
        for name in names:
            self.opened.fetcher.buffer(name)
        return names

    def _these(self, partitions: Iterable[Partitions]) -> list[TopicPartition]:
        return partitions_of(partitions) if partitions else sorted(self.opened.fetcher.partitions)

"""The asyncio admin client: topics, their configs and records, groups, and the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from partstream.client.arguments import check_callback, topic_names
from partstream.client.context import AsyncContext
from partstream.client.group_offsets import GroupOffsets
from partstream.client.lasting import Lasting
from partstream.client.positions import by_partition, partitions_of
from partstream.client.session import Session
from partstream.config import AdminConfig, load
from partstream.config.group import GroupLimits
from partstream.config.numbers import is_whole
from partstream.engine.cluster import describe_cluster
from partstream.engine.compaction.cleaner import OnProgress, compact
from partstream.engine.descriptions import describe_topic, listing
from partstream.engine.doctor.examine import examine
from partstream.engine.doctor.probe import gather_facts
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.log import Log
from partstream.engine.offset_specs import list_offset
from partstream.engine.retention import Swept, sweep
from partstream.errors import ClientTimeout, InvalidRequest
from partstream.model import (
    ClusterDescription,
    Compacted,
    Finding,
    GroupDescription,
    GroupListing,
    OffsetAndMetadata,
    OffsetAndTimestamp,
    OffsetChange,
    OffsetSpec,
    ResetSpec,
    TopicDescription,
    TopicListing,
    TopicPartition,
)

Call = ParamSpec("Call")
Answer = TypeVar("Answer")


def _call(
    method: Callable[Concatenate[Admin, Call], Awaitable[Answer]],
) -> Callable[Concatenate[Admin, Call], Coroutine[Any, Any, Answer]]:
    """An API call: it may take `default_api_timeout_ms`, all its requests together."""

    @wraps(method)
    async def within_timeout(admin: Admin, /, *args: Call.args, **kwargs: Call.kwargs) -> Answer:
        timeout_ms = admin.config.default_api_timeout_ms
        timeout = asyncio.timeout(timeout_ms / 1000)
        try:
            async with timeout:
                return await method(admin, *args, **kwargs)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise ClientTimeout(
                f"{method.__name__} did not finish within default_api_timeout_ms={timeout_ms}"
            ) from error

    return within_timeout


class Admin(AsyncContext):
    """Creates, describes, changes and deletes topics and groups.

    Every call raises StoreUnavailable if Redis cannot be reached, ClientTimeout if it takes longer
    than `default_api_timeout_ms`, and ClosedClient once the client is closed. What goes through
    whole logs (`maintain`, `compact_topic`) takes as long as it takes.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Prepare a client; `async with` or `start` connects it.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.
            config: see `AdminConfig`.

        Raises:
            ConfigError: a key or a value is refused; the message names it.
        """
        self.config = load(AdminConfig, {"url": url, **config})
        self._session = Session(self.config, "admin client")
        self._lasting = Lasting()

    async def start(self) -> Self:
        """Connect.

        Raises:
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        await self._session.open()
        return self

    async def close(self) -> None:
        """Disconnect; what was done stays done."""
        await self._lasting.end()
        await self._session.close()

    # Topics.

    @_call
    async def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, object] | None = None
    ) -> TopicListing:
        """Create a topic.

        Args:
            name: 1 to 249 ASCII letters, digits, `.`, `_` or `-`.
            partitions: how many; there can be more later, never fewer.
            config: topic configs by Kafka's names (`retention.ms`), or `partstream.partitioner`.

        Raises:
            InvalidTopic, InvalidPartitions, InvalidConfig: as they say; nothing was created.
            TopicAlreadyExists: there is one of that name, or it is Kafka's own
                (`__consumer_offsets`, `__transaction_state`, `__share_group_state`).
            InvalidRequest: `__cluster_metadata`, which Kafka has for its controllers.
        """
        return listing(await self._session.topics.create(name, partitions, config))

    @_call
    async def delete_topic(self, name: str) -> None:
        """Delete a topic with all its records. Offsets that groups committed for it stay.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
        """
        await self._session.topics.delete(name)

    @_call
    async def list_topics(self) -> list[TopicListing]:
        """All topics, in order of their names."""
        topics = await self._session.topics.all()
        return [listing(topic) for topic in topics.values()]

    @_call
    async def describe_topic(self, name: str) -> TopicDescription:
        """A topic: its configs, and where and how large each partition is.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
        """
        return await self._describe_topic(name)

    @_call
    async def describe_topics(
        self, names: Iterable[str] | None = None
    ) -> dict[str, TopicDescription]:
        """Several topics; without names all of them.

        Raises:
            UnknownTopicOrPartition: one of them does not exist.
        """
        found = await self._session.topics.all() if names is None else topic_names(names)
        return {name: await self._describe_topic(name) for name in found}

    @_call
    async def create_partitions(self, name: str, partitions: int) -> TopicListing:
        """Let a topic grow to `partitions`. Keys move: the hash is taken modulo their number.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidPartitions: it has as many or more already.
        """
        return listing(await self._session.topics.grow(name, partitions))

    @_call
    async def describe_config(self, name: str) -> dict[str, str]:
        """All configs of a topic by Kafka's names, defaults included.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
        """
        topic = await self._session.topics.get(name, fresh=True)
        return topic.config.as_strings()

    @_call
    async def alter_config(self, name: str, changes: Mapping[str, object | None]) -> dict[str, str]:
        """Change configs of a topic, and leave the others; None puts one back to its default.

        Returns:
            All configs as they are now.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidConfig: a name or a value is refused; nothing was changed.
        """
        return (await self._session.topics.alter(name, changes)).config.as_strings()

    # Records.

    @_call
    async def delete_records(
        self, offsets: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Delete the records below an offset in each partition; -1 is all there are (KIP-107).

        Returns:
            The first offset that is left, for each partition.

        Raises:
            OffsetOutOfRange: a partition has no such offset.
            InvalidRequest: an offset is no number.
            UnknownTopicOrPartition: there is no such partition.
        """
        wanted = by_partition(offsets, "offsets")
        for name, offset in wanted.items():
            if not is_whole(offset):
                raise InvalidRequest(f"offset {offset!r:.100} of {name}: expected a whole number")
        partitions = {name: await self._offsets.partition(name) for name in wanted}
        log = Log(self._session.store)
        return {
            name: await log.delete_records(partition, wanted[name])
            for name, partition in partitions.items()
        }

    @_call
    async def list_offsets(
        self, specs: Mapping[TopicPartition, OffsetSpec]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The offsets at the start, at the end, or at a time of each partition (ListOffsets).

        Args:
            specs: for each partition `"earliest"`, `"latest"`, a datetime, or milliseconds since
                1970: the first record at or after it.

        Returns:
            For each partition the offset, or None if no record is as late as the time.

        Raises:
            UnknownTopicOrPartition: there is no such partition.
        """
        store = self._session.store
        log = Log(store)
        wanted = by_partition(specs, "specs")
        partitions = {name: await self._offsets.partition(name) for name in wanted}
        found = await asyncio.gather(
            *(
                list_offset(store, log, partition, wanted[name])
                for name, partition in partitions.items()
            )
        )
        return dict(zip(partitions, found, strict=True))

    # Groups.

    @_call
    async def list_groups(self) -> list[GroupListing]:
        """All groups, in order of their ids."""
        return await self._groups.list()

    @_call
    async def describe_group(self, group_id: str) -> GroupDescription:
        """A group: its members, what they own, and how far behind it is in each partition.

        Raises:
            GroupIdNotFound: there is no such group.
        """
        return await self._offsets.with_lags(await self._groups.describe(group_id))

    @_call
    async def alter_group_config(
        self, group_id: str, changes: Mapping[str, object | None]
    ) -> dict[str, str]:
        """Set configs for one group, whether or not it exists yet; None: one is not set any more.

        They go before what its members' clients and gateways are configured to, and stay when the
        group is deleted.

        Args:
            group_id: the group.
            changes: by Kafka's names: `consumer.session.timeout.ms`,
                `consumer.heartbeat.interval.ms`, `consumer.assignment.interval.ms`.

        Returns:
            All that is set for the group now, as `describe_group` shows it.

        Raises:
            InvalidGroupId: a group cannot be called so.
            InvalidConfig: a name or a value is refused; nothing was changed.
        """
        return (await self._groups.configs.alter(group_id, changes, GroupLimits())).overrides()

    @_call
    async def delete_group(self, group_id: str) -> None:
        """Delete a group and the offsets it has committed.

        Raises:
            GroupIdNotFound: there is no such group.
            NonEmptyGroup: it has members.
        """
        await self._groups.delete(group_id)

    @_call
    async def list_group_offsets(self, group_id: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """What a group has committed; empty if it does not exist."""
        return await self._offsets.committed(group_id)

    @_call
    async def reset_offsets(
        self,
        group_id: str,
        to: ResetSpec | None = None,
        *,
        shift_by: int | None = None,
        topics: Iterable[str] | None = None,
        partitions: Iterable[TopicPartition] | None = None,
        dry_run: bool = False,
    ) -> list[OffsetChange]:
        """Set a group's offsets to the log's start or end, an offset, or a time, or shift them.

        Offsets that a partition does not have become its nearest one, as with Kafka's own tool.

        Args:
            to: `"earliest"`, `"latest"`, an offset, or a datetime: the first record at or after
                it, or the end if there is none.
            shift_by: instead of `to`: so many records forward, or back if negative.
            topics: all partitions of these. Default: every partition with a committed offset.
            partitions: these partitions, beside those of `topics`.
            dry_run: only say what would change.

        Returns:
            The offset of each partition before and after.

        Raises:
            NonEmptyGroup: the group has members; nothing was changed. Not with `dry_run`.
            UnknownTopicOrPartition, InvalidRequest: as they say.
        """
        names: list[TopicPartition] | None = None
        if topics is not None or partitions is not None:
            names = await self._offsets.of_topics(topic_names(topics or ()))
            names += partitions_of([partitions or ()])
        changes = await self._offsets.plan_reset(group_id, names, to, shift_by)
        if not dry_run:
            await self._offsets.alter(
                group_id, {change.partition: change.after for change in changes}
            )
        return changes

    @_call
    async def alter_group_offsets(
        self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata | int]
    ) -> None:
        """Set committed offsets as given, also such as the log does not have (yet).

        Raises:
            IllegalState: an offset is negative, or no number.
            NonEmptyGroup: the group has members.
            UnknownTopicOrPartition: there is no such partition.
        """
        await self._offsets.alter(group_id, offsets)

    @_call
    async def delete_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> None:
        """Forget committed offsets.

        Raises:
            GroupIdNotFound: there is no such group.
            GroupSubscribedToTopic: members subscribe to one of the topics.
        """
        await self._offsets.delete(group_id, partitions)

    # The deployment.

    @_call
    async def describe_cluster(self) -> ClusterDescription:
        """The Redis servers behind this client: what they hold, their memory, their replicas."""
        return await describe_cluster(self._session.store, self._session.topics)

    async def maintain(self) -> Swept:
        """Do now what clients do every `log_retention_check_interval_ms`: retention and upkeep."""
        return await self._lasting.run(
            sweep(
                self._session.store,
                self._session.topics,
                producer_id_expiration_ms=self.config.producer_id_expiration_ms,
                expire_offsets=partial(
                    self._groups.expire_offsets, self.config.offsets_retention_ms
                ),
            )
        )

    async def compact_topic(
        self, name: str, *, on_progress: OnProgress | None = None
    ) -> dict[int, Compacted | None]:
        """Clean a compacted topic now, as clients do it by and by; partition -> what was done.

        The segment being written is left alone, and what is younger than min.compaction.lag.ms.
        Another client that is at it is waited for, half a minute at most if it has died. None:
        there was nothing to clean. `on_progress` is told of a partition's number and how far it is.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidConfig: it is not compacted.
            CorruptRecord: a batch cannot be read, and so the partition not be cleaned.
            ClosedClient: the client was closed meanwhile.
        """
        check_callback(on_progress, "on_progress")
        store, topics = self._session.store, self._session.topics
        return await self._lasting.run(
            compact(store, await topics.get(name, fresh=True), on_progress)
        )

    @_call
    async def doctor(self) -> list[Finding]:
        """What of the servers' set-up and of the topics can lose data, the worst first.

        What a server refuses to tell becomes a finding, too.
        """
        return examine(await gather_facts(self._session.store, self._session.topics))

    @property
    def _groups(self) -> ConsumerGroups:
        return self._session.groups

    @property
    def _offsets(self) -> GroupOffsets:
        return GroupOffsets(self._session.store, self._session.topics, self._groups)

    async def _describe_topic(self, name: str) -> TopicDescription:
        topic = await self._session.topics.get(name, fresh=True)
        store = self._session.store
        return await describe_topic(store, Log(store), topic)

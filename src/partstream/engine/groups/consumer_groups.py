"""Everything about consumer groups in one place: membership, offsets, and the admin's view."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from partstream.engine.groups.answers import Snapshot
from partstream.engine.groups.calls import NO_UPGRADE
from partstream.engine.groups.classic_calls import CLASSIC
from partstream.engine.groups.classic_groups import ClassicGroups
from partstream.engine.groups.classic_views import classic_state, described
from partstream.engine.groups.configs import GroupConfigs
from partstream.engine.groups.coordinator import Heartbeat, Membership, Times
from partstream.engine.groups.mixed import ClassicMembers
from partstream.engine.groups.offsets import OUTSIDER, RETENTION_MS, Offsets
from partstream.engine.topics import Topics
from partstream.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    IllegalGeneration,
    InconsistentGroupProtocol,
    NonEmptyGroup,
    UnknownMemberId,
    from_code,
)
from partstream.groups.assignors import DEFAULT_ASSIGNOR
from partstream.groups.classic import Phase
from partstream.groups.classic_events import NONE, Limits
from partstream.groups.classic_protocol import CONSUMER
from partstream.groups.consumer import group_state
from partstream.groups.migration import Policy
from partstream.groups.requests import MAX_METADATA, HeartbeatRequest, check_group_id
from partstream.groups.rows import (
    NOTHING,
    Partitions,
    TopicIdPartition,
    decode_partitions,
)
from partstream.model import (
    GroupDescription,
    GroupListing,
    GroupState,
    MemberDescription,
    OffsetAndMetadata,
    TopicPartition,
)
from partstream.store.store import Store

_ATTEMPTS = 5
"""How often a classic group may change while it is about to become a consumer group."""


class ConsumerGroups(Membership):
    """The consumer groups of a namespace. Partitions are named by topic id throughout."""

    def __init__(
        self,
        store: Store,
        topics: Topics,
        *,
        max_size: int = 0,
        max_metadata: int = MAX_METADATA,
        classic: Limits | None = None,
        migration: Policy = Policy.BIDIRECTIONAL,
        assignment_interval_ms: int = 0,
    ) -> None:
        """`max_size`: the most members of a group, Kafka's group.consumer.max.size; 0: no limit.

        `max_metadata`: the most bytes that may be committed with an offset, Kafka's
        offset.metadata.max.bytes.

        `classic`: what classic groups are configured to; None: Kafka's defaults.
        `migration`: which ways groups may go that have members.

        `assignment_interval_ms`: how long after an assignment the next one is made, Kafka's
        group.consumer.assignment.interval.ms; 0: as soon as there is reason to.
        """
        super().__init__(
            store, topics, max_size=max_size, assignment_interval_ms=assignment_interval_ms
        )
        self.configs = GroupConfigs(store, self.calls)
        limits = classic or Limits()
        self._topics = topics
        self._offsets = Offsets(store, self.calls, max_metadata)
        self._migration = migration
        self._mixed = ClassicMembers(self, migration, limits)
        self.classic = ClassicGroups(store, self.calls, self._mixed, limits)

    async def _join(
        self,
        request: HeartbeatRequest,
        times: Times,
        incarnation: int,
        upgrade: Sequence[str | int] = NO_UPGRADE,
    ) -> Heartbeat:
        for _ in range(_ATTEMPTS):
            with suppress(InconsistentGroupProtocol):
                return await super()._join(request, times, incarnation, upgrade)
            # A classic group with members, or with some that nobody has missed yet.
            upgrade = await self.classic.upgrade(request.group_id, self._migration, self.max_size)
        return await super()._join(request, times, incarnation, upgrade)

    async def _only_classics(self, group_id: str) -> None:
        await self._mixed.downgrade(group_id)

    async def commit(
        self,
        group_id: str,
        offsets: Mapping[TopicIdPartition, OffsetAndMetadata],
        *,
        member_id: str = "",
        member_epoch: int = OUTSIDER,
        incarnation: int | None = None,
        instance_id: str | None = None,
    ) -> None:
        """Commit offsets, all or none: see `Offsets.commit`."""

        async def commit() -> None:
            await self._offsets.commit(
                group_id,
                offsets,
                member_id=member_id,
                member_epoch=member_epoch,
                incarnation=incarnation,
                instance_id=instance_id,
            )

        try:
            await commit()
        except IllegalGeneration:
            code = await self.classic.commit_error(group_id, member_id, member_epoch, instance_id)
            if code not in (NONE, IllegalGeneration.code):
                raise from_code(code, f"group {group_id!r}, member {member_id!r}") from None
            if code != NONE:
                raise
            await commit()
        except UnknownMemberId:
            # Classic members may have ended without anybody noticing yet.
            if member_epoch >= 0 or not await self.classic.is_empty(group_id):
                raise
            await commit()

    async def fetch_offsets(
        self, group_id: str, partitions: Iterable[TopicIdPartition] | None = None
    ) -> dict[TopicIdPartition, OffsetAndMetadata]:
        """Committed offsets: of these partitions, or all; those without one are left out.

        A negative one, which clients of Kafka can commit, is none.
        """
        found = await self._offsets.fetch(group_id, partitions)
        return {partition: at for partition, at in found.items() if at.offset >= 0}

    async def fetch_committed(
        self, group_id: str, partitions: Iterable[TopicIdPartition] | None = None
    ) -> dict[TopicIdPartition, OffsetAndMetadata]:
        """As `fetch_offsets`, but whatever was committed, also where it is negative."""
        return await self._offsets.fetch(group_id, partitions)

    async def reset(
        self, group_id: str, offsets: Mapping[TopicIdPartition, OffsetAndMetadata]
    ) -> None:
        """Set the offsets of a group that has no members.

        Raises:
            NonEmptyGroup: it has members.
        """
        await self._offsets.reset(group_id, offsets)

    async def delete_offsets(self, group_id: str, partitions: Collection[TopicIdPartition]) -> None:
        """Forget committed offsets of topics that no member subscribes to.

        Raises:
            GroupIdNotFound: there is no such group.
            GroupSubscribedToTopic: members subscribe to one of the topics.
        """
        check_group_id(group_id)
        group = await self.calls.describe(group_id)
        if group.exists and group.type == CLASSIC:
            await self._check_unused(group_id, partitions)
        await self._offsets.delete(group_id, partitions, await self.assigner.catalog())

    async def _check_unused(self, group_id: str, partitions: Collection[TopicIdPartition]) -> None:
        """Make sure that no member of a classic group subscribes to these topics."""
        described = await self.classic.describe(group_id)
        if not described.members:
            return
        if described.group.protocol_type != CONSUMER:
            raise NonEmptyGroup(
                f"group {group_id!r} has members, which subscribe to who knows what"
            )
        subscribed = described.subscribed()
        names = {topic.id: name for name, topic in (await self._topics.all()).items()}
        for topic_id, _ in partitions:
            name = names.get(topic_id)
            if subscribed is None or name in subscribed:
                raise GroupSubscribedToTopic(f"group {group_id!r} is subscribed to topic {name!r}")

    async def expire_offsets(self, retention_ms: int = RETENTION_MS) -> int:
        """Forget the offsets of groups without members for that long; says how many.

        Default 7 days, as Kafka.
        """
        return await self._offsets.expire(retention_ms, self.classic.look)

    async def delete(self, group_id: str) -> None:
        """Delete a group that has no members, its offsets with it.

        Raises:
            GroupIdNotFound: there is no such group.
            NonEmptyGroup: it has members.
        """
        check_group_id(group_id)
        try:
            await self._offsets.delete_group(group_id)
        except NonEmptyGroup:
            if not await self.classic.is_empty(group_id):
                raise
            await self._offsets.delete_group(group_id)

    async def list(self) -> list[GroupListing]:
        """Every group, in the order of their ids."""
        ids = sorted(await self.calls.listed())
        found = await asyncio.gather(*map(self._listing, ids))
        return [group for group in found if group is not None]

    async def _listing(self, group_id: str) -> GroupListing | None:
        group = await self.calls.describe(group_id)
        if not group.exists:
            return None
        if group.type != CLASSIC:
            return GroupListing(group_id, group.type, _state(group))
        classic = group.classic()
        if classic.phase != Phase.EMPTY:
            classic = await self.classic.look(group_id)  # members may be gone that nobody missed
        return GroupListing(group_id, CLASSIC, classic_state(classic), classic.protocol_type or "")

    async def close(self) -> None:
        """End what is under way. The store stays open."""
        await self.classic.close()
        await super().close()

    async def describe(self, group_id: str) -> GroupDescription:
        """A group and its members; `lags` is left empty.

        Raises:
            GroupIdNotFound: there is no such group.
        """
        check_group_id(group_id)
        group = await self.calls.describe(group_id)
        if not group.exists:
            raise GroupIdNotFound(f"group {group_id!r} does not exist")
        if group.type == CLASSIC:
            found = described(group_id, await self.classic.describe(group_id))
            return replace(found, configs=group.configs.overrides())
        names = {topic.id: name for name, topic in (await self._topics.all()).items()}
        return GroupDescription(
            group_id,
            group.type,
            _state(group),
            int(group.fields["epoch"]),
            int(group.fields["target_epoch"]),
            group.fields.get("assignor", DEFAULT_ASSIGNOR),
            tuple(_member(group, member_id, names) for member_id in sorted(group.rows)),
            configs=group.configs.overrides(),
        )


def _state(group: Snapshot) -> GroupState:
    epoch, target_epoch = int(group.fields["epoch"]), int(group.fields["target_epoch"])
    return group_state(epoch, target_epoch, group.rows.values())


def _member(group: Snapshot, member_id: str, names: Mapping[str, str]) -> MemberDescription:
    subscription, row = group.subscriptions[member_id], group.rows[member_id]
    target = group.targets.get(member_id)
    return MemberDescription(
        member_id,
        subscription.instance_id,
        subscription.client_id,
        subscription.host,
        row.epoch,
        subscription.topics,
        subscription.regex,
        _named(row.assigned | row.revoking, names),
        _named(decode_partitions(target) if target else NOTHING, names),
        subscription.rack,
        CLASSIC if f"c:{member_id}" in group.fields else CONSUMER,
    )


def _named(partitions: Partitions, names: Mapping[str, str]) -> tuple[TopicPartition, ...]:
    """By the names of their topics; partitions of deleted topics are left out."""
    return tuple(
        sorted(TopicPartition(names[topic], n) for topic, n in partitions if topic in names)
    )

"""Everything about consumer groups in one place: membership, offsets, and the admin's view."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from partstream.engine.groups.calls import Snapshot
from partstream.engine.groups.coordinator import Membership
from partstream.engine.groups.offsets import OUTSIDER, RETENTION_MS, Offsets
from partstream.engine.topics import Topics
from partstream.errors import GroupIdNotFound
from partstream.groups.assignors import DEFAULT_ASSIGNOR
from partstream.groups.consumer import group_state
from partstream.groups.requests import check_group_id
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


class ConsumerGroups(Membership):
    """The consumer groups of a namespace. Partitions are named by topic id throughout."""

    def __init__(self, store: Store, topics: Topics, *, max_size: int = 0) -> None:
        """`max_size`: the most members of a group, Kafka's group.consumer.max.size; 0: no limit."""
        super().__init__(store, topics, max_size=max_size)
        self._topics = topics
        self._offsets = Offsets(store, self.calls)

    async def commit(
        self,
        group_id: str,
        offsets: Mapping[TopicIdPartition, OffsetAndMetadata],
        *,
        member_id: str = "",
        member_epoch: int = OUTSIDER,
        incarnation: int | None = None,
    ) -> None:
        """Commit offsets, all or none: see `Offsets.commit`."""
        await self._offsets.commit(
            group_id,
            offsets,
            member_id=member_id,
            member_epoch=member_epoch,
            incarnation=incarnation,
        )

    async def fetch_offsets(
        self, group_id: str, partitions: Iterable[TopicIdPartition] | None = None
    ) -> dict[TopicIdPartition, OffsetAndMetadata]:
        """Committed offsets: of these partitions, or all; those without one are left out."""
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
        await self._offsets.delete(group_id, partitions, await self._assigner.catalog())

    async def expire_offsets(self, retention_ms: int = RETENTION_MS) -> int:
        """Forget the offsets of groups without members for that long; says how many."""
        return await self._offsets.expire(retention_ms)

    async def delete(self, group_id: str) -> None:
        """Delete a group that has no members, its offsets with it.

        Raises:
            GroupIdNotFound: there is no such group.
            NonEmptyGroup: it has members.
        """
        check_group_id(group_id)
        await self._offsets.delete_group(group_id)

    async def list(self) -> list[GroupListing]:
        """Every group, in the order of their ids."""
        ids = sorted(await self.calls.listed())
        groups = await asyncio.gather(*(self.calls.describe(group_id) for group_id in ids))
        return [
            GroupListing(group_id, group.type, _state(group))
            for group_id, group in zip(ids, groups, strict=True)
            if group.exists
        ]

    async def describe(self, group_id: str) -> GroupDescription:
        """A group and its members; `lags` is left empty.

        Raises:
            GroupIdNotFound: there is no such group.
        """
        check_group_id(group_id)
        group = await self.calls.describe(group_id)
        if not group.exists:
            raise GroupIdNotFound(f"group {group_id!r} does not exist")
        names = {topic.id: name for name, topic in (await self._topics.all()).items()}
        return GroupDescription(
            group_id,
            group.type,
            _state(group),
            int(group.fields["epoch"]),
            int(group.fields["target_epoch"]),
            group.fields.get("assignor", DEFAULT_ASSIGNOR),
            tuple(_member(group, member_id, names) for member_id in sorted(group.rows)),
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
    )


def _named(partitions: Partitions, names: Mapping[str, str]) -> tuple[TopicPartition, ...]:
    """By the names of their topics; partitions of deleted topics are left out."""
    return tuple(
        sorted(TopicPartition(names[topic], n) for topic, n in partitions if topic in names)
    )

"""Committed offsets: written by a group's members, or from outside while it has none."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from partstream.engine.groups.calls import GroupCalls
from partstream.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    NonEmptyGroup,
    UnknownMemberId,
)
from partstream.groups.classic import encode_instance
from partstream.groups.consumer import Catalog, subscribed_names
from partstream.groups.requests import MAX_METADATA, check_group_id, check_metadata
from partstream.groups.rows import (
    CommittedOffset,
    TopicIdPartition,
    decode_partition,
    encode_partition,
)
from partstream.model import OffsetAndMetadata
from partstream.store.scripts import Script
from partstream.store.store import Store

_COMMIT = Script("group/commit")
_DELETE = Script("group/delete")
_DELETE_OFFSETS = Script("group/delete_offsets")
_EXPIRE_OFFSETS = Script("group/expire_offsets")

OUTSIDER = -1
"""The member epoch of a commit that no member makes."""
RETENTION_MS = 7 * 24 * 3_600_000
"""Kafka's offsets.retention.minutes."""


class Offsets:
    """The committed offsets of groups."""

    def __init__(self, store: Store, calls: GroupCalls, max_metadata: int = MAX_METADATA) -> None:
        self._store = store
        self._max_metadata = max_metadata
        self._calls = calls
        self._order = itertools.count(1)

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
        """Commit offsets, all or none.

        A member gives its id and epoch; whoever is none may commit while the group is empty, and
        makes the group if there is none.

        Args:
            member_epoch: Of a member of a classic group: the generation.
            instance_id: Of a static member of a classic group.
            incarnation: The member's, as in its join. With it, a commit with the epoch before the
                last is good (the heartbeat that moved it on may be on its way), and one that comes
                behind a later one is passed over.

        Raises:
            UnknownMemberId: the session has ended, or the group has members and the caller is
                none.
            StaleMemberEpoch: the epoch has moved on; commit again after the next heartbeat.
            FencedMemberEpoch: the member has left or joined again since.
            RebalanceInProgress: another member owns one of the partitions now.
            OffsetMetadataTooLarge: metadata of more bytes than are allowed, by default 4,096.
            IllegalGeneration: the group is a classic one, and the committer is not a member of
                this generation.
        """
        check_group_id(group_id)
        if not offsets:
            return
        joined = "" if incarnation is None else f"{incarnation:020d}"
        arguments = (member_id, member_epoch, joined, next(self._order), group_id)
        instance = "" if instance_id is None else encode_instance(instance_id)
        rows: list[str | int] = []
        for partition, position in offsets.items():
            check_metadata(position.metadata, self._max_metadata)
            rows += [encode_partition(partition), f"{position.offset}|{position.leader_epoch}"]
            rows.append(position.metadata)
        try:
            made, written = await self._calls.run(group_id, _COMMIT, *arguments, 0, instance, *rows)
        except GroupIdNotFound:
            await self._calls.enlist(group_id, "classic")
            made, written = await self._calls.run(group_id, _COMMIT, *arguments, 1, instance, *rows)
        if made:
            await self._calls.enlist(group_id, "classic")
        await self._calls.confirm(group_id, written)

    async def reset(
        self, group_id: str, offsets: Mapping[TopicIdPartition, OffsetAndMetadata]
    ) -> None:
        """Set the offsets of a group that has no members (AlterConsumerGroupOffsets).

        Raises:
            NonEmptyGroup: it has members.
        """
        try:
            await self.commit(group_id, offsets)
        except UnknownMemberId as error:
            raise NonEmptyGroup(
                f"group {group_id!r} has members; its offsets can be reset when they have stopped"
            ) from error

    async def fetch(
        self, group_id: str, partitions: Iterable[TopicIdPartition] | None = None
    ) -> dict[TopicIdPartition, OffsetAndMetadata]:
        """Committed offsets: of these partitions, or all; those without one are left out.

        Negative ones, which clients of Kafka can commit, are there as they are.
        """
        check_group_id(group_id)
        key = self._calls.keys(group_id).offsets
        if partitions is None:
            flat = await self._store.execute("HGETALL", key, key=key)
            pairs = zip(flat[::2], flat[1::2], strict=True)
            return {
                decode_partition(field.decode()): CommittedOffset.decode(row.decode()).position
                for field, row in pairs
                if field
            }
        wanted = list(partitions)
        if not wanted:
            return {}
        rows = await self._store.execute("HMGET", key, *map(encode_partition, wanted), key=key)
        return {
            partition: CommittedOffset.decode(row.decode()).position
            for partition, row in zip(wanted, rows, strict=True)
            if row is not None
        }

    async def delete(
        self, group_id: str, partitions: Collection[TopicIdPartition], catalog: Catalog
    ) -> None:
        """Forget committed offsets (OffsetDelete).

        Raises:
            GroupIdNotFound: there is no such group.
            GroupSubscribedToTopic: members subscribe to one of the topics.
        """
        group = await self._calls.describe(group_id)
        names = {topic_id: name for name, (topic_id, _) in catalog.topics.items()}
        subscribed = set[str]()
        for subscription in set(group.subscriptions.values()):
            subscribed |= subscribed_names(subscription, catalog)
        for topic_id, _ in partitions:
            if names.get(topic_id) in subscribed:
                raise GroupSubscribedToTopic(
                    f"group {group_id!r} is subscribed to topic {names[topic_id]!r}"
                )
        fields = map(encode_partition, partitions)
        written = await self._calls.run(group_id, _DELETE_OFFSETS, *fields)
        await self._calls.confirm(group_id, written)

    async def expire(self, retention_ms: int, overdue: Callable[[str], Awaitable[object]]) -> int:
        """Forget the offsets of groups without members for that long; says how many.

        A group that has neither members nor offsets then is deleted.

        Args:
            retention_ms: Kafka's offsets.retention.minutes.
            overdue: Called with a classic group some of whose members may be gone.
        """
        expired = 0
        for group_id in await self._calls.listed():
            gone = await self._calls.run(group_id, _EXPIRE_OFFSETS, retention_ms)
            if gone < 0:
                await overdue(group_id)
                gone = max(0, await self._calls.run(group_id, _EXPIRE_OFFSETS, retention_ms))
            expired += gone
            if gone:
                await self.delete_group(group_id, unused_only=True)
        return expired

    async def delete_group(self, group_id: str, *, unused_only: bool = False) -> None:
        """Delete a group that has no members, its offsets with it.

        Raises:
            GroupIdNotFound: there is no such group.
            NonEmptyGroup: it has members.
        """
        deleted = True
        try:
            deleted = bool(await self._calls.run(group_id, _DELETE, int(unused_only)))
        except GroupIdNotFound:
            # Half deleted, or half made: only its name was left.
            await self._calls.delist(group_id)
            raise
        if deleted:
            await self._calls.confirm(group_id, b"")
            await self._calls.delist(group_id)

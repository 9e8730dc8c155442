"""A group's offsets as an admin sees them: by names of topics, beside the log's, and reset.

The coordinator names partitions by topic id, since a topic that was deleted and made again is
another one. People name them by topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from partstream.client.positions import partition_of, partitions_of, positions_of
from partstream.config.common import INT64_MAX
from partstream.config.numbers import is_whole
from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.log import Bounds, Log
from partstream.engine.offset_specs import clamp, list_offset
from partstream.engine.partition import Partition
from partstream.engine.topics import Topics
from partstream.errors import InvalidRequest
from partstream.groups.rows import TopicIdPartition
from partstream.model import (
    GroupDescription,
    OffsetAndMetadata,
    OffsetChange,
    PartitionLag,
    ResetSpec,
    TopicPartition,
)
from partstream.store.store import Store


class GroupOffsets:
    """Looks at, moves and forgets the committed offsets of groups."""

    def __init__(self, store: Store, topics: Topics, groups: ConsumerGroups) -> None:
        self._store = store
        self._topics = topics
        self._groups = groups
        self._log = Log(store)

    async def committed(self, group_id: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """Every committed offset, in order; those of deleted topics are left out."""
        offsets = await self._groups.fetch_offsets(group_id)
        partitions = await self._by_id(offsets)
        return {
            partition.name: offsets[key]
            for key, partition in sorted(partitions.items(), key=lambda pair: pair[1].name)
        }

    async def with_lags(self, group: GroupDescription) -> GroupDescription:
        """The group with its lag in each partition that it has committed, owns or is to own."""
        committed = await self.committed(group.group_id)
        names = set(committed)
        for member in group.members:
            names.update(member.assignment, member.target_assignment)
        partitions = {name: await self.partition(name) for name in sorted(names)}
        bounds = await self._bounds(partitions)
        lags = tuple(_lag(name, committed.get(name), bounds[name]) for name in partitions)
        return replace(group, lags=lags)

    async def alter(
        self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata | int]
    ) -> None:
        """Set committed offsets as they are given."""
        rows = {}
        for name, position in positions_of(offsets).items():
            rows[_key(await self.partition(name))] = position
        await self._groups.reset(group_id, rows)

    async def delete(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        """Forget committed offsets."""
        keys = [_key(await self.partition(name)) for name in partitions_of([partitions])]
        await self._groups.delete_offsets(group_id, keys)

    async def plan_reset(
        self,
        group_id: str,
        names: Iterable[TopicPartition] | None,
        to: ResetSpec | None,
        shift_by: int | None,
    ) -> list[OffsetChange]:
        """What a reset would change, in order of the partitions."""
        _check_reset(to, shift_by)
        committed = await self.committed(group_id)
        partitions = {
            name: await self.partition(name)
            for name in sorted(set(committed if names is None else names))
        }
        bounds = await self._bounds(partitions)
        changes = []
        for name, partition in partitions.items():
            before = committed[name].offset if name in committed else None
            if shift_by is not None:
                after = _shifted(name, before, shift_by)
            else:
                assert to is not None
                after = await self._target(partition, to, bounds[name])
            after = clamp(after, bounds[name].start, bounds[name].end)
            changes.append(OffsetChange(name, before, after))
        return changes

    async def partition(self, name: TopicPartition) -> Partition:
        """A partition by its name."""
        topic, number = partition_of(name)
        return (await self._topics.get(topic)).partition(number)

    async def of_topics(self, topics: Iterable[str]) -> list[TopicPartition]:
        """All partitions of topics."""
        return [
            partition.name
            for name in topics
            for partition in (await self._topics.get(name, fresh=True)).partitions
        ]

    async def _target(self, partition: Partition, to: ResetSpec, bounds: Bounds) -> int:
        if isinstance(to, int):
            return to
        if isinstance(to, datetime):
            found = await list_offset(self._store, self._log, partition, to)
            return bounds.end if found is None else found.offset
        return bounds.start if to == "earliest" else bounds.end

    async def _bounds(
        self, partitions: Mapping[TopicPartition, Partition]
    ) -> dict[TopicPartition, Bounds]:
        found = await asyncio.gather(*map(self._log.bounds, partitions.values()))
        return dict(zip(partitions, found, strict=True))

    async def _by_id(self, keys: Iterable[TopicIdPartition]) -> dict[TopicIdPartition, Partition]:
        known = {
            (topic.id, partition.index): partition
            for topic in (await self._topics.all()).values()
            for partition in topic.partitions
        }
        return {key: known[key] for key in keys if key in known}


def _check_reset(to: ResetSpec | None, shift_by: int | None) -> None:
    if (to is None) == (shift_by is None):
        raise InvalidRequest("a reset needs either `to` or `shift_by`")
    if shift_by is not None and not is_whole(shift_by):
        raise InvalidRequest(f"shift_by={shift_by!r:.100}: expected a whole number")
    if is_whole(to):
        if not 0 <= to <= INT64_MAX:
            raise InvalidRequest(f"to={to}: expected an offset, from 0 to 2**63 - 1")
    elif to not in (None, "earliest", "latest") and not isinstance(to, datetime):
        raise InvalidRequest(
            f"to={to!r:.100}: expected 'earliest', 'latest', an offset or a datetime"
        )


def _key(partition: Partition) -> TopicIdPartition:
    return partition.topic_id, partition.index


def _lag(name: TopicPartition, position: OffsetAndMetadata | None, bounds: Bounds) -> PartitionLag:
    lag = None if position is None else max(0, bounds.end - position.offset)
    return PartitionLag(name, position, bounds.start, bounds.end, lag)


def _shifted(name: TopicPartition, before: int | None, shift_by: int) -> int:
    if before is None:
        raise InvalidRequest(
            f"cannot shift the offset of {name.topic}-{name.partition} by {shift_by}: "
            "none is committed"
        )
    return before + shift_by

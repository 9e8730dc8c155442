"""Topics and their partitions as people look at them: configs, places, sizes."""

from __future__ import annotations

import asyncio

from partstream.engine.log import Log
from partstream.engine.partition import Partition, Topic
from partstream.errors import StoreUnavailable
from partstream.model import PartitionDescription, TopicDescription, TopicListing
from partstream.store.store import Store

_AT_ONCE = 256
"""Partitions that are asked at the same time."""


def listing(topic: Topic) -> TopicListing:
    """What is known of a topic without asking its partitions."""
    return TopicListing(topic.name, topic.id, len(topic.partitions), topic.partitioner)


async def describe_topic(store: Store, log: Log, topic: Topic) -> TopicDescription:
    """A topic, its configs and the state of each partition.

    Raises:
        UnknownTopicId: it was deleted meanwhile.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def describe(partition: Partition) -> PartitionDescription:
        async with gate:
            return await _describe_partition(store, log, partition)

    partitions = await asyncio.gather(*map(describe, topic.partitions))
    return TopicDescription(
        name=topic.name,
        topic_id=topic.id,
        partitions=tuple(partitions),
        config=topic.config.as_strings(),
        partitioner=topic.partitioner,
    )


async def _describe_partition(store: Store, log: Log, partition: Partition) -> PartitionDescription:
    bounds = await log.bounds(partition)
    try:
        node = str(store.placement(partition.keys.log).address)
    except StoreUnavailable:
        node = "?"  # the slot has just lost its node; the numbers are still true
    return PartitionDescription(
        partition=partition.index,
        key=partition.keys.log,
        slot=partition.slot,
        node=node,
        leader_epoch=bounds.leader_epoch,
        start_offset=bounds.start,
        end_offset=bounds.end,
        size=bounds.size,
    )

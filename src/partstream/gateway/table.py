"""The table of APIs: what is served, at which versions, by whom. All else is read from it.

It dispatches, it is what ApiVersions answers, and docs/gateway/compatibility.md is made of it. Only
what works whole stands here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from partstream.gateway import wire_fetch, wire_produce
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.connection import Answer
from partstream.gateway.handlers import (
    alter_configs,
    api_versions,
    consumer_group_describe,
    consumer_group_heartbeat,
    create_partitions,
    create_topics,
    delete_groups,
    delete_records,
    delete_topics,
    describe_cluster,
    describe_configs,
    describe_groups,
    describe_log_dirs,
    describe_producers,
    describe_topic_partitions,
    elect_leaders,
    fetch,
    find_coordinator,
    heartbeat,
    incremental_alter_configs,
    init_producer_id,
    join_group,
    leave_group,
    list_config_resources,
    list_groups,
    list_offsets,
    list_partition_reassignments,
    metadata,
    offset_commit,
    offset_delete,
    offset_fetch,
    offset_for_leader_epoch,
    produce,
    sync_group,
)
from partstream.gateway.versions import NEVER, Versions

Handler: TypeAlias = Callable[[Broker, Call, Struct], Awaitable[Mapping[str, Any]]]
RawHandler: TypeAlias = Callable[[Broker, Call, bytes, int], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Api(Versions):
    """One API, and who serves it."""

    handle: Handler | None = None
    """Gets the request, gives the response."""
    raw: RawHandler | None = None
    """Instead of `handle`: gets the bytes of the request, gives those of the response."""


TABLE: tuple[Api, ...] = (
    Api(0, "Produce", 3, 13, wire_produce.FLEXIBLE, 0, raw=produce.handle),
    Api(1, "Fetch", 4, 18, wire_fetch.FLEXIBLE, raw=fetch.handle),
    Api(2, "ListOffsets", 1, 11, 6, handle=list_offsets.handle),
    Api(3, "Metadata", 0, 13, 9, handle=metadata.handle),
    Api(8, "OffsetCommit", 2, 10, 8, handle=offset_commit.handle),
    Api(9, "OffsetFetch", 1, 10, 6, handle=offset_fetch.handle),
    Api(10, "FindCoordinator", 0, 6, 3, handle=find_coordinator.handle),
    Api(11, "JoinGroup", 0, 9, 6, handle=join_group.handle),
    Api(12, "Heartbeat", 0, 4, 4, handle=heartbeat.handle),
    Api(13, "LeaveGroup", 0, 5, 4, handle=leave_group.handle),
    Api(14, "SyncGroup", 0, 5, 4, handle=sync_group.handle),
    Api(15, "DescribeGroups", 0, 6, 5, handle=describe_groups.handle),
    Api(16, "ListGroups", 0, 5, 3, handle=list_groups.handle),
    Api(18, "ApiVersions", 0, 4, 3, handle=api_versions.handle),
    Api(19, "CreateTopics", 2, 7, 5, handle=create_topics.handle),
    Api(20, "DeleteTopics", 1, 6, 4, handle=delete_topics.handle),
    Api(21, "DeleteRecords", 0, 2, 2, handle=delete_records.handle),
    Api(22, "InitProducerId", 0, 5, 2, handle=init_producer_id.handle),
    Api(23, "OffsetForLeaderEpoch", 2, 4, 4, handle=offset_for_leader_epoch.handle),
    Api(32, "DescribeConfigs", 1, 4, 4, handle=describe_configs.handle),
    Api(33, "AlterConfigs", 0, 2, 2, handle=alter_configs.handle),
    Api(35, "DescribeLogDirs", 1, 5, 2, handle=describe_log_dirs.handle),
    Api(37, "CreatePartitions", 0, 3, 2, handle=create_partitions.handle),
    Api(42, "DeleteGroups", 0, 2, 2, handle=delete_groups.handle),
    Api(43, "ElectLeaders", 0, 2, 2, handle=elect_leaders.handle),
    Api(44, "IncrementalAlterConfigs", 0, 1, 1, handle=incremental_alter_configs.handle),
    Api(46, "ListPartitionReassignments", 0, 0, 0, handle=list_partition_reassignments.handle),
    Api(47, "OffsetDelete", 0, 0, NEVER, handle=offset_delete.handle),
    Api(60, "DescribeCluster", 0, 2, 0, handle=describe_cluster.handle),
    Api(61, "DescribeProducers", 0, 0, 0, handle=describe_producers.handle),
    Api(68, "ConsumerGroupHeartbeat", 0, 1, 0, handle=consumer_group_heartbeat.handle),
    Api(69, "ConsumerGroupDescribe", 0, 1, 0, handle=consumer_group_describe.handle),
    Api(74, "ListConfigResources", 0, 1, 0, handle=list_config_resources.handle),
    Api(75, "DescribeTopicPartitions", 0, 0, 0, handle=describe_topic_partitions.handle),
)

BY_KEY: dict[int, Api] = {api.key: api for api in TABLE}

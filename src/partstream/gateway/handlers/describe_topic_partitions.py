"""DescribeTopicPartitions (75), version 0: partitions page by page (KIP-966)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.config.internal import INTERNAL
from partstream.engine.partition import Topic
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, code_of
from partstream.gateway.names import TOPIC_OPERATIONS

_MOST = 2_000
"""Partitions in one answer, Kafka's max.request.partition.size.limit."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Partitions of all topics, or of those that were named, from the cursor on."""
    limit = min(max(1, request.response_partition_limit), _MOST)
    cursor = request.cursor
    asked = {topic.name for topic in request.topics}
    if cursor is not None and (
        cursor.partition_index < 0 or (asked and cursor.topic_name not in asked)
    ):
        return {"topics": [{"error_code": INVALID_REQUEST, "name": name} for name in sorted(asked)]}
    every = await broker.topics.all()
    names = sorted(asked or every)
    rows: list[Mapping[str, Any]] = []
    for name in names:
        begin = 0
        if cursor is not None:
            if name < cursor.topic_name:
                continue
            begin = cursor.partition_index if name == cursor.topic_name else 0
        if limit <= 0:
            return {"topics": rows, "next_cursor": {"topic_name": name, "partition_index": begin}}
        topic = every.get(name)
        if topic is None:
            rows.append(
                {
                    "error_code": await _missing(broker, name),
                    "name": name,
                    "is_internal": name in INTERNAL,
                    "topic_authorized_operations": TOPIC_OPERATIONS,
                }
            )
            continue
        rows.append(await _topic(broker, call, topic, begin, limit))
        end = begin + limit
        if end < len(topic.partitions):
            return {"topics": rows, "next_cursor": {"topic_name": name, "partition_index": end}}
        limit -= max(0, len(topic.partitions) - begin)
    return {"topics": rows, "next_cursor": None}


async def _missing(broker: Broker, name: str) -> int:
    try:
        await broker.topics.get(name)
    except PartstreamError as error:
        return code_of(error)
    return NONE


async def _topic(
    broker: Broker, call: Call, topic: Topic, begin: int, limit: int
) -> Mapping[str, Any]:
    epochs = await broker.epochs.of(topic)
    peers = broker.registry.on(call.listener)
    partitions = []
    for partition in topic.partitions[begin : begin + limit]:
        nodes = [node.id for node in peers.replicas(topic.id, partition.index)]
        partitions.append(
            {
                "error_code": NONE,
                "partition_index": partition.index,
                "leader_id": nodes[0],
                "leader_epoch": epochs[partition.index],
                "replica_nodes": nodes,
                "isr_nodes": nodes,
                "eligible_leader_replicas": [],
                "last_known_elr": [],
            }
        )
    return {
        "error_code": NONE,
        "name": topic.name,
        "topic_id": topic.id,
        "is_internal": topic.name in INTERNAL,
        "partitions": partitions,
        "topic_authorized_operations": TOPIC_OPERATIONS,
    }

"""CreateTopics (19), versions 2-7: topics, their partitions and configs.

Replicas are Redis's own: any replication factor is taken, since applications ask for the one that
they would have on Kafka. An assignment to brokers is checked, and places nothing.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.config.names import MAX_PARTITIONS, validate_partitions, validate_topic_name
from partstream.config.topic import TopicConfig
from partstream.errors import (
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidRequest,
    PartstreamError,
    PolicyViolation,
    TopicAlreadyExists,
    UnknownTopicOrPartition,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.configs import source_of
from partstream.gateway.faults import NONE, code_of
from partstream.gateway.placement import check_partitions, check_replicas
from partstream.gateway.primitives import id_text

UNSET = -1
"""Partitions or replicas by default (KIP-464)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Create each topic, or say why not."""
    names = Counter(topic.name for topic in request.topics)
    rows = []
    seen: set[str] = set()
    for topic in request.topics:
        if topic.name in seen:
            continue
        seen.add(topic.name)
        rows.append(await _topic(broker, topic, names[topic.name] > 1, request.validate_only))
    return {"topics": rows}


async def _topic(
    broker: Broker, asked: Struct, twice: bool, validate_only: bool
) -> Mapping[str, Any]:
    try:
        if twice:
            raise InvalidRequest("Duplicate topic name.")
        partitions = _partitions(broker, asked)
        replicas = _replicas(broker, asked)
        config = broker.topic_config({config.name: config.value for config in asked.configs})
        await broker.check_name(asked.name)
        topic_id = await _create(broker, asked.name, partitions, config, validate_only)
    except PartstreamError as error:
        return {
            "name": asked.name,
            "error_code": code_of(error),
            "error_message": str(error),
            "configs": [],
        }
    return {
        "name": asked.name,
        "topic_id": topic_id,
        "error_code": NONE,
        "num_partitions": partitions,
        "replication_factor": replicas,
        "configs": [
            {
                "name": name,
                "value": value,
                "config_source": source_of(config, name),
            }
            for name, value in config.as_strings().items()
        ],
    }


async def _create(
    broker: Broker, name: str, partitions: int, config: TopicConfig, validate_only: bool
) -> str | None:
    if not validate_only:
        return (await broker.topics.create(name, partitions, config, apart=True)).id
    validate_topic_name(name)
    validate_partitions(partitions)
    try:
        await broker.topics.get(name, fresh=True)
    except UnknownTopicOrPartition:
        # As Kafka: an id that was made up for nothing.
        return id_text(uuid.uuid4().bytes)
    raise TopicAlreadyExists(f"Topic '{name}' already exists.")


def _partitions(broker: Broker, asked: Struct) -> int:
    count: int = asked.num_partitions
    if asked.assignments:
        if count != UNSET or asked.replication_factor != UNSET:
            raise InvalidRequest(
                "A manual partition assignment was specified, but numPartitions or "
                "replicationFactor was not set to -1."
            )
        check_partitions([row.partition_index for row in asked.assignments])
        nodes = {node.id for node in broker.registry.nodes}
        for row in asked.assignments:
            check_replicas(row.broker_ids, nodes)
        return len(asked.assignments)
    if count == UNSET:
        return broker.config.num_partitions
    if count <= 0:
        raise InvalidPartitions("Number of partitions was set to an invalid non-positive value.")
    if count > MAX_PARTITIONS:
        raise PolicyViolation(f"{count} partitions; a topic has at most {MAX_PARTITIONS}")
    return count


def _replicas(broker: Broker, asked: Struct) -> int:
    factor: int = asked.replication_factor
    if asked.assignments:
        return len(asked.assignments[0].broker_ids)
    if factor == UNSET:
        nodes = len(broker.registry.nodes)
        return min(nodes, broker.config.default_replication_factor)
    if factor <= 0:
        raise InvalidReplicationFactor(
            "Replication factor must be larger than 0, or -1 to use the default value."
        )
    return factor

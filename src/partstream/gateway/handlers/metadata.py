"""Metadata (3), versions 0-13: the brokers, and the topics with their leaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from partstream.config.internal import INTERNAL
from partstream.engine.partition import Topic
from partstream.errors import PartstreamError, UnknownTopicId, UnknownTopicOrPartition
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, UNKNOWN_SERVER_ERROR, code_of
from partstream.gateway.names import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS

_BY_ID = 12
"""The version since which topics are found by their id (KIP-516)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Brokers, and the topics that were asked for: null is all of them, none is none."""
    wanted = request.topics
    code = _refusal(call, wanted or ())
    if code:
        return _refused(wanted, code)
    if wanted is None or (call.version == 0 and not wanted):
        topics = [
            await _known(broker, call, topic, request)
            for topic in (await broker.topics.all()).values()
        ]
    else:
        each = {(one.name, one.topic_id): one for one in wanted}
        topics = [await _asked(broker, call, one, request) for one in each.values()]
    peers = broker.registry.on(call.listener)
    return {
        "brokers": [
            {"node_id": node.id, "host": node.host, "port": node.port, "rack": node.rack}
            for node in peers.nodes
        ],
        "cluster_id": broker.registry.cluster_id,
        "controller_id": peers.nodes[0].id,
        "topics": topics,
        "cluster_authorized_operations": (
            CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
        ),
    }


def _refusal(call: Call, wanted: Sequence[Struct]) -> int:
    """The error of a request that Kafka does not look at."""
    if call.version < _BY_ID and any(one.topic_id or one.name is None for one in wanted):
        return INVALID_REQUEST  # ids were in the protocol before brokers knew what to do with them
    if any(one.topic_id is None and one.name is None for one in wanted):
        return UNKNOWN_SERVER_ERROR
    return NONE


def _refused(wanted: Sequence[Struct], code: int) -> Mapping[str, Any]:
    return {
        "error_code": code,
        "topics": [
            {"error_code": code, "name": one.name or "", "topic_id": one.topic_id} for one in wanted
        ],
    }


async def _asked(broker: Broker, call: Call, wanted: Struct, request: Struct) -> Mapping[str, Any]:
    """One topic that was asked for, by its id or by its name."""
    try:
        if wanted.name is None:
            topic = await broker.named(None, wanted.topic_id)
        else:
            topic = await _by_name(broker, call, wanted.name, request)
        return await _known(broker, call, topic, request)
    except UnknownTopicId as error:
        failed = {"error_code": code_of(error), "topic_id": wanted.topic_id, "name": wanted.name}
    except PartstreamError as error:
        failed = {
            "error_code": code_of(error),
            "name": wanted.name or "",
            "is_internal": wanted.name in INTERNAL,
        }
    return {**failed, "topic_authorized_operations": _operations(request)}


async def _by_name(broker: Broker, call: Call, name: str, request: Struct) -> Topic:
    try:
        return await broker.topics.get(name)
    except UnknownTopicOrPartition:
        allowed = call.version < 4 or request.allow_auto_topic_creation
        if not (allowed and broker.config.auto_create_topics_enable):
            raise
    return await broker.auto_create(name)


async def _known(broker: Broker, call: Call, topic: Topic, request: Struct) -> Mapping[str, Any]:
    epochs = await broker.epochs.of(topic)
    peers = broker.registry.on(call.listener)
    partitions = []
    for partition, epoch in zip(topic.partitions, epochs, strict=True):
        nodes = [node.id for node in peers.replicas(topic.id, partition.index)]
        partitions.append(
            {
                "error_code": NONE,
                "partition_index": partition.index,
                "leader_id": nodes[0],
                "leader_epoch": epoch,
                "replica_nodes": nodes,
                "isr_nodes": nodes,
            }
        )
    return {
        "error_code": NONE,
        "name": topic.name,
        "topic_id": topic.id,
        "is_internal": topic.name in INTERNAL,
        "partitions": partitions,
        "topic_authorized_operations": _operations(request),
    }


def _operations(request: Struct) -> int:
    return TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_ASKED

"""CreatePartitions (37), versions 0-3: let topics grow (KIP-195)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.config.names import validate_partitions
from partstream.errors import (
    InvalidPartitions,
    InvalidReplicaAssignment,
    InvalidRequest,
    PartstreamError,
    UnknownTopicOrPartition,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, code_of
from partstream.gateway.placement import check_replicas


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Add partitions to each topic, or say why not."""
    names = Counter(topic.name for topic in request.topics)
    rows = {
        topic.name: await _grow(broker, topic, names[topic.name] > 1, request.validate_only)
        for topic in request.topics
    }
    return {"results": list(rows.values())}


async def _grow(
    broker: Broker, asked: Struct, twice: bool, validate_only: bool
) -> Mapping[str, Any]:
    row: dict[str, Any] = {"name": asked.name, "error_code": NONE}
    try:
        if twice:
            raise InvalidRequest("Duplicate topic name.")
        now = len((await broker.existing(asked.name, fresh=True)).partitions)
        if asked.count <= now:
            raise InvalidPartitions(
                f"Topic already has {now} partition(s)."
                if asked.count == now
                else f"The topic {asked.name} currently has {now} partition(s); "
                f"{asked.count} would not be an increase."
            )
        validate_partitions(asked.count)
        _check_assignments(broker, asked, asked.count - now)
        if not validate_only:
            await broker.topics.grow(asked.name, asked.count)
    except UnknownTopicOrPartition as error:
        row["error_code"] = error.code
    except PartstreamError as error:
        row |= {"error_code": code_of(error), "error_message": str(error)}
    return row


def _check_assignments(broker: Broker, asked: Struct, added: int) -> None:
    if asked.assignments is None:
        return
    if len(asked.assignments) != added:
        raise InvalidReplicaAssignment(
            f"Attempted to add {added} additional partition(s), but "
            f"{len(asked.assignments)} assignment(s) were specified."
        )
    nodes = {node.id for node in broker.registry.nodes}
    for assignment in asked.assignments:
        check_replicas(assignment.broker_ids, nodes)

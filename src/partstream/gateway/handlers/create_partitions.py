"""CreatePartitions (37), versions 0-3: let topics grow (KIP-195)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.config.names import validate_partitions
from partstream.errors import InvalidPartitions, InvalidRequest, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REPLICA_ASSIGNMENT, NONE, code_of


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
        now = len((await broker.topics.get(asked.name, fresh=True)).partitions)
        if asked.count <= now:
            raise InvalidPartitions(
                f"Topic already has {now} partition(s)."
                if asked.count == now
                else f"The topic {asked.name} currently has {now} partition(s); "
                f"{asked.count} would not be an increase."
            )
        validate_partitions(asked.count)
        if asked.assignments is not None and len(asked.assignments) != asked.count - now:
            message = (
                f"Attempted to add {asked.count - now} additional partition(s), but only "
                f"{len(asked.assignments)} assignment(s) were specified."
            )
            return {**row, "error_code": INVALID_REPLICA_ASSIGNMENT, "error_message": message}
        if not validate_only:
            await broker.topics.grow(asked.name, asked.count)
    except PartstreamError as error:
        row |= {"error_code": code_of(error), "error_message": str(error)}
    return row

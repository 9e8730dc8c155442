"""ElectLeaders (43), versions 0-2: no election is ever needed (KIP-183, KIP-460).

Any gateway leads any partition, and which server of Redis does is its replication's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.partition import Topic
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import (
    ELECTION_NOT_NEEDED,
    INVALID_REQUEST,
    NONE,
    UNKNOWN_TOPIC_OR_PARTITION,
)

_PREFERRED, _UNCLEAN = 0, 1


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Of every partition that was asked for: not needed. Null is all that need one: none."""
    every = await broker.topics.all()
    bad = request.election_type not in (_PREFERRED, _UNCLEAN)
    return {
        "error_code": INVALID_REQUEST if bad else NONE,
        "replica_election_results": [
            {
                "topic": asked.topic,
                "partition_result": _rows(asked, every.get(asked.topic), bad),
            }
            for asked in request.topic_partitions or ()
        ],
    }


def _rows(asked: Struct, topic: Topic | None, bad: bool) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number in asked.partitions:
        code, message = ELECTION_NOT_NEEDED, "Leader election not needed for topic partition."
        if bad:
            code, message = INVALID_REQUEST, "Unknown election type."
        elif topic is None:
            code, message = UNKNOWN_TOPIC_OR_PARTITION, f"No such topic as {asked.topic}"
        elif not 0 <= number < len(topic.partitions):
            code = UNKNOWN_TOPIC_OR_PARTITION
            message = f"No such partition as {asked.topic}-{number}"
        rows.append({"partition_id": number, "error_code": code, "error_message": message})
    return rows

"""OffsetDelete (47), version 0: forget committed offsets (KIP-496)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    InvalidGroupId,
    PartstreamError,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, group_code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Forget the offsets of each topic that no member subscribes to."""
    topics = []
    try:
        for topic in request.topics:
            rows = await _topic(broker, request, topic)
            if rows:
                topics.append({"name": topic.name, "partitions": rows})
        if not topics:
            await broker.groups.describe(request.group_id)
    except (GroupIdNotFound, InvalidGroupId) as error:
        return {"error_code": error.code}
    except PartstreamError as error:
        return {"error_code": group_code_of(error)}
    return {"error_code": NONE, "topics": topics}


async def _topic(broker: Broker, request: Struct, asked: Struct) -> list[dict[str, Any]]:
    numbers = [partition.partition_index for partition in asked.partitions]
    codes = dict.fromkeys(numbers, NONE)
    try:
        topic = await broker.named(asked.name, None)
    except PartstreamError as error:
        await broker.groups.describe(request.group_id)
        return [
            {"partition_index": number, "error_code": group_code_of(error)} for number in numbers
        ]
    known = []
    for number in numbers:
        try:
            topic.partition(number)
            known.append((topic.id, number))
        except PartstreamError as error:
            codes[number] = error.code
    try:
        await broker.groups.delete_offsets(request.group_id, known)
    except GroupSubscribedToTopic as error:
        codes.update({number: error.code for _, number in known})
    return [{"partition_index": number, "error_code": codes[number]} for number in numbers]

"""DeleteTopics (20), versions 1-6: by name, or by id since version 6 (KIP-516)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, code_of

_STATES = 6


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Delete each topic, or say why not."""
    if call.version < _STATES:
        wanted = [(name, None) for name in request.topic_names]
    else:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    return {"responses": [await _delete(broker, name, topic_id) for name, topic_id in wanted]}


async def _delete(broker: Broker, name: str | None, topic_id: str | None) -> Mapping[str, Any]:
    row: dict[str, Any] = {"name": name, "topic_id": topic_id, "error_code": NONE}
    if name is not None and topic_id is not None:
        return {
            **row,
            "error_code": INVALID_REQUEST,
            "error_message": "Cannot give both name and id.",
        }
    try:
        topic = await broker.named(name, topic_id)
        row |= {"name": topic.name, "topic_id": topic.id}
        await broker.topics.delete(topic.name)
    except PartstreamError as error:
        row |= {"error_code": code_of(error), "error_message": str(error)}
    return row

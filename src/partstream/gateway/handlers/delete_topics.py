"""DeleteTopics (20), versions 1-6: by name, or by id since version 6 (KIP-516)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from partstream.engine.partition import Topic
from partstream.errors import InvalidRequest, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, TOPIC_DELETION_DISABLED, code_of

_STATES = 6
_KNOWS_DISABLED = 3
"""The first version whose clients know that topics may be protected from deletion."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Delete each topic, or say why not."""
    if call.version < _STATES:
        wanted = [(name, None) for name in request.topic_names]
    else:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    if not broker.config.delete_topic_enable:
        code = TOPIC_DELETION_DISABLED if call.version >= _KNOWS_DISABLED else INVALID_REQUEST
        return {"responses": [{**_row(*asked), "error_code": code} for asked in wanted]}
    found: list[Topic | Mapping[str, Any]] = []
    for (name, topic_id), times in Counter(wanted).items():
        try:
            if (name is None) == (topic_id is None):
                raise InvalidRequest("You must specify either the topic's name or its id.")
            if times > 1:
                raise InvalidRequest("Duplicate topic name or id.")
            found.append(await broker.named(name, topic_id))
        except PartstreamError as error:
            found.append(_row(name, topic_id, error))
    meant = Counter(one.id for one in found if isinstance(one, Topic))
    each = {one.id if isinstance(one, Topic) else id(one): one for one in found}
    return {
        "responses": [
            await _delete(broker, one, meant[one.id]) if isinstance(one, Topic) else one
            for one in each.values()
        ]
    }


async def _delete(broker: Broker, topic: Topic, times: int) -> Mapping[str, Any]:
    """Delete a topic, unless the request means it twice: by its name and by its id."""
    try:
        if times > 1:
            raise InvalidRequest("The topic is given by name and by id.")
        await broker.topics.delete(topic.name)
    except PartstreamError as error:
        return _row(topic.name, topic.id, error)
    return _row(topic.name, topic.id)


def _row(
    name: str | None, topic_id: str | None, error: PartstreamError | None = None
) -> Mapping[str, Any]:
    return {
        "name": name,
        "topic_id": topic_id,
        "error_code": NONE if error is None else code_of(error),
        "error_message": None if error is None else str(error),
    }

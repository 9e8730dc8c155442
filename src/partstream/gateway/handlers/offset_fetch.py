"""OffsetFetch (9), versions 1-10: what groups have committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from partstream.engine.partition import Topic
from partstream.errors import PartstreamError, StaleMemberEpoch, UnknownTopicId
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, UNKNOWN_TOPIC_ID, group_code_of
from partstream.model import OffsetAndMetadata

_MANY = 8
"""The version since which there are several groups in one request (KIP-709)."""
_BY_ID = 10
_NOTHING = OffsetAndMetadata(-1)


class _Wanted(NamedTuple):
    """A topic of the request, and the topic that it means."""

    named: Mapping[str, Any]
    topic: Topic | None
    numbers: Iterable[int]
    code: int


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The committed offsets of each group; a null list of topics means all."""
    if call.version >= _MANY:
        return {
            "groups": [
                {"group_id": group.group_id, **await _group(broker, call, group)}
                for group in request.groups
            ]
        }
    return await _group(broker, call, request)


async def _group(broker: Broker, call: Call, asked: Struct) -> dict[str, Any]:
    try:
        await _check_member(broker, asked)
        if asked.topics is None:
            return {"error_code": NONE, "topics": await _all(broker, call, asked.group_id)}
        return {"error_code": NONE, "topics": await _some(broker, call, asked)}
    except PartstreamError as error:
        return {"error_code": group_code_of(error), "topics": []}


async def _check_member(broker: Broker, asked: Struct) -> None:
    """A member of a consumer group says who it is: one that was fenced gets no answer."""
    member_id = getattr(asked, "member_id", None)
    if member_id is None:
        return
    if await broker.groups.calls.kind(asked.group_id) != "consumer":
        return  # of members of classic groups Kafka does not check the generation
    view = await broker.groups.calls.look(asked.group_id, asked.member_id)
    if view.row.epoch != asked.member_epoch:
        raise StaleMemberEpoch(f"the member's epoch is {view.row.epoch}, not {asked.member_epoch}")


async def _all(broker: Broker, call: Call, group_id: str) -> list[dict[str, Any]]:
    committed = await broker.groups.fetch_committed(group_id)
    names = {topic.id: topic for topic in (await broker.topics.all()).values()}
    found: dict[str, list[dict[str, Any]]] = {}
    for (topic_id, number), position in sorted(committed.items()):
        if topic_id in names:
            found.setdefault(topic_id, []).append(_row(number, position))
    return [
        {**_named(call, names[topic_id]), "partitions": rows} for topic_id, rows in found.items()
    ]


async def _some(broker: Broker, call: Call, asked: Struct) -> list[dict[str, Any]]:
    wanted = [await _wanted(broker, call, topic) for topic in asked.topics]
    committed = await broker.groups.fetch_committed(
        asked.group_id,
        [
            (one.topic.id, number)
            for one in wanted
            if one.topic is not None
            for number in one.numbers
        ],
    )
    return [
        {
            **one.named,
            "partitions": [
                _row(
                    number,
                    committed.get((one.topic.id, number), _NOTHING) if one.topic else _NOTHING,
                    one.code,
                )
                for number in one.numbers
            ],
        }
        for one in wanted
    ]


async def _wanted(broker: Broker, call: Call, asked: Struct) -> _Wanted:
    numbers = asked.partition_indexes
    # The topics of a request for one group are another struct, which never had an id.
    topic_id = asked.topic_id if call.version >= _MANY else None
    try:
        topic = await broker.named(asked.name, topic_id)
    except UnknownTopicId:
        return _Wanted({"topic_id": topic_id}, None, numbers, UNKNOWN_TOPIC_ID)
    except PartstreamError as error:
        if error.retriable and group_code_of(error) != error.code:
            raise  # Redis, not the topic
        # As Kafka: of a topic that is not there, nothing is committed.
        return _Wanted({"name": asked.name}, None, numbers, NONE)
    return _Wanted(_named(call, topic), topic, numbers, NONE)


def _named(call: Call, topic: Topic) -> Mapping[str, Any]:
    return {"topic_id": topic.id} if call.version >= _BY_ID else {"name": topic.name}


def _row(number: int, position: OffsetAndMetadata, code: int = NONE) -> dict[str, Any]:
    return {
        "partition_index": number,
        "committed_offset": position.offset,
        "committed_leader_epoch": position.leader_epoch,
        "metadata": position.metadata,
        "error_code": code,
    }

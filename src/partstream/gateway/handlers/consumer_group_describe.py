"""ConsumerGroupDescribe (69), versions 0-1: consumer groups, their members and what they own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from partstream.errors import GroupIdNotFound, InvalidGroupId, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE, group_code_of
from partstream.gateway.names import GROUP_OPERATIONS, NOT_ASKED, state_name
from partstream.model import MemberDescription, TopicPartition

_TYPES = {"classic": 0, "consumer": 1}
"""The numbers of the protocols that members speak."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Every group that was asked for."""
    operations = GROUP_OPERATIONS if request.include_authorized_operations else NOT_ASKED
    return {
        "groups": [
            {"authorized_operations": operations, **await _group(broker, group_id)}
            for group_id in request.group_ids
        ]
    }


async def _group(broker: Broker, group_id: str) -> dict[str, Any]:
    try:
        group = await broker.groups.describe(group_id)
    except GroupIdNotFound as error:
        return _refused(group_id, error.code, f"Group {group_id} not found.")
    except InvalidGroupId as error:
        return _refused(group_id, error.code, None)
    except PartstreamError as error:
        return _refused(group_id, group_code_of(error), str(error))
    if group.type != "consumer":
        message = f"Group {group_id} is not a consumer group."
        return _refused(group_id, GroupIdNotFound.code, message)
    ids = {topic.name: topic.id for topic in (await broker.topics.all()).values()}
    return {
        "error_code": NONE,
        "group_id": group_id,
        "group_state": state_name(group.state),
        "group_epoch": group.epoch,
        "assignment_epoch": group.target_epoch,
        "assignor_name": group.assignor,
        "members": [_member(member, ids) for member in group.members],
    }


def _refused(group_id: str, code: int, message: str | None) -> dict[str, Any]:
    return {
        "error_code": code,
        "error_message": message,
        "group_id": group_id,
        "authorized_operations": NOT_ASKED,
    }


def _member(member: MemberDescription, ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "member_id": member.member_id,
        "instance_id": member.instance_id,
        "rack_id": member.rack,
        "member_epoch": member.epoch,
        "client_id": member.client_id,
        "client_host": member.host,
        "subscribed_topic_names": member.subscribed_topics,
        "subscribed_topic_regex": member.subscribed_regex or "",
        "assignment": _assignment(member.assignment, ids),
        "target_assignment": _assignment(member.target_assignment, ids),
        "member_type": _TYPES[member.type],
    }


def _assignment(partitions: Iterable[TopicPartition], ids: Mapping[str, str]) -> Mapping[str, Any]:
    numbers: dict[str, list[int]] = {}
    for topic, number in partitions:
        numbers.setdefault(topic, []).append(number)
    return {
        "topic_partitions": [
            {"topic_id": ids.get(topic), "topic_name": topic, "partitions": these}
            for topic, these in numbers.items()
        ]
    }

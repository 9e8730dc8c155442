"""OffsetCommit (8), versions 2-10: how far a group has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.errors import (
    GroupIdNotFound,
    PartstreamError,
    StaleMemberEpoch,
    UnknownMemberId,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import (
    GROUP_ID_NOT_FOUND,
    ILLEGAL_GENERATION,
    NONE,
    UNSUPPORTED_VERSION,
    group_code_of,
)
from partstream.groups.requests import check_metadata
from partstream.groups.rows import TopicIdPartition
from partstream.model import OffsetAndMetadata

_KNOWS_EPOCHS = 9
"""The first version that members of consumer groups (KIP-848) may use."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Commit what can be committed; the rest is told why not."""
    offsets: dict[TopicIdPartition, OffsetAndMetadata] = {}
    rows: list[tuple[Struct, list[dict[str, Any]]]] = []
    for topic in request.topics:
        answers = []
        for asked in topic.partitions:
            answer = {"partition_index": asked.partition_index, "error_code": NONE}
            try:
                partition = (await broker.named(topic.name, topic.topic_id)).partition(
                    asked.partition_index
                )
                metadata = asked.committed_metadata or ""
                check_metadata(metadata, broker.config.offset_metadata_max_bytes)
                offsets[partition.topic_id, partition.index] = OffsetAndMetadata(
                    asked.committed_offset, metadata, asked.committed_leader_epoch
                )
            except PartstreamError as error:
                answer["error_code"] = group_code_of(error)
            answers.append(answer)
        rows.append((topic, answers))
    code = await _commit(broker, call, request, offsets)
    named = "topic_id" if call.version >= _BY_ID else "name"
    return {
        "topics": [
            {
                named: getattr(topic, named),
                "partitions": [
                    {**answer, "error_code": answer["error_code"] or code} for answer in answers
                ],
            }
            for topic, answers in rows
            if answers
        ]
    }


_BY_ID = 10


async def _commit(
    broker: Broker,
    call: Call,
    request: Struct,
    offsets: Mapping[TopicIdPartition, OffsetAndMetadata],
) -> int:
    try:
        await broker.groups.commit(
            request.group_id,
            offsets,
            member_id=request.member_id,
            member_epoch=request.generation_id_or_member_epoch,
            instance_id=request.group_instance_id,
        )
    except StaleMemberEpoch as error:
        return UNSUPPORTED_VERSION if call.version < _KNOWS_EPOCHS else error.code
    except UnknownMemberId as error:
        if await _exists(broker, request):
            return error.code
        return await _commit_to_new(broker, call, request, offsets)
    except PartstreamError as error:
        return group_code_of(error)
    return NONE


async def _commit_to_new(
    broker: Broker,
    call: Call,
    request: Struct,
    offsets: Mapping[TopicIdPartition, OffsetAndMetadata],
) -> int:
    """There is no group: who speaks of no generation may call itself what it likes."""
    if request.generation_id_or_member_epoch >= 0:
        return ILLEGAL_GENERATION if call.version < _KNOWS_EPOCHS else GROUP_ID_NOT_FOUND
    try:
        await broker.groups.commit(request.group_id, offsets)
    except PartstreamError as error:
        return group_code_of(error)
    return NONE


async def _exists(broker: Broker, request: Struct) -> bool:
    try:
        await broker.groups.describe(request.group_id)
    except GroupIdNotFound:
        return False
    except PartstreamError:
        pass  # it was there a moment ago
    return True

"""ConsumerGroupHeartbeat (68), versions 0-1: a member of a consumer group joins, lives, rebalances
and leaves (KIP-848)."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from partstream.config.gateway import GatewayConfig
from partstream.engine.groups import Heartbeat
from partstream.errors import (
    GroupIdNotFound,
    InconsistentGroupProtocol,
    InvalidGroupId,
    InvalidRequest,
    PartstreamError,
    UnknownMemberId,
    UnsupportedAssignor,
)
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE, group_code_of
from partstream.groups.assignors import DEFAULT_ASSIGNOR
from partstream.groups.requests import JOIN
from partstream.groups.rows import Partitions

_NEVER = -1
"""A version that no member's row has."""


class _Told(NamedTuple):
    """What a member was told on a connection, and what of that it has heard."""

    epoch: int
    version: int
    """Of the last answer. What the member says that it owns follows from that."""
    heard: int
    """The version of an assignment that it certainly knows.

    It has heard of a new one when it says that it owns that. Until then it is told with each
    heartbeat: librdkafka drops an answer that takes longer than the heartbeat interval, and asks
    again as if nothing could have been in it.
    """


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Pass the heartbeat on to the group coordinator."""
    try:
        beat = await _beat(broker, call, request)
    except InvalidGroupId:
        return {"error_code": INVALID_REQUEST, "error_message": "GroupId can't be empty."}
    except InconsistentGroupProtocol as error:
        return {"error_code": GroupIdNotFound.code, "error_message": str(error)}
    except UnknownMemberId as error:
        return await _unknown(broker, request.group_id, error)
    except PartstreamError as error:
        return {"error_code": group_code_of(error), "error_message": str(error)}
    assignment = beat.assignment
    return {
        "error_code": NONE,
        "member_id": beat.member_id,
        "member_epoch": beat.member_epoch,
        "heartbeat_interval": beat.heartbeat_interval_ms,
        "assignment": None if assignment is None else {"topic_partitions": by_topic(assignment)},
    }


async def _unknown(broker: Broker, group_id: str, error: UnknownMemberId) -> Mapping[str, Any]:
    """A member that is not there: perhaps its whole group is not."""
    try:
        await broker.groups.describe(group_id)
    except GroupIdNotFound as missing:
        message = f"Consumer group {group_id} not found."
        return {"error_code": missing.code, "error_message": message}
    except PartstreamError as failure:
        return {"error_code": group_code_of(failure), "error_message": str(failure)}
    return {"error_code": error.code, "error_message": str(error)}


async def _beat(broker: Broker, call: Call, request: Struct) -> Heartbeat:
    config = broker.config
    member_id = request.member_id
    if not member_id and call.version == 0 and request.member_epoch == JOIN:
        member_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    owned = request.topic_partitions
    if owned is None and request.member_epoch == JOIN:
        raise InvalidRequest("TopicPartitions must be empty when (re-)joining.")
    owns: Partitions | None = None
    if owned is not None:
        owns = frozenset(
            (topic.topic_id or "", index) for topic in owned for index in topic.partitions
        )
    told = call.connection.memory
    key = (request.group_id, member_id)
    known: _Told | None = told.get(key)
    if known is not None and known.epoch != request.member_epoch:
        known = None
    beat = await broker.groups.heartbeat(
        request.group_id,
        member_id,
        request.member_epoch,
        instance_id=request.instance_id,
        rack=request.rack_id,
        rebalance_timeout_ms=request.rebalance_timeout,
        client_id=call.client_id,
        host=f"/{call.connection.peer}",
        subscribed_topics=request.subscribed_topic_names,
        subscribed_regex=request.subscribed_topic_regex,
        assignor=_assignor(broker.config, request),
        owned=owns,
        session_timeout_ms=config.group_consumer_session_timeout_ms,
        heartbeat_interval_ms=config.group_consumer_heartbeat_interval_ms,
        seen=_seen(known, says=owns is not None),
    )
    if beat.member_epoch > JOIN:
        heard = beat.version
        if known is not None and beat.assignment is not None and beat.assignment != owns:
            heard = known.heard
        told[key] = _Told(beat.member_epoch, beat.version, heard)
    else:
        told.pop(key, None)
    return beat


def _seen(known: _Told | None, *, says: bool) -> int | None:
    """What a heartbeat follows from, as the coordinator calls it.

    Args:
        known: None on a new connection: what was said on the one before may have been lost.
        says: whether the member says what it owns.
    """
    if known is None:
        return None if says else _NEVER
    return known.version if says else known.heard


def _assignor(config: GatewayConfig, request: Struct) -> str | None:
    """The assignor that the member wants; None: as before, or the library's default."""
    asked: str | None = request.server_assignor
    if asked is not None and asked not in config.assignors:
        known = ", ".join(config.assignors)
        raise UnsupportedAssignor(f"ServerAssignor {asked} is not supported; there are {known}")
    first = config.assignors[0]
    joins = request.member_epoch == JOIN
    return first if asked is None and joins and first != DEFAULT_ASSIGNOR else asked


def by_topic(partitions: Partitions) -> list[dict[str, Any]]:
    """Partitions as the protocol lists them."""
    numbers: dict[str, list[int]] = {}
    for topic_id, number in sorted(partitions):
        numbers.setdefault(topic_id, []).append(number)
    return [{"topic_id": topic_id, "partitions": these} for topic_id, these in numbers.items()]

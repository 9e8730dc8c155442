"""DescribeGroups (15), versions 0-6: classic groups. A consumer group is none (use API 69)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.groups.classic_groups import ClassicMember
from partstream.errors import GroupIdNotFound, InvalidGroupId, PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import GROUP_ID_NOT_FOUND, NONE, group_code_of
from partstream.gateway.names import GROUP_OPERATIONS, NOT_ASKED
from partstream.groups.classic import Phase

_TELLS_UNKNOWN = 6
"""The version since which a group that is not there is an error (KIP-1043)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """Every group that was asked for."""
    operations = GROUP_OPERATIONS if request.include_authorized_operations else NOT_ASKED
    return {
        "groups": [
            {"authorized_operations": operations, **await _group(broker, call, group_id)}
            for group_id in request.groups
        ]
    }


async def _group(broker: Broker, call: Call, group_id: str) -> dict[str, Any]:
    try:
        if (await broker.groups.describe(group_id)).type != "classic":
            return _none(call, group_id, f"Group {group_id} is not a classic group.")
        described = await broker.groups.classic.describe(group_id)
    except (GroupIdNotFound, InvalidGroupId):
        return _none(call, group_id, f"Group {group_id} not found.")
    except PartstreamError as error:
        return {"error_code": group_code_of(error), "group_id": group_id}
    group = described.group
    stable = group.phase == Phase.STABLE
    return {
        "error_code": NONE,
        "group_id": group_id,
        "group_state": group.phase,
        "protocol_type": group.protocol_type or "",
        "protocol_data": (group.protocol or "") if stable else "",
        "members": [_member(member, stable=stable) for member in described.members],
    }


def _member(described: ClassicMember, *, stable: bool) -> dict[str, Any]:
    """A member; what it wants is told while the group is stable."""
    member = described.member
    return {
        "member_id": member.id,
        "group_instance_id": member.instance_id,
        "client_id": member.client_id,
        "client_host": member.host,
        "member_metadata": described.metadata if stable else b"",
        "member_assignment": described.assignment,
    }


def _none(call: Call, group_id: str, message: str) -> dict[str, Any]:
    row = {"error_code": NONE, "group_id": group_id, "group_state": "Dead"}
    if call.version >= _TELLS_UNKNOWN:
        row |= {"error_code": GROUP_ID_NOT_FOUND, "error_message": message}
        row["authorized_operations"] = NOT_ASKED
    return row

"""What a member of a classic group may do now: error codes, of a group that stays as it is."""

from __future__ import annotations

from partstream.errors import (
    FencedInstanceId,
    IllegalGeneration,
    RebalanceInProgress,
    UnknownMemberId,
)
from partstream.groups.classic import Group, Phase
from partstream.groups.classic_events import NONE


def check_member(group: Group, member_id: str, instance_id: str | None) -> int:
    """Whether the member is in the group, and still the instance that it says."""
    if instance_id is not None:
        holder = group.holder(instance_id)
        if holder is None:
            return UnknownMemberId.code
        if holder != member_id:
            return FencedInstanceId.code
    return NONE if member_id in group.members else UnknownMemberId.code


def check_heartbeat(group: Group, member_id: str, instance_id: str | None, generation: int) -> int:
    """What a heartbeat is answered."""
    code = check_member(group, member_id, instance_id)
    if code == NONE and generation != group.generation:
        code = IllegalGeneration.code
    if code == NONE and group.phase == Phase.PREPARING_REBALANCE:
        code = RebalanceInProgress.code
    return code


def check_commit(group: Group, member_id: str, instance_id: str | None, generation: int) -> int:
    """Whether offsets may be committed."""
    if generation < 0 and group.phase == Phase.EMPTY:
        return NONE
    if generation < 0 and not member_id and instance_id is None:
        return UnknownMemberId.code
    code = check_member(group, member_id, instance_id)
    if code == NONE and generation != group.generation:
        code = IllegalGeneration.code
    if code == NONE and group.phase == Phase.COMPLETING_REBALANCE:
        code = RebalanceInProgress.code
    return code


def join_answer(group: Group, member_id: str, instance_id: str | None) -> int | None:
    """Whether a parked JoinGroup can be answered, and with which error; None: not yet."""
    code = check_member(group, member_id, instance_id)
    if code == NONE and group.members[member_id].joining:
        return None
    return code


def sync_answer(
    group: Group, member_id: str, instance_id: str | None, generation: int
) -> int | None:
    """Whether a parked SyncGroup can be answered, and with which error; None: not yet."""
    code = check_member(group, member_id, instance_id)
    if code != NONE:
        return code
    if group.generation != generation or group.phase == Phase.PREPARING_REBALANCE:
        return RebalanceInProgress.code
    return None if group.phase == Phase.COMPLETING_REBALANCE else NONE

"""Classic groups as an admin sees every group: the same values, whatever the type."""

from __future__ import annotations

from partstream.engine.groups.classic_calls import CLASSIC
from partstream.engine.groups.classic_groups import ClassicDescription, ClassicMember
from partstream.groups.classic import Group, Phase
from partstream.groups.classic_protocol import CONSUMER, assigned_partitions, subscribed_topics
from partstream.model import GroupDescription, GroupState, MemberDescription

_STATES = {
    Phase.EMPTY: GroupState.EMPTY,
    Phase.PREPARING_REBALANCE: GroupState.PREPARING_REBALANCE,
    Phase.COMPLETING_REBALANCE: GroupState.COMPLETING_REBALANCE,
    Phase.STABLE: GroupState.STABLE,
    Phase.DEAD: GroupState.DEAD,
}


def classic_state(group: Group) -> GroupState:
    """The state of a classic group."""
    return _STATES[group.phase]


def described(group_id: str, description: ClassicDescription) -> GroupDescription:
    """A classic group; what its members own is known while it is stable, and if they consume."""
    group = description.group
    return GroupDescription(
        group_id,
        CLASSIC,
        classic_state(group),
        group.generation,
        group.generation,
        group.protocol or "",
        tuple(_member(group, member) for member in description.members),
        protocol_type=group.protocol_type or "",
    )


def _member(group: Group, described: ClassicMember) -> MemberDescription:
    member = described.member
    consumes = group.protocol_type == CONSUMER
    topics = subscribed_topics(described.metadata) if consumes else None
    stable = consumes and group.phase == Phase.STABLE
    assignment = assigned_partitions(described.assignment) if stable else None
    return MemberDescription(
        member.id,
        member.instance_id,
        member.client_id,
        member.host,
        group.generation,
        tuple(sorted(topics or ())),
        None,
        assignment or (),
        assignment or (),
        type=CLASSIC,
    )

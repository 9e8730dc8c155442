"""A group on its way from one protocol to the other (KIP-848, online migration).

`upgrade` makes a classic group a consumer group, `downgrade` the reverse. Members keep their ids,
their sessions, and what they own. No partition has two owners after either, since each member
keeps at most what no other has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from partstream.errors import InconsistentGroupProtocol
from partstream.groups.classic import (
    JOIN,
    Group,
    Member,
    Phase,
    Protocols,
    digest,
)
from partstream.groups.classic_protocol import (
    CONSUMER,
    Wish,
    read_assignment,
    read_wish,
    write_assignment,
)
from partstream.groups.consumer import Catalog, relevant_fingerprint
from partstream.groups.mixed import by_id, by_name
from partstream.groups.rows import STABLE, MemberRow, Partitions, Subscription

_WELL_KNOWN = {"range", "roundrobin", "sticky", "cooperative-sticky"}
"""Assignors that clients bring with them: what they add to an assignment is for their own use.
librdkafka sends it along with what its cooperative-sticky assigns."""


class Policy(StrEnum):
    """Which ways groups may go that have members: Kafka's group.consumer.migration.policy."""

    DISABLED = "disabled"
    BIDIRECTIONAL = "bidirectional"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"

    @property
    def upgrades(self) -> bool:
        """Whether a classic group becomes a consumer group when a member of such a group comes."""
        return self in (Policy.BIDIRECTIONAL, Policy.UPGRADE)

    @property
    def downgrades(self) -> bool:
        """Whether a consumer group becomes a classic one when only classic members are left."""
        return self in (Policy.BIDIRECTIONAL, Policy.DOWNGRADE)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A member of a classic group, as one of a consumer group."""

    member_id: str
    row: MemberRow
    subscription: Subscription
    session_ms: int
    supported: Protocols


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A classic group as a consumer group."""

    members: tuple[Upgraded, ...]
    topics: str
    """The fingerprint of the topics that it subscribes to, if all of their partitions are
    somebody's: then there is no new assignment to make. Else empty."""
    seen: str
    """The fingerprint of all topics; empty if `topics` is."""


def upgrade(
    group_id: str,
    group: Group,
    protocols: Mapping[str, Mapping[str, bytes]],
    assignments: Mapping[str, bytes],
    catalog: Catalog,
) -> Upgrade:
    """A classic group as a consumer group.

    Raises:
        InconsistentGroupProtocol: it cannot become one; with Kafka's words.
    """
    if group.protocol_type != CONSUMER:
        raise refused(group_id, "the group does not use the consumer embedded protocol.")
    wishes = {
        member_id: _wish(group_id, group, protocols.get(member_id, {}))
        for member_id in group.members
    }
    strange = group.protocol not in _WELL_KNOWN
    owned = _owned(group_id, wishes, assignments, catalog, strange=strange)
    members = tuple(
        Upgraded(
            member.id,
            MemberRow(group.generation, group.generation, 0, 0, STABLE, owned[member.id]),
            subscription(member, wishes[member.id]),
            member.session_ms,
            tuple((name, protocols[member.id][name]) for name in member.protocols),
        )
        for member in group.members.values()
    )
    wanted = catalog.partitions({name for wish in wishes.values() for name in wish.topics})
    if not wanted <= frozenset().union(*owned.values()):
        return Upgrade(members, "", "")
    subscriptions = {member.member_id: member.subscription for member in members}
    topics = relevant_fingerprint(subscriptions, catalog)
    return Upgrade(members, topics, catalog.fingerprint)


def refused(group_id: str, why: str) -> InconsistentGroupProtocol:
    """What a member of a consumer group is told that may not join a classic one."""
    return InconsistentGroupProtocol(
        f"Cannot upgrade classic group {group_id} to consumer group because {why}"
    )


def subscription(member: Member, wish: Wish) -> Subscription:
    """What a classic member subscribes to."""
    return Subscription(
        tuple(sorted(set(wish.topics))),
        rack=wish.rack,
        instance_id=member.instance_id,
        rebalance_timeout_ms=member.rebalance_ms,
        client_id=member.client_id,
        host=member.host,
    )


def _wish(group_id: str, group: Group, metadata: Mapping[str, bytes]) -> Wish:
    """By the protocol of the generation; one that has just come may not support that."""
    chosen = metadata.get(group.protocol or "", next(iter(metadata.values()), b""))
    wish = read_wish(chosen)
    if wish is None:
        raise _malformed(group_id)
    return wish


def _malformed(group_id: str) -> InconsistentGroupProtocol:
    return refused(group_id, "the embedded consumer protocol is malformed.")


def _owned(
    group_id: str,
    wishes: Mapping[str, Wish],
    assignments: Mapping[str, bytes],
    catalog: Catalog,
    *,
    strange: bool,
) -> dict[str, Partitions]:
    """What each member may be reading: what it was assigned, and what a cooperative one has not
    let go of yet, as far as nobody else was assigned it.

    Args:
        strange: What the assignor may have added to an assignment means something to its clients.
    """
    owned: dict[str, Partitions] = {}
    taken: set[tuple[str, int]] = set()
    for member_id in wishes:
        assignment = assignments.get(member_id, b"")
        read = read_assignment(assignment) if assignment else ((), b"")
        if read is None:
            raise _malformed(group_id)
        partitions, added = read
        if added and strange:
            raise refused(
                group_id,
                "an unsupported custom assignor is in use. Please refer to the documentation or "
                "switch to a default assignor before re-attempting the upgrade.",
            )
        # Assignors are clients: that no two of them get the same is not for them to decide here.
        owned[member_id] = by_id(partitions, catalog) - taken
        taken |= owned[member_id]
    for member_id in sorted(wishes, key=lambda one: -wishes[one].generation):
        kept = by_id(wishes[member_id].owned, catalog) - taken
        owned[member_id] |= kept
        taken |= kept
    return owned


@dataclass(frozen=True, slots=True)
class Downgraded:
    """A consumer group, as a classic one whose members are to join again."""

    group: Group
    """Its only deadline is the end of the join phase, from now."""
    protocols: dict[str, Protocols]
    assignments: dict[str, bytes]


def downgrade(
    rows: Mapping[str, MemberRow],
    subscriptions: Mapping[str, Subscription],
    supported: Mapping[str, Protocols],
    session_ms: Mapping[str, int],
    catalog: Catalog,
) -> Downgraded | None:
    """The group as a classic one; None if its members could not be in one.

    Its generation is the newest epoch that a member has: so those that have it hear that they are
    to join again, and do not take themselves for fenced.
    """
    group = Group(
        Phase.PREPARING_REBALANCE, max(row.epoch for row in rows.values()), protocol_type=CONSUMER
    )
    assignments = {}
    for member_id in sorted(rows):
        wanted, protocols = subscriptions[member_id], supported[member_id]
        group.members[member_id] = Member(
            member_id,
            wanted.instance_id,
            wanted.client_id,
            wanted.host,
            session_ms[member_id],
            wanted.rebalance_timeout_ms,
            tuple(name for name, _ in protocols),
            digest(protocols),
        )
        wish = read_wish(protocols[0][1])
        owned = rows[member_id].assigned | rows[member_id].revoking
        version = 0 if wish is None else wish.version
        assignments[member_id] = write_assignment(version, by_name(owned, catalog))
    if not group.common():
        return None
    group.protocol = group.select_protocol()
    group.deadlines[JOIN] = max(group.rebalance_ms, 0)
    return Downgraded(group, dict(supported), assignments)

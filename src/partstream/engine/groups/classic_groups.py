"""Classic groups: what Kafka's coordinator does for JoinGroup, SyncGroup, Heartbeat and LeaveGroup.

Any process may serve any member of any group: all state is in Redis. What a process holds is only
who waits for an answer here (`classic_desk`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from partstream.engine.groups.calls import NO_UPGRADE, GroupCalls
from partstream.engine.groups.classic_answers import Joined, Synced
from partstream.engine.groups.classic_calls import CLASSIC, ClassicCalls
from partstream.engine.groups.classic_desk import Answer, Desk
from partstream.engine.groups.mixed import ClassicMembers
from partstream.engine.groups.mixed_calls import upgrading
from partstream.errors import GroupIdNotFound, InvalidSessionTimeout, RebalanceInProgress
from partstream.groups.classic import Group, Member, Phase
from partstream.groups.classic_checks import check_commit, check_heartbeat
from partstream.groups.classic_events import NONE, Join, Leave, Limits, Sync
from partstream.groups.classic_protocol import CONSUMER, subscribed_topics
from partstream.groups.migration import Policy, refused, upgrade
from partstream.groups.requests import check_group_id
from partstream.store.store import Store

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ClassicMember:
    """A member as an admin sees it."""

    member: Member
    metadata: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True)
class ClassicDescription:
    """A classic group as an admin sees it."""

    group: Group
    members: tuple[ClassicMember, ...]

    def subscribed(self) -> frozenset[str] | None:
        """The topics that members subscribe to; None if the group does not say."""
        if self.group.protocol_type != CONSUMER:
            return None
        topics = [subscribed_topics(member.metadata) for member in self.members]
        known = [one for one in topics if one is not None]
        return frozenset().union(*known) if len(known) == len(topics) else None


class ClassicGroups:
    """The classic groups of a namespace, as this process serves them."""

    def __init__(
        self, store: Store, calls: GroupCalls, mixed: ClassicMembers, limits: Limits
    ) -> None:
        """`mixed`: who serves those members of consumer groups that speak the classic protocol."""
        self._store = store
        self._calls = ClassicCalls(calls)
        self._mixed = mixed
        self._limits = limits
        self._desks: dict[str, Desk] = {}

    async def join(self, group_id: str, request: Join) -> Joined:
        """JoinGroup: wait for the others, and hear of the new generation.

        Raises:
            InvalidGroupId: it is empty.
            CoordinatorNotAvailable: replicas did not confirm; ask again.
        """
        check_group_id(group_id)
        limits = self._limits
        if not (
            limits.min_session_timeout_ms <= request.session_ms <= limits.max_session_timeout_ms
        ):
            return Joined(InvalidSessionTimeout.code, request.member_id)
        for _ in range(_ATTEMPTS):
            answer = await self._desk(group_id).ask(request)
            if not answer.taken:
                return _joined(answer)
            # It may have joined, and the group have become a consumer group while it waited.
            request = replace(request, member_id=answer.outcome.member_id or request.member_id)
            joined = await self._mixed.join(group_id, request)
            if joined is not None:
                return joined
        return Joined(RebalanceInProgress.code, request.member_id)

    async def sync(self, group_id: str, request: Sync) -> Synced:
        """SyncGroup: give the leader's assignments, wait for one's own.

        Raises:
            InvalidGroupId, CoordinatorNotAvailable: as `join`.
        """
        check_group_id(group_id)
        for _ in range(_ATTEMPTS):
            answer: Answer = await self._desk(group_id).ask(request)
            if not answer.taken:
                if answer.outcome.error != NONE:
                    return Synced(answer.outcome.error)
                group = answer.group
                return Synced(NONE, group.protocol_type, group.protocol, answer.assignment)
            synced = await self._mixed.sync(group_id, request)
            if synced is not None:
                return synced
        return Synced(RebalanceInProgress.code)

    async def leave(self, group_id: str, request: Leave) -> tuple[int, ...]:
        """LeaveGroup: the error of each member.

        Raises:
            InvalidGroupId, CoordinatorNotAvailable: as `join`.
        """
        check_group_id(group_id)
        for _ in range(_ATTEMPTS):
            answer = await self._desk(group_id).ask(request)
            if not answer.taken:
                return answer.outcome.codes
            codes = await self._mixed.leave(group_id, request)
            if codes is not None:
                return codes
        return (RebalanceInProgress.code,) * len(request.members)

    async def heartbeat(
        self, group_id: str, member_id: str, generation: int, instance_id: str | None
    ) -> int:
        """Heartbeat: keep a member alive; an error code.

        Raises:
            InvalidGroupId: it is empty.
        """
        check_group_id(group_id)
        for _ in range(_ATTEMPTS):
            found = await self._calls.beat(group_id, member_id, instance_id, generation)
            if found is None:
                group = await self.look(group_id)
                code: int | None = check_heartbeat(group, member_id, instance_id, generation)
                # Without an error it has become a member in this very moment.
                code = code or None
            elif found[0] is None:
                code = await self._mixed.heartbeat(group_id, member_id, generation, instance_id)
            else:
                phase, next_deadline_ms = found
                self._desk(group_id).beat(next_deadline_ms)
                code = RebalanceInProgress.code if phase == Phase.PREPARING_REBALANCE else NONE
            if code is not None:
                return code
        return RebalanceInProgress.code

    async def upgrade(self, group_id: str, policy: Policy, most: int) -> Sequence[str | int]:
        """What a join needs to make the group a consumer group; nothing if it has no members.

        Args:
            most: The most members of a consumer group; 0: no limit.

        Raises:
            InconsistentGroupProtocol: it cannot become one, or is not to.
        """
        await self.look(group_id)
        loaded = await self._calls.load(group_id, details=True)
        members = loaded.group.members
        if not members:
            return NO_UPGRADE
        if not policy.upgrades:
            raise refused(group_id, "online upgrade is disabled.")
        if most and len(members) > most:
            raise refused(group_id, "the group size exceeds the consumer group maximum size.")
        catalog = await self._mixed.read_catalog()
        made = upgrade(group_id, loaded.group, loaded.protocols, loaded.assignments, catalog)
        return upgrading(loaded.version, made)

    async def look(self, group_id: str) -> Group:
        """The group, after all that is due was done; an empty one if there is none, or if it is a
        consumer group."""
        return (await self._desk(group_id).ask(None)).group

    async def is_empty(self, group_id: str) -> bool:
        """Whether it is a classic group all of whose members have gone."""
        await self.look(group_id)
        loaded = await self._calls.load(group_id)
        return loaded.kind == CLASSIC and not loaded.size

    async def commit_error(
        self, group_id: str, member_id: str, generation: int, instance_id: str | None
    ) -> int:
        """Why a commit was refused; no error if it was not the group's type that refused it."""
        answer = await self._desk(group_id).ask(None)
        if answer.taken:
            return NONE
        return check_commit(answer.group, member_id, instance_id, generation)

    async def describe(self, group_id: str) -> ClassicDescription:
        """A group and its members.

        Raises:
            GroupIdNotFound: there is no such group, or it is of another type.
        """
        await self.look(group_id)
        loaded = await self._calls.load(group_id, details=True)
        if loaded.kind != CLASSIC:
            raise GroupIdNotFound(f"group {group_id!r} is not a classic group")
        group = loaded.group
        return ClassicDescription(
            group,
            tuple(
                ClassicMember(
                    member,
                    loaded.protocols.get(member.id, {}).get(group.protocol or "", b""),
                    loaded.assignments.get(member.id, b""),
                )
                for member in group.members.values()
            ),
        )

    async def close(self) -> None:
        """Serve no more. The store stays open."""
        desks: Mapping[str, Desk] = dict(self._desks)
        for desk in desks.values():
            await desk.close()
        self._desks.clear()

    def _desk(self, group_id: str) -> Desk:
        desk = self._desks.get(group_id)
        if desk is None:
            desk = self._desks[group_id] = Desk(
                group_id,
                self._calls,
                self._store.bells,
                self._limits,
                self._forget,
            )
        return desk

    def _forget(self, desk: Desk) -> None:
        if self._desks.get(desk.group_id) is desk:
            del self._desks[desk.group_id]


def _joined(answer: Answer) -> Joined:
    outcome, group = answer.outcome, answer.group
    if outcome.error != NONE:
        return Joined(outcome.error, outcome.member_id)
    return Joined(
        NONE,
        outcome.member_id,
        group.generation,
        group.protocol_type,
        group.protocol,
        (outcome.leader if outcome.immediate else group.leader) or "",
        outcome.skip_assignment,
        tuple(
            (member_id, group.members[member_id].instance_id, metadata)
            for member_id, metadata in answer.metadata.items()
        ),
    )

"""The rules of a classic group: `(group, events, now) -> (group, outcomes)`, and nothing else.

There is no clock and no I/O here. A member that has to wait is a flag in its row; whoever serves
its request asks `join_answer` or `sync_answer` again whenever the group has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from partstream.errors import (
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
    UnknownServerError,
)
from partstream.groups.classic import (
    JOIN,
    PENDING,
    SESSION,
    SYNC,
    Group,
    Initial,
    Member,
    Phase,
    digest,
)
from partstream.groups.classic_checks import check_member
from partstream.groups.classic_events import (
    NONE,
    Effects,
    Event,
    Join,
    Leave,
    Limits,
    Outcome,
    Sync,
)

_SLACK_MS = 1_000
"""A deadline further ahead than its span by this much: the clock was set back."""


def step(
    group: Group, events: Sequence[Event], now: int, limits: Limits, *, restarted: bool = False
) -> tuple[Group, list[Outcome], Effects]:
    """The group after these events, at this time; the group that was given stays as it is.

    Args:
        restarted: Redis was away or failed over: nobody could be heard, so every deadline begins
            anew.
    """
    machine = _Machine(group.copy(), now, limits)
    machine.mend(restarted=restarted)
    machine.tick()
    outcomes = [machine.take(event) for event in events]
    machine.tick()
    return machine.group, outcomes, machine.effects


class _Machine:
    """One step: a group that is being changed."""

    def __init__(self, group: Group, now: int, limits: Limits) -> None:
        self.group = group
        self.now = now
        self.limits = limits
        self.effects = Effects()

    # Time.

    def mend(self, *, restarted: bool) -> None:
        """Deadlines that mean nothing any more begin anew.

        Not those of ids that were given out: whose session is to come is not known, and every
        rebalance waits for them. Who comes too late with one gets another.
        """
        for name, due in self.group.deadlines.items():
            span = self._span(name)
            begins_anew = restarted and not name.startswith(PENDING)
            if begins_anew or due > self.now + span + _SLACK_MS:
                self.group.deadlines[name] = self.now + span

    def _span(self, name: str) -> int:
        kind, member_id = name[:2], name[2:]
        group = self.group
        if kind == SESSION and member_id in group.members:
            member = group.members[member_id]
            return self.limits.new_member_join_ms if member.fresh else member.session_ms
        if kind == JOIN and group.initial is not None:
            return group.initial.delay_ms
        if kind in (JOIN, SYNC):
            return group.rebalance_ms
        return max(self.limits.new_member_join_ms, self.limits.max_session_timeout_ms)

    def tick(self) -> None:
        """Do all that is due."""
        while due := self._due():
            _, name = min(due)
            kind, member_id = name[:2], name[2:]
            del self.group.deadlines[name]
            if kind == JOIN:
                self._end_of_join()
            elif kind == SYNC:
                self._end_of_sync()
            elif kind == PENDING:
                self._complete_if_all_joined()
            else:
                self._end_of_session(name, member_id)

    def _due(self) -> list[tuple[int, str]]:
        return [(due, name) for name, due in self.group.deadlines.items() if due <= self.now]

    def _end_of_join(self) -> None:
        group = self.group
        if group.phase != Phase.PREPARING_REBALANCE:
            return
        initial = group.initial
        if initial is not None and initial.grown and initial.left_ms > 0:
            delay = min(self.limits.initial_rebalance_delay_ms, initial.left_ms)
            left = max(initial.left_ms - initial.delay_ms, 0)
            group.initial = Initial(delay, left)
            group.deadlines[JOIN] = self.now + delay
        else:
            self._complete_join()

    def _end_of_sync(self) -> None:
        group = self.group
        silent = [member.id for member in group.members.values() if not member.synced]
        if silent and group.phase in (Phase.COMPLETING_REBALANCE, Phase.STABLE):
            for member_id in silent:
                self._remove(member_id)
            self._prepare()

    def _end_of_session(self, name: str, member_id: str) -> None:
        group = self.group
        member = group.members.get(member_id)
        if member is None:
            return
        # Who waits for an answer cannot send heartbeats; only new members may not wait for ever.
        syncing = member.synced and group.phase == Phase.COMPLETING_REBALANCE
        if syncing or (member.joining and not member.fresh):
            return
        self.effects.expired.append(name)
        self._remove(member_id)
        if group.phase in (Phase.STABLE, Phase.COMPLETING_REBALANCE):
            self._prepare()
        else:
            self._complete_if_all_joined()

    # Events.

    def take(self, event: Event) -> Outcome:
        """One event."""
        if isinstance(event, Join):
            return self._join(event)
        return self._sync(event) if isinstance(event, Sync) else self._leave(event)

    def _join(self, event: Join) -> Outcome:
        group = self.group
        if not self._accepts(event.member_id):
            if event.member_id in group.members:
                self._remove(event.member_id)
                self._complete_unless_initial()
            return Outcome(GroupMaxSizeReached.code)
        if not group.supports(event.protocol_type, tuple(name for name, _ in event.protocols)):
            return Outcome(InconsistentGroupProtocol.code, event.member_id)
        if event.member_id:
            return self._join_again(event)
        if event.instance_id is not None:
            holder = group.holder(event.instance_id)
            if holder is not None:
                return self._replace(event, holder)
        elif event.id_required:
            group.deadlines[PENDING + event.new_id] = self.now + event.session_ms
            return Outcome(MemberIdRequired.code, event.new_id)
        return self._add(event, event.new_id)

    def _accepts(self, member_id: str) -> bool:
        """Whether there is room; during a rebalance those count that have come so far."""
        group, most = self.group, self.limits.max_size
        member = group.members.get(member_id)
        if group.phase == Phase.EMPTY:
            return True
        if group.phase == Phase.PREPARING_REBALANCE:
            waiting = sum(one.joining for one in group.members.values())
            return (member is not None and member.joining) or waiting < most
        return member is not None or len(group.members) < most

    def _join_again(self, event: Join) -> Outcome:
        group, member_id = self.group, event.member_id
        if PENDING + member_id in group.deadlines:
            if event.instance_id is not None:
                return Outcome(UnknownServerError.code)  # as Kafka
            return self._add(event, member_id)
        code = check_member(group, member_id, event.instance_id)
        if code != NONE:
            return Outcome(code, member_id)
        member = group.members[member_id]
        same = member.digest == digest(event.protocols)
        known = same and (
            group.phase == Phase.COMPLETING_REBALANCE
            or (group.phase == Phase.STABLE and member_id != group.leader)
        )
        if not known:
            self._update(member, event)
            self._rebalance()
        # Else it did not hear, or forgot, of this generation: it is told again.
        return Outcome(member_id=member_id)

    def _add(self, event: Join, member_id: str) -> Outcome:
        group = self.group
        if not group.members:
            group.protocol_type = event.protocol_type
        group.leader = group.leader or member_id
        group.deadlines.pop(PENDING + member_id, None)
        member = Member(
            member_id, event.instance_id, event.client_id, event.host, joining=True, fresh=True
        )
        self._update(member, event)
        if group.initial is not None:
            group.initial = replace(group.initial, grown=True)
        self._rebalance()
        return Outcome(member_id=member_id)

    def _update(self, member: Member, event: Join, *, joining: bool = True) -> None:
        self.group.members[member.id] = replace(
            member,
            session_ms=event.session_ms,
            rebalance_ms=event.rebalance_ms,
            protocols=tuple(name for name, _ in event.protocols),
            digest=digest(event.protocols),
            joining=joining,
            synced=member.synced and not joining,
        )
        self.effects.protocols[member.id] = event.protocols
        if joining and member.fresh:
            self.group.deadlines[SESSION + member.id] = self.now + self.limits.new_member_join_ms
        elif joining:
            self.group.deadlines.pop(SESSION + member.id, None)

    def _replace(self, event: Join, holder: str) -> Outcome:
        """A static member is back without its id: it takes its own place, and fences the old id."""
        group, leader = self.group, self.group.leader
        old = group.members[holder]
        self._inherit(event.new_id, holder)
        self._remove(holder)
        if leader == holder:
            group.leader = event.new_id
        stable = group.phase == Phase.STABLE
        self._update(replace(old, id=event.new_id), event, joining=not stable)
        if stable:
            group.deadlines[SESSION + event.new_id] = self.now + event.session_ms
            if group.select_protocol() == group.protocol:
                return self._unchanged(event, leader)
            self._update(group.members[event.new_id], event)
        if group.phase == Phase.PREPARING_REBALANCE:
            self._complete_unless_initial()
        else:
            self._prepare()
        return Outcome(member_id=event.new_id)

    def _inherit(self, new_id: str, holder: str) -> None:
        """The assignment goes to the new id, also if it was not written down yet."""
        effects = self.effects
        effects.renamed[new_id] = effects.renamed.get(holder, holder)
        if effects.assignments is not None:
            effects.assignments[new_id] = effects.assignments.pop(holder, b"")

    def _unchanged(self, event: Join, old_leader: str | None) -> Outcome:
        """No rebalance: it keeps its assignment. An old client that leads is told that it does not,
        or it would assign."""
        if not event.can_skip:
            return Outcome(member_id=event.new_id, leader=old_leader, immediate=True)
        leads = self.group.leader == event.new_id
        return Outcome(
            member_id=event.new_id,
            leader=self.group.leader,
            skip_assignment=leads,
            immediate=True,
        )

    def _sync(self, event: Sync) -> Outcome:
        group, member_id = self.group, event.member_id
        code = check_member(group, member_id, event.instance_id)
        if code == NONE and event.generation != group.generation:
            code = IllegalGeneration.code
        if code == NONE and (
            _differ(event.protocol_type, group.protocol_type)
            or _differ(event.protocol, group.protocol)
        ):
            code = InconsistentGroupProtocol.code
        if code == NONE and group.phase == Phase.PREPARING_REBALANCE:
            code = RebalanceInProgress.code
        if code != NONE:
            return Outcome(code, member_id)
        group.members[member_id] = replace(group.members[member_id], synced=True)
        if group.phase == Phase.COMPLETING_REBALANCE:
            group.deadlines.pop(SESSION + member_id, None)
            if member_id == group.leader:
                self._install(event.assignments)
        if all(member.synced for member in group.members.values()):
            group.deadlines.pop(SYNC, None)
        return Outcome(member_id=member_id)

    def _install(self, assignments: dict[str, bytes]) -> None:
        group = self.group
        self.effects.assignments = {
            member_id: assignments.get(member_id, b"") for member_id in group.members
        }
        group.phase = Phase.STABLE
        for member in group.members.values():
            if member.synced:
                group.deadlines[SESSION + member.id] = self.now + member.session_ms

    def _leave(self, event: Leave) -> Outcome:
        group = self.group
        codes = tuple(self._leave_one(*one) for one in event.members)
        if NONE in codes:
            if group.phase in (Phase.STABLE, Phase.COMPLETING_REBALANCE):
                self._prepare()
            else:
                self._complete_unless_initial()
        return Outcome(codes=codes)

    def _leave_one(self, member_id: str, instance_id: str | None) -> int:
        group = self.group
        if not member_id:
            holder = None if instance_id is None else group.holder(instance_id)
            if holder is None:
                return UnknownMemberId.code
            self._remove(holder)
            return NONE
        if group.deadlines.pop(PENDING + member_id, None) is not None:
            return NONE
        code = check_member(group, member_id, instance_id)
        if code == NONE:
            self._remove(member_id)
        return code

    # Rebalances.

    def _rebalance(self) -> None:
        if self.group.phase == Phase.PREPARING_REBALANCE:
            self._complete_unless_initial()
        else:
            self._prepare()

    def _prepare(self) -> None:
        """A rebalance begins: all are to join again."""
        group = self.group
        if group.phase == Phase.COMPLETING_REBALANCE:
            for member in group.members.values():
                if member.synced:  # its SyncGroup is answered now, so it is to be heard of again
                    group.deadlines[SESSION + member.id] = self.now + member.session_ms
            self.effects.assignments = dict.fromkeys(group.members, b"")
        group.deadlines.pop(SYNC, None)
        for member in list(group.members.values()):
            if member.synced:
                group.members[member.id] = replace(member, synced=False)
        first = group.phase == Phase.EMPTY
        group.phase = Phase.PREPARING_REBALANCE
        if first:
            delay = self.limits.initial_rebalance_delay_ms
            group.initial = Initial(delay, max(group.rebalance_ms - delay, 0))
            group.deadlines[JOIN] = self.now + delay
        elif group.all_joined():
            self._complete_join()
        else:
            group.deadlines[JOIN] = self.now + group.rebalance_ms

    def _complete_unless_initial(self) -> None:
        if self.group.initial is None:
            self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if self.group.phase == Phase.PREPARING_REBALANCE and self.group.all_joined():
            self._complete_join()

    def _complete_join(self) -> None:
        """The join phase is over: who has not come is out, and the next generation begins."""
        group = self.group
        group.deadlines.pop(JOIN, None)
        for member in list(group.members.values()):
            if not member.joining and member.instance_id is None:
                self._remove(member.id)
        joined = [member.id for member in group.members.values() if member.joining]
        if group.members and not joined:
            # Only static members that may yet come back: wait until their sessions end.
            group.deadlines[JOIN] = self.now + max(group.rebalance_ms, 1)
            return
        if group.leader not in joined:
            group.leader = joined[0] if joined else None
        group.initial = None
        group.generation += 1
        if not group.members:
            group.protocol = None
            group.phase = Phase.EMPTY
            return
        group.protocol = group.select_protocol()
        group.phase = Phase.COMPLETING_REBALANCE
        for member in list(group.members.values()):
            group.members[member.id] = replace(member, joining=False, fresh=False, synced=False)
            group.deadlines[SESSION + member.id] = self.now + member.session_ms
        group.deadlines[SYNC] = self.now + max(group.rebalance_ms, 1)

    def _remove(self, member_id: str) -> None:
        group = self.group
        del group.members[member_id]
        group.deadlines.pop(SESSION + member_id, None)
        self.effects.protocols.pop(member_id, None)
        self.effects.renamed.pop(member_id, None)
        if group.leader == member_id:
            group.leader = next(iter(group.members), None)


def _differ(said: str | None, is_: str | None) -> bool:
    return said is not None and is_ is not None and said != is_

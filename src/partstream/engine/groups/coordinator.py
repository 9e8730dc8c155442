"""The group coordinator: what Kafka's ConsumerGroupHeartbeat does (KIP-848), on state in Redis.

There is no coordinator process. Every call reads what it needs, decides by the pure rules of
`partstream.groups`, and writes by a script that checks that nothing has changed meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from partstream.config.group import GroupConfig
from partstream.engine.groups.answers import Quiet, View
from partstream.engine.groups.assigner import Assigner
from partstream.engine.groups.calls import NO_UPGRADE, GroupCalls
from partstream.engine.topics import Topics
from partstream.errors import FencedMemberEpoch, UnknownMemberId
from partstream.groups.consumer import reconcile
from partstream.groups.requests import JOIN, LEAVE, UNSAID, HeartbeatRequest, check
from partstream.groups.rows import Partitions, Subscription, TopicIdPartition
from partstream.store.store import Store

SESSION_TIMEOUT_MS = 45_000
"""Kafka's group.consumer.session.timeout.ms."""
HEARTBEAT_INTERVAL_MS = 5_000
"""Kafka's group.consumer.heartbeat.interval.ms."""

_SOON_MS = 100
"""When to come again if the group's assignment is still being made."""
_WAITING_MS = 1_000
"""When to come again while others still own partitions; the bell mostly rings before."""
_ASSIGN_S = 0.5
"""How long a heartbeat waits for an assignment that is being made."""
_MOST_STEPS = 6


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The answer to a heartbeat."""

    member_id: str
    member_epoch: int
    heartbeat_interval_ms: int
    """When the next one is due, at the latest."""
    assignment: Partitions | None
    """What the member may own now; None if that is as it was. What it owns and does not find
    here it must let go of, and then say so in a heartbeat with `owned`."""
    version: int
    """The version of the member's row: goes into its next heartbeat as `seen`."""
    session_timeout_ms: int
    """How long it may be silent from now on."""


@dataclass(frozen=True, slots=True)
class Times:
    """What a member's client is configured to."""

    session_ms: int
    interval_ms: int

    def under(self, configs: GroupConfig) -> Times:
        """What holds for the member in a group that is configured so."""
        session, interval = configs.session_timeout_ms, configs.heartbeat_interval_ms
        session = self.session_ms if session is None else session
        interval = self.interval_ms if interval is None else interval
        # One of them may be the group's, and the other the client's.
        return Times(session, interval if interval < session else session // 3)


class Membership:
    """Heartbeats: join, live, rebalance, leave."""

    def __init__(
        self, store: Store, topics: Topics, *, max_size: int = 0, assignment_interval_ms: int = 0
    ) -> None:
        self.calls = GroupCalls(store)
        self.assigner = Assigner(self.calls, topics, assignment_interval_ms)
        self.max_size = max_size

    async def heartbeat(
        self,
        group_id: str,
        member_id: str,
        member_epoch: int,
        *,
        instance_id: str | None = None,
        rack: str | None = None,
        rebalance_timeout_ms: int = UNSAID,
        client_id: str = "",
        host: str = "",
        subscribed_topics: Sequence[str] | None = None,
        subscribed_regex: str | None = None,
        assignor: str | None = None,
        owned: Collection[TopicIdPartition] | None = None,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
        heartbeat_interval_ms: int = HEARTBEAT_INTERVAL_MS,
        seen: int | None = None,
        incarnation: int | None = None,
    ) -> Heartbeat:
        """Join (epoch 0), stay (the epoch of the last answer), or leave (-1; -2: for a while).

        None means: as before. Redis's clock counts, not the caller's.

        Args:
            owned: All partitions that the member owns now. Revocations are done only when it says
                so here.
            seen: The `version` of the answer that `owned` follows from. With it, a heartbeat that
                comes late cannot acknowledge what the member had not heard of when it sent it;
                without it (a Kafka client has no such thing) `owned` is believed.
            incarnation: Which join of this member id it is, for epoch 0: the same number again is
                the same join (its answer was lost), a larger one is another (all that the member
                had is lost). By default every call is another join.
            session_timeout_ms: How long the member may be silent from now on, unless that is set
                for the group. Default 45,000.
            heartbeat_interval_ms: How often it is to send a heartbeat, unless that is set for the
                group. Default 5,000.

        Raises:
            UnknownMemberId: not in the group (any more); join again.
            FencedMemberEpoch: the member is elsewhere by now; let go of everything, join again.
            UnreleasedInstanceId, FencedInstanceId: another member is this static instance.
            GroupMaxSizeReached, InconsistentGroupProtocol, UnsupportedAssignor,
            InvalidRegularExpression, InvalidRequest, InvalidGroupId: as they say.
            CoordinatorNotAvailable: replicas did not confirm; make the same call again.
        """
        request = HeartbeatRequest(
            group_id,
            member_id,
            member_epoch,
            instance_id,
            rack,
            rebalance_timeout_ms,
            client_id,
            host,
            subscribed_topics,
            subscribed_regex,
            assignor,
            owned,
        )
        check(request)
        if member_epoch < 0:
            return await self._leave(request)
        self.assigner.remember(group_id)
        times = Times(session_timeout_ms, heartbeat_interval_ms)
        if member_epoch == JOIN:
            return await self._join(request, times, incarnation or time.time_ns())
        return await self._beat(request, times, seen)

    def bell_channel(self, group_id: str, member_id: str) -> str:
        """The shard channel that rings when a heartbeat of that member would bring news."""
        return self.calls.bell(group_id, member_id)

    async def close(self) -> None:
        """End what is under way. The store stays open."""
        await self.assigner.close()

    async def _join(
        self,
        request: HeartbeatRequest,
        times: Times,
        incarnation: int,
        upgrade: Sequence[str | int] = NO_UPGRADE,
    ) -> Heartbeat:
        told, view = await self.calls.join(
            request, incarnation, times.session_ms, self.max_size, upgrade
        )
        if not told:
            view = await self.advance(request, view, None)
        return await self._answer(request, times, view, news=True)

    async def _beat(self, request: HeartbeatRequest, times: Times, seen: int | None) -> Heartbeat:
        catalog = await self.assigner.catalog()
        # A member that changes its subscription is not at rest, whatever its row says.
        known = None if request.changes_subscription else seen
        view = await self.calls.beat(request, times.session_ms, known, catalog.fingerprint)
        if isinstance(view, Quiet):
            # Nothing has changed since the answer that `seen` comes from, which was confirmed.
            times = times.under(view.configs)
            interval, session = _sooner(times.interval_ms, view.next_deadline_ms), times.session_ms
            epoch = request.member_epoch
            return Heartbeat(request.member_id, epoch, interval, None, seen or 0, session)
        before, heard = view.row, view.row.seq if view.moved_from is None else view.moved_from
        missed = request.member_epoch != before.epoch and view.moved_from is None
        if missed:
            _check_owned(request, view)
        if await self._subscribe(request):
            view = await self.calls.look(request.group_id, request.member_id)
        if not missed:
            view = await self.advance(request, view, seen)
        news = missed or request.is_full or view.row.assigned != before.assigned
        news = news or (seen is not None and seen != heard)
        return await self._answer(request, times, view, news=news)

    async def _leave(self, request: HeartbeatRequest) -> Heartbeat:
        only_classics = await self.calls.leave(
            request.group_id,
            request.member_id,
            request.instance_id,
            for_good=request.member_epoch == LEAVE,
        )
        if only_classics:
            await self._only_classics(request.group_id)
        return Heartbeat(request.member_id, request.member_epoch, 0, None, 0, 0)

    async def _only_classics(self, group_id: str) -> None:
        """All members that are left speak the classic protocol."""

    async def _subscribe(self, request: HeartbeatRequest) -> bool:
        """Take over what the request says of its subscription; whether that is something new."""
        if not request.changes_subscription:
            return False
        old = await self.calls.subscription(request.group_id, request.member_id)
        if old is None:
            raise UnknownMemberId(f"member {request.member_id!r} is not in the group")
        before = Subscription.decode(old.decode())
        after = _merged(before, request)
        if after == before:
            return False
        await self.calls.subscribe(request, old, after)
        return True

    async def advance(self, request: HeartbeatRequest, view: View, seen: int | None) -> View:
        """Take all the steps that the member can take now."""
        group_id, member_id = request.group_id, request.member_id
        known = request.member_epoch if request.member_epoch != JOIN else view.row.epoch
        if seen is None:
            seen = view.row.seq
        waits = 0
        for _ in range(_MOST_STEPS):
            if view.row.epoch != known and request.member_epoch != JOIN:
                break  # one epoch a heartbeat: the member must hear of it before the next
            if view.next_deadline_ms == 0:
                # Somebody's time is up, perhaps that of this member. Heartbeats remove nobody.
                view = await self.calls.look(group_id, member_id)
            catalog = await self.assigner.catalog()
            due = view.epoch > view.target_epoch
            # Twice: an assignment under way may have begun before this member was there.
            if waits < 2 and (due or view.seen != catalog.fingerprint):
                waits += 1
                if due:
                    await self.assigner.assign(group_id, within=_ASSIGN_S)
                else:
                    await self.assigner.review(group_id, within=_ASSIGN_S)
                view = await self.calls.look(group_id, member_id)
                continue
            # Only a member that has seen its row can tell that it let go of what is revoked: not
            # one whose row this very call, or another since it was sent, has changed.
            believed = view.row.seq == seen or request.supported
            owned = request.owned if believed else None
            step = reconcile(view.row, view.target, view.target_epoch, view.busy, owned)
            if step is None:
                break
            view = await self.calls.apply(group_id, member_id, view, step)
        return view

    async def _answer(
        self, request: HeartbeatRequest, times: Times, view: View, *, news: bool
    ) -> Heartbeat:
        await self.calls.confirm(request.group_id, view.written)
        row = view.row
        if request.owned is not None and frozenset(request.owned) != row.assigned:
            news = True
        times = times.under(view.configs)
        interval_ms = times.interval_ms
        if not row.epoch == view.epoch == view.target_epoch and not row.revoking:
            between = view.configs.assignment_interval_ms
            between = self.assigner.interval_ms if between is None else between
            interval_ms = min(interval_ms, max(_SOON_MS, between))
        elif row.assigned != view.target and not row.revoking:
            interval_ms = min(interval_ms, _WAITING_MS)
        return Heartbeat(
            request.member_id,
            row.epoch,
            _sooner(interval_ms, view.next_deadline_ms),
            row.assigned if news else None,
            row.seq,
            times.session_ms,
        )


def _check_owned(request: HeartbeatRequest, view: View) -> None:
    """A member that missed its last answer may go on, but not with partitions it has lost."""
    if request.owned is not None and not (
        frozenset(request.owned) <= view.row.assigned | view.row.revoking
    ):
        raise FencedMemberEpoch(
            f"member {request.member_id!r} is at epoch {view.row.epoch}, not "
            f"{request.member_epoch}, and does not own all that it says"
        )


def _merged(before: Subscription, request: HeartbeatRequest) -> Subscription:
    """A subscription with what the request changes of it."""
    after = before
    if request.subscribed_topics is not None:
        after = replace(after, topics=tuple(sorted(set(request.subscribed_topics))))
    if request.subscribed_regex is not None:
        after = replace(after, regex=request.subscribed_regex or None)
    if request.assignor is not None:
        after = replace(after, assignor=request.assignor)
    if request.rebalance_timeout_ms != UNSAID:
        after = replace(after, rebalance_timeout_ms=request.rebalance_timeout_ms)
    return after


def _sooner(interval_ms: int, next_deadline_ms: int) -> int:
    """Come when the next member is due to be missed, if that is earlier; not all at once."""
    if next_deadline_ms >= interval_ms:
        return interval_ms
    return min(interval_ms, next_deadline_ms + random.randint(1, 50))

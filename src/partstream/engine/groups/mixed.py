"""Members of consumer groups that speak the classic protocol, and what they are answered (KIP-848).

A consumer group has them while its clients are switched from one protocol to the other, one by one.
Every method says None if it is no consumer group with members (any more): the request is for those
that serve classic groups.
"""

from __future__ import annotations

import logging
import time

from partstream.engine.groups.answers import Snapshot, View
from partstream.engine.groups.classic_answers import Joined, Synced
from partstream.engine.groups.classic_calls import CLASSIC
from partstream.engine.groups.classic_calls import CONSUMER as CONSUMER_GROUP
from partstream.engine.groups.coordinator import Membership
from partstream.engine.groups.mixed_calls import MixedCalls
from partstream.errors import (
    FencedInstanceId,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
    UnknownServerError,
)
from partstream.groups.classic_events import NONE, Join, Leave, Limits, Sync
from partstream.groups.classic_protocol import CONSUMER, Wish, read_wish, write_assignment
from partstream.groups.consumer import Catalog
from partstream.groups.migration import Policy, downgrade
from partstream.groups.mixed import by_id, by_name, has_to_join, supports
from partstream.groups.requests import JOIN, HeartbeatRequest

_logger = logging.getLogger(__name__)

_NOT_HEARD = (UnknownMemberId, FencedInstanceId, IllegalGeneration)
"""The member is not in the group, or not what it says."""


class ClassicMembers:
    """Serves them."""

    def __init__(self, membership: Membership, policy: Policy, limits: Limits) -> None:
        self._membership = membership
        self._all = membership.calls
        self._calls = MixedCalls(membership.calls)
        self._policy = policy
        self._limits = limits

    async def join(self, group_id: str, event: Join) -> Joined | None:
        """JoinGroup: the member takes the steps that it can take now."""
        group = await self._all.describe(group_id)
        if not group.exists or group.type != CONSUMER_GROUP or not group.rows:
            return None
        wish = read_wish(event.protocols[0][1]) if event.protocols else None
        code = self._refusal(group, event)
        if code == NONE and wish is None:
            code = UnknownServerError.code  # as Kafka
        if code != NONE or wish is None:
            return Joined(code, event.new_id if code == MemberIdRequired.code else "")
        catalog = await self._membership.assigner.catalog_with(one.topic for one in wish.owned)
        request = _request(group_id, event, wish, catalog)
        try:
            view = await self._enter(request, event, known=event.member_id in group.rows)
        except (UnknownMemberId, InconsistentGroupProtocol) as error:
            still = await self._all.kind(group_id) == CONSUMER_GROUP
            return Joined(error.code, "") if still else None
        except (GroupMaxSizeReached, FencedInstanceId) as error:
            return Joined(error.code, "")
        return Joined(NONE, request.member_id, view.row.epoch, CONSUMER, event.protocols[0][0])

    def _refusal(self, group: Snapshot, event: Join) -> int:
        most = self._membership.max_size
        if most and len(group.rows) >= most and event.member_id not in group.rows:
            return GroupMaxSizeReached.code
        names = [name for name, _ in event.protocols]
        if not supports(event.protocol_type, names, group.supported().values()):
            return InconsistentGroupProtocol.code
        if not event.member_id and event.instance_id is None and event.id_required:
            return MemberIdRequired.code
        if event.member_id and event.instance_id is not None:
            holder = group.fields.get(f"i:{event.instance_id}")
            if holder is None:
                return UnknownMemberId.code
            if holder != event.member_id:
                return FencedInstanceId.code
        return NONE

    async def _enter(self, request: HeartbeatRequest, event: Join, *, known: bool) -> View:
        group_id = request.group_id
        if known:
            view = await self._calls.rejoin(request, event.session_ms)
        else:
            most = self._membership.max_size
            view = await self._calls.join(request, time.time_ns(), event.session_ms, most)
        self._membership.assigner.remember(group_id)
        view = await self._membership.advance(request, view, None)
        await self._calls.expect(group_id, request.member_id, view, awaits=True)
        await self._all.confirm(group_id, view.written)
        return view

    async def sync(self, group_id: str, event: Sync) -> Synced | None:
        """SyncGroup: what the member owns now; who leads has nothing to say."""
        try:
            heard = await self._calls.beat(
                group_id, event.member_id, event.instance_id, event.generation
            )
        except _NOT_HEARD as error:
            return Synced(error.code)
        if heard is None:
            return None
        name, metadata = heard.supported[0]
        if event.protocol_type not in (None, CONSUMER) or event.protocol not in (None, name):
            return Synced(InconsistentGroupProtocol.code)
        view, row = heard.view, heard.view.row
        # Who is to let go of something learns of it here, however far behind it is.
        behind = view.epoch > row.epoch and not row.revoking
        if behind or not row.revoking:
            await self._calls.expect(group_id, event.member_id, view, awaits=behind)
        if behind:
            return Synced(RebalanceInProgress.code)
        wish = read_wish(metadata)
        version = 0 if wish is None else wish.version
        partitions = by_name(row.assigned, await self._membership.assigner.read_catalog())
        assignment = write_assignment(version, partitions)
        return Synced(NONE, event.protocol_type, event.protocol, assignment)

    async def heartbeat(
        self, group_id: str, member_id: str, generation: int, instance_id: str | None
    ) -> int | None:
        """Heartbeat: keep the member alive, and tell it to join if there is news; an error code."""
        try:
            heard = await self._calls.beat(group_id, member_id, instance_id, generation)
        except _NOT_HEARD as error:
            return error.code
        if heard is None:
            return None
        if heard.only_classics and await self.downgrade(group_id):
            return RebalanceInProgress.code
        view = heard.view
        await self._see_to_assignment(group_id, view)
        if not has_to_join(view.row, view.epoch, view.target, view.target_epoch, view.busy):
            return NONE
        await self._calls.expect(group_id, member_id, view, awaits=True)
        return RebalanceInProgress.code

    async def _see_to_assignment(self, group_id: str, view: View) -> None:
        """Begin what is due; the member does not wait for it."""
        assigner = self._membership.assigner
        if view.epoch > view.target_epoch:
            await assigner.assign(group_id, within=0)
        elif view.seen != (await assigner.catalog()).fingerprint:
            await assigner.review(group_id, within=0)

    async def leave(self, group_id: str, event: Leave) -> tuple[int, ...] | None:
        """LeaveGroup: the error of each member."""
        codes, only_classics = [], False
        for member_id, instance_id in event.members:
            try:
                only_classics = await self._all.leave(
                    group_id, member_id, instance_id, classic=True
                )
                codes.append(NONE)
            except (UnknownMemberId, FencedInstanceId) as error:
                codes.append(error.code)
            except InconsistentGroupProtocol:
                if not codes:
                    return None
                codes.append(UnknownMemberId.code)
        if only_classics:
            await self.downgrade(group_id)
        return tuple(codes)

    async def downgrade(self, group_id: str) -> bool:
        """Make it a classic group if its members all speak that protocol, and may be in one."""
        if not self._policy.downgrades:
            return False
        group = await self._all.describe(group_id)
        if not group.exists or group.type == CLASSIC or not group.rows:
            return False
        supported = group.supported()
        if not supported.keys() >= group.rows.keys() or len(group.rows) > self._limits.max_size:
            return False
        made = downgrade(
            group.rows,
            group.subscriptions,
            supported,
            {member: int(group.fields[f"t:{member}"].split("|")[0]) for member in group.rows},
            await self.read_catalog(),
        )
        done = made is not None and await self._calls.downgrade(group_id, group, made)
        if done:
            _logger.info("group %s: a classic group again, %d members", group_id, len(group.rows))
        return done

    async def read_catalog(self) -> Catalog:
        """The topics as they are now."""
        return await self._membership.assigner.read_catalog()


def _request(group_id: str, event: Join, wish: Wish, catalog: Catalog) -> HeartbeatRequest:
    """A JoinGroup as the heartbeat that it comes to."""
    return HeartbeatRequest(
        group_id,
        event.member_id or event.new_id,
        JOIN,
        event.instance_id,
        wish.rack,
        event.rebalance_ms,
        event.client_id,
        event.host,
        wish.topics,
        None,
        None,
        by_id(wish.owned, catalog),
        event.protocols,
    )

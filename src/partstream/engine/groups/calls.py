"""The scripts of a group, one method each: what goes in, and what comes back, as values.

An answer that says something about the group is given only when the replicas have it
(`Store.confirm`): else a failover could take an epoch back, and give it out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from partstream.config.group import GroupConfig
from partstream.engine.groups.answers import Claim, NotYet, Quiet, Snapshot, View, pairs
from partstream.errors import (
    CLIENT,
    CoordinatorNotAvailable,
    GroupIdNotFound,
    NotEnoughReplicasAfterAppend,
    PartstreamError,
    from_code,
)
from partstream.groups.consumer import Plan, Step
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import MemberRow, Subscription, encode_partitions
from partstream.store.keys import GroupKeys
from partstream.store.scripts import Script
from partstream.store.store import Store

_JOIN = Script("group/join")
_BEAT = Script("group/beat")
_LOOK = Script("group/look")
_SUBSCRIBE = Script("group/subscribe")
_LEAVE = Script("group/leave")
_CLAIM = Script("group/claim")
_SETTLE = Script("group/settle")
_REVIEW = Script("group/review")
_APPLY = Script("group/apply")
_DESCRIBE = Script("group/describe")

WINDOW_MS = 20
"""How long the first change of a group waits for others, so that one assignment serves all."""
CLAIM_MS = 500
"""How long whoever computes an assignment may take before another may try."""
NO_UPGRADE: Sequence[str | int] = ("",)
"""Of a join: a classic group that has members stays one."""


class GroupCalls:
    """The calls to the state of groups."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()
        """Groups that were there once: no need to put them into the list before each join."""

    def bell(self, group_id: str, member_id: str) -> str:
        """The shard channel that rings when that member has something to do."""
        return self._store.keys.group(group_id).bell_prefix + member_id

    async def run(self, group_id: str, script: Script, *args: bytes | str | int) -> Any:
        """Run one of the group's scripts. All of them may be run twice."""
        keys = self._store.keys.group(group_id)
        try:
            return await self._store.run(
                script, keys.all, (keys.bell_prefix, *args), idempotent=True
            )
        except PartstreamError as error:
            # Scripts refuse without saying whom: they know the group by its keys only.
            if error.code == CLIENT:
                raise
            raise from_code(error.code, f"group {group_id!r}: {error}") from None

    async def confirm(self, group_id: str, written: bytes) -> None:
        """Wait until the replicas have what a script said that it has written.

        Raises:
            CoordinatorNotAvailable: they do not; the same call may be made again.
        """
        try:
            await self._store.confirm(self.keys(group_id).group, written)
        except NotEnoughReplicasAfterAppend as error:
            raise CoordinatorNotAvailable(f"group {group_id!r}: {error}") from error

    def keys(self, group_id: str) -> GroupKeys:
        """The keys of a group."""
        return self._store.keys.group(group_id)

    # The list of groups is in another slot than the groups. A group is written into it before it
    # is made, so that a crash leaves none that cannot be found; and once more after, in case its
    # deletion was under way.

    async def enlist(self, group_id: str, kind: str, *, anew: bool = True) -> int:
        """Put a group into the list of groups; 1: it may be made now."""
        groups = self._store.keys.meta.groups
        await self._store.execute("HSET" if anew else "HSETNX", groups, group_id, kind, key=groups)
        return 1

    async def delist(self, group_id: str) -> None:
        """Take a deleted group out of the list of groups, unless it was made again meanwhile."""
        groups = self._store.keys.meta.groups
        await self._store.execute("HDEL", groups, group_id, key=groups)
        kind = await self.kind(group_id)
        if kind is not None:
            await self.enlist(group_id, kind)

    async def kind(self, group_id: str) -> str | None:
        """The type of a group; None if there is no such group."""
        key = self.keys(group_id).group
        kind: bytes | None = await self._store.execute("HGET", key, "type", key=key)
        return None if kind is None else kind.decode()

    async def listed(self) -> dict[str, str]:
        """Every group that was ever made and not deleted: id -> type."""
        groups = self._store.keys.meta.groups
        return pairs(await self._store.execute("HGETALL", groups, key=groups))

    async def join(
        self,
        request: HeartbeatRequest,
        incarnation: int,
        session_ms: int,
        max_size: int,
        upgrade: Sequence[str | int] = NO_UPGRADE,
    ) -> tuple[bool, View]:
        """Enter a group; also whether this very join was answered before.

        Args:
            upgrade: The classic group that becomes a consumer group by it, if it is one.

        Raises:
            InconsistentGroupProtocol: it is a classic group that has members, and not that one.
        """
        group_id = request.group_id
        rest = (max_size, "", *upgrade)
        arguments = joining(request, incarnation, session_ms)
        try:
            may_make = 0
            if group_id not in self._known:
                may_make = await self.enlist(group_id, "consumer", anew=False)
            reply = await self.run(group_id, _JOIN, *arguments, may_make, *rest)
        except GroupIdNotFound:
            may_make = await self.enlist(group_id, "consumer")
            reply = await self.run(group_id, _JOIN, *arguments, may_make, *rest)
        made, told, view = reply
        if made:
            await self.enlist(group_id, "consumer")
        self._known.add(group_id)
        return bool(told), View.decode(view)

    async def beat(
        self, request: HeartbeatRequest, session_ms: int, seen: int | None, fingerprint: str
    ) -> View | Quiet:
        """Keep a member alive, and see whether there is anything to do."""
        reply = await self.run(
            request.group_id,
            _BEAT,
            request.member_id,
            request.member_epoch,
            session_ms,
            request.instance_id or "",
            "" if seen is None else seen,
            fingerprint,
        )
        if isinstance(reply, int):
            return Quiet(reply)
        if len(reply) == 2:
            return Quiet(reply[0], GroupConfig.decode(reply[1].decode()))
        return View.decode(reply)

    async def look(self, group_id: str, member_id: str) -> View:
        """What the member's next step depends on."""
        return View.decode(await self.run(group_id, _LOOK, member_id))

    async def apply(self, group_id: str, member_id: str, view: View, step: Step) -> View:
        """Take a step, if nothing has happened since `view`; what there is after that."""
        row = step.row
        reply = await self.run(
            group_id,
            _APPLY,
            member_id,
            view.raw,
            view.target_epoch,
            row.epoch,
            row.previous_epoch,
            row.state,
            encode_partitions(row.assigned),
            encode_partitions(row.revoking),
            encode_partitions(step.acquire),
            encode_partitions(step.release),
            encode_partitions(step.want),
        )
        return View.decode(reply)

    async def subscription(self, group_id: str, member_id: str) -> bytes | None:
        """A member's subscription, byte for byte."""
        key = self.keys(group_id).subscriptions
        found: bytes | None = await self._store.execute("HGET", key, member_id, key=key)
        return found

    async def subscribe(self, request: HeartbeatRequest, old: bytes, new: Subscription) -> None:
        """Change a member's subscription, unless it was changed meanwhile."""
        await self.run(
            request.group_id,
            _SUBSCRIBE,
            request.member_id,
            request.member_epoch,
            old,
            new.encode(),
        )

    async def leave(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        *,
        for_good: bool = True,
        classic: bool = False,
    ) -> bool:
        """Leave a group; whether only members are left now that speak the classic protocol.

        Args:
            classic: Whether it is a LeaveGroup, in which the instance alone may be named.

        Raises:
            InconsistentGroupProtocol: `classic`, but it is no consumer group with members.
        """
        written, only_classics = await self.run(
            group_id, _LEAVE, member_id, instance_id or "", int(for_good), int(classic)
        )
        await self.confirm(group_id, written)
        return bool(only_classics)

    async def claim(
        self, group_id: str, claimant: str, interval_ms: int = 0
    ) -> Claim | NotYet | None:
        """Leave to make the next assignment, or none yet; or None: there is none to make.

        Args:
            interval_ms: How long after an assignment the next one may be made, in a group for
                which that is not set.
        """
        reply = await self.run(group_id, _CLAIM, claimant, WINDOW_MS, CLAIM_MS, interval_ms)
        if reply[0] == 0:
            return None
        if reply[0] != 2:
            return NotYet(int(reply[1]), sure=reply[0] == 3)
        _, epoch, target_epoch, subscriptions, targets = reply
        return Claim(
            int(epoch), int(target_epoch), _subscriptions(pairs(subscriptions)), pairs(targets)
        )

    async def settle(self, group_id: str, claim: Claim, plan: Plan, fingerprint: str) -> bool:
        """Install a new target assignment; False if another came first."""
        reply = await self.run(
            group_id,
            _SETTLE,
            claim.target_epoch,
            claim.epoch,
            plan.fingerprint,
            fingerprint,
            plan.assignor,
            *(text for pair in plan.changed.items() for text in pair),
        )
        return bool(reply)

    async def review(self, group_id: str, old: str, new: str, *, matters: bool) -> bool:
        """Take account of changed topics; whether there is an assignment to make now."""
        return bool(await self.run(group_id, _REVIEW, old, new, int(matters)))

    async def describe(self, group_id: str) -> Snapshot:
        """The group as it is."""
        fields, subscriptions, rows, targets = map(pairs, await self.run(group_id, _DESCRIBE))
        return Snapshot(
            fields,
            _subscriptions(subscriptions),
            {member: MemberRow.decode(row) for member, row in rows.items()},
            targets,
        )


def joining(request: HeartbeatRequest, incarnation: int, session_ms: int) -> tuple[str | int, ...]:
    """What the script for joins takes first."""
    return (
        request.member_id,
        f"{incarnation:020d}",
        session_ms,
        request.rebalance_timeout_ms,
        request.instance_id or "",
        request.subscription().encode(),
        request.group_id,
    )


def _subscriptions(rows: Mapping[str, str]) -> dict[str, Subscription]:
    """Decoded; members with the same row share one value, which most of a large group do."""
    known: dict[str, Subscription] = {}
    result = {}
    for member, row in rows.items():
        if row not in known:
            known[row] = Subscription.decode(row)
        result[member] = known[row]
    return result

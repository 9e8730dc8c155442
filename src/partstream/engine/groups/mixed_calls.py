"""The scripts for members of a consumer group that speak the classic protocol: values in and out.

All of them say, in their own way, if it is no consumer group with members (any more): then whoever
serves classic groups is to be asked.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from partstream.engine.groups.answers import Snapshot, View
from partstream.engine.groups.calls import NO_UPGRADE, GroupCalls, joining
from partstream.groups.classic import Protocols, encode_protocols
from partstream.groups.migration import Downgraded, Upgrade
from partstream.groups.mixed import decode_supported, encode_supported
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import encode_partitions
from partstream.store.scripts import Script

_JOIN = Script("group/join")
_REJOIN = Script("mixed/rejoin")
_BEAT = Script("mixed/beat")
_EXPECT = Script("mixed/expect")
_DOWNGRADE = Script("mixed/downgrade")


@dataclass(frozen=True, slots=True)
class Heard:
    """A member that was heard."""

    view: View
    only_classics: bool
    """Nobody in the group speaks its own protocol."""
    supported: Protocols


def upgrading(version: str, made: Upgrade) -> list[str | int]:
    """A classic group, of this version, that becomes a consumer group, as the script for joins
    takes it."""
    found: list[str | int] = [version, made.topics, made.seen]
    for member in made.members:
        row, subscription = member.row, member.subscription
        found += [member.member_id, row.epoch, encode_partitions(row.assigned)]
        found += [subscription.encode(), subscription.instance_id or ""]
        found.append(f"{member.session_ms}|{subscription.rebalance_timeout_ms}")
        found.append(encode_supported(member.supported))
    return found


class MixedCalls:
    """The calls to the state of consumer groups with members that speak the classic protocol."""

    def __init__(self, calls: GroupCalls) -> None:
        self._calls = calls

    async def join(
        self, request: HeartbeatRequest, incarnation: int, session_ms: int, max_size: int
    ) -> View:
        """Enter a group that is there.

        Raises:
            InconsistentGroupProtocol: it is no consumer group with members.
        """
        arguments = joining(request, incarnation, session_ms)
        supported = encode_supported(request.supported)
        _, _, view = await self._calls.run(
            request.group_id, _JOIN, *arguments, 0, max_size, supported, *NO_UPGRADE
        )
        return View.decode(view)

    async def rejoin(self, request: HeartbeatRequest, session_ms: int) -> View:
        """A member joins again.

        Raises:
            InconsistentGroupProtocol: it is no consumer group with members.
        """
        reply = await self._calls.run(
            request.group_id,
            _REJOIN,
            request.member_id,
            request.instance_id or "",
            session_ms,
            request.rebalance_timeout_ms,
            request.subscription().encode(),
            encode_supported(request.supported),
        )
        return View.decode(reply)

    async def beat(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int
    ) -> Heard | None:
        """Keep a member alive; None if it is no consumer group with members."""
        reply = await self._calls.run(group_id, _BEAT, member_id, instance_id or "", generation)
        if not reply:
            return None
        view, only_classics, supported = reply
        return Heard(View.decode(view), bool(only_classics), decode_supported(supported.decode()))

    async def expect(self, group_id: str, member_id: str, view: View, *, awaits: bool) -> None:
        """A member has its rebalance time to do what it is to do; or it has done it."""
        await self._calls.run(group_id, _EXPECT, member_id, view.raw, int(awaits))

    async def downgrade(self, group_id: str, before: Snapshot, made: Downgraded) -> bool:
        """Make it a classic group, if it is still what it was."""
        group = made.group
        arguments: list[str | bytes | int] = [
            before.fields["epoch"],
            before.fields["seq"],
            uuid.uuid4().hex,
            group.generation,
            group.encode(),
            *group.deadlines.values(),
        ]
        for member_id, member in group.members.items():
            arguments += [member_id, member.encode()]
            arguments.append(encode_protocols(made.protocols[member_id]))
            arguments.append(made.assignments[member_id])
        done, written = await self._calls.run(group_id, _DOWNGRADE, *arguments)
        if done:
            await self._calls.enlist(group_id, "classic")
            await self._calls.confirm(group_id, written)
        return bool(done)

"""The scripts of a classic group, one method each: what goes in, and what comes back, as values."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partstream.engine.groups.calls import GroupCalls
from partstream.groups.classic import (
    Group,
    Member,
    Phase,
    decode_protocols,
    encode_instance,
    encode_protocols,
)
from partstream.groups.classic_events import Effects
from partstream.store.scripts import Script

_LOAD = Script("classic/load")
_STEP = Script("classic/step")
_BEAT = Script("classic/beat")
_ASSIGNED = Script("classic/assigned")

CLASSIC, CONSUMER, ABSENT = "classic", "consumer", ""
"""The types of groups, and of one that is not there."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A group as it was at one moment."""

    kind: str
    size: int
    """How many members it has, whatever its type."""
    version: str
    group: Group
    """Without members if it is no classic group."""
    now: int
    restarted: bool
    """Redis was away, or failed over, since deadlines were set."""
    written: bytes
    protocols: dict[str, dict[str, bytes]]
    """member -> protocol -> metadata; only if it was asked for, like the next."""
    assignments: dict[str, bytes]

    @property
    def is_taken(self) -> bool:
        """Whether it is a group of another type that has members."""
        return self.kind not in (CLASSIC, ABSENT) and self.size > 0


class ClassicCalls:
    """The calls to the state of classic groups."""

    def __init__(self, calls: GroupCalls) -> None:
        self._calls = calls

    def bell(self, group_id: str) -> str:
        """The shard channel that rings when those that wait may be answered: one for them all."""
        return self._calls.bell(group_id, "")

    async def confirm(self, group_id: str, written: bytes) -> None:
        """Wait until the replicas have it: see `GroupCalls.confirm`."""
        await self._calls.confirm(group_id, written)

    async def load(self, group_id: str, *, details: bool = False) -> Loaded:
        """The group as it is; with `details` also what members support and are assigned."""
        reply = await self._calls.run(group_id, _LOAD, int(details))
        kind, size, version, phase, generation, rest, rows, deadlines, now, restarted = reply[:10]
        group = Group.decode(phase.decode(), generation.decode(), rest.decode())
        for name, row in sorted(_pairs(rows)):
            member_id = name.decode()
            group.members[member_id] = Member.decode(member_id, row.decode())
        group.deadlines = {name.decode(): int(float(due)) for name, due in _pairs(deadlines)}
        written, protocols, assignments = reply[10:]
        return Loaded(
            kind.decode(),
            size,
            version.decode(),
            group,
            now,
            bool(restarted),
            written,
            {name.decode(): decode_protocols(data) for name, data in _pairs(protocols)},
            {name.decode(): data for name, data in _pairs(assignments)},
        )

    async def step(
        self, group_id: str, before: Loaded, group: Group, effects: Effects, *, ring: bool
    ) -> bytes | None:
        """Write a step; None if the group has changed since it was loaded.

        A group is written into the list of groups before it is made, and once more after: see
        `GroupCalls.enlist`.
        """
        arguments = (
            before.version,
            before.kind,
            uuid.uuid4().hex,
            group_id,
            group.phase,
            group.generation,
            group.encode(),
            int(ring),
        )
        if before.kind == ABSENT:
            await self._calls.enlist(group_id, CLASSIC, anew=False)
        changes = [part for change in _changes(before.group, group, effects) for part in change]
        done, made, written = await self._calls.run(group_id, _STEP, *arguments, *changes)
        if made:
            await self._calls.enlist(group_id, CLASSIC)
        return bytes(written) if done else None

    async def beat(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int
    ) -> tuple[Phase | None, int] | None:
        """Keep a member alive: the group's phase, ms to its next deadline; None: it is not so.

        There is no phase if it is a consumer group that has members.
        """
        instance = "" if instance_id is None else encode_instance(instance_id)
        phase, wait = await self._calls.run(group_id, _BEAT, member_id, generation, instance)
        if phase == CONSUMER.encode():
            return None, wait
        return (Phase(phase.decode()), wait) if phase else None

    async def assigned(
        self, group_id: str, generation: int, member_ids: Sequence[str]
    ) -> dict[str, bytes]:
        """What members were assigned; nothing if that generation is over."""
        found = await self._calls.run(group_id, _ASSIGNED, generation, *member_ids)
        return dict(zip(member_ids, found, strict=False))


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """A hash as Redis sends it, without the row that only keeps its key alive."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [(name, value) for name, value in pairs if name]


def _changes(
    before: Group, after: Group, effects: Effects
) -> Iterator[tuple[str, str, str | bytes | int]]:
    """What the step script is to do, in its order."""
    for name in effects.expired:
        yield "finish", name, ""
    for new_id, old_id in effects.renamed.items():
        yield "rename", new_id, old_id
    for member_id in before.members.keys() - after.members.keys():
        yield "gone", member_id, ""
    for member_id, member in after.members.items():
        if before.members.get(member_id) != member:
            yield "member", member_id, member.encode()
    for member_id, protocols in effects.protocols.items():
        yield "protocols", member_id, encode_protocols(protocols)
    for member_id, assignment in (effects.assignments or {}).items():
        if member_id in after.members:
            yield "assign", member_id, assignment
    for name in before.deadlines.keys() - after.deadlines.keys():
        yield "done", name, ""
    for name, due in after.deadlines.items():
        if before.deadlines.get(name) != due:
            yield "due", name, due

"""What the scripts of a group answer, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from partstream.config.group import NO_CONFIGS, GroupConfig
from partstream.groups.classic import Group as ClassicGroup
from partstream.groups.classic import Protocols
from partstream.groups.mixed import decode_supported
from partstream.groups.rows import (
    MemberRow,
    Partitions,
    Subscription,
    TopicIdPartition,
    decode_partition,
    decode_partitions,
)


@dataclass(frozen=True, slots=True)
class View:
    """All that a member's next step depends on."""

    raw: bytes
    """The member's row, byte for byte."""
    row: MemberRow
    target: Partitions
    epoch: int
    """Of the group; ahead of `target_epoch` while there is an assignment to make."""
    target_epoch: int
    seen: str
    """The fingerprint of the topics that the group has taken account of."""
    busy: frozenset[TopicIdPartition]
    """Those of `target` that others own."""
    next_deadline_ms: int
    written: bytes
    configs: GroupConfig = NO_CONFIGS
    """What is set for the group."""
    moved_from: int | None = None
    """The `seq` that the row had, if all that this very call did was to move its epoch on."""

    @classmethod
    def decode(cls, reply: Sequence[Any]) -> View:
        """A view from a script's answer."""
        raw, target, epoch, target_epoch, seen, busy, next_deadline, written, configs, *moved = (
            reply
        )
        return cls(
            raw,
            MemberRow.decode(raw.decode()),
            decode_partitions(target.decode()),
            int(epoch),
            int(target_epoch),
            seen.decode(),
            frozenset(map(decode_partition, busy.decode().split())),
            next_deadline,
            written,
            GroupConfig.decode(configs.decode()),
            int(moved[0]) if moved else None,
        )


@dataclass(frozen=True, slots=True)
class Quiet:
    """The answer to a heartbeat that has nothing to do."""

    next_deadline_ms: int
    configs: GroupConfig = NO_CONFIGS
    """As in `View`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Leave to make a group's next assignment, and what to make it from."""

    epoch: int
    target_epoch: int
    subscriptions: dict[str, Subscription]
    targets: dict[str, str]


@dataclass(frozen=True, slots=True)
class NotYet:
    """No leave to make an assignment now."""

    ms: int
    """When to ask again."""
    sure: bool
    """Whether there is none before: else somebody else may be done sooner."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A group as it was at one moment."""

    fields: dict[str, str]
    subscriptions: dict[str, Subscription]
    rows: dict[str, MemberRow]
    targets: dict[str, str]

    @property
    def exists(self) -> bool:
        """Whether there is such a group."""
        return "type" in self.fields

    @property
    def type(self) -> str:
        """`consumer` or `classic`."""
        return self.fields["type"]

    @property
    def configs(self) -> GroupConfig:
        """What is set for the group."""
        return GroupConfig.decode(self.fields.get("configs", ""))

    def supported(self) -> dict[str, Protocols]:
        """What those members support that speak the classic protocol."""
        mark = "c:"
        return {
            name.removeprefix(mark): decode_supported(value)
            for name, value in self.fields.items()
            if name.startswith(mark)
        }

    def classic(self) -> ClassicGroup:
        """The group, if it is a classic one; without its members, of which nothing is read here."""
        fields = self.fields
        return ClassicGroup.decode(
            fields.get("phase", ""), fields.get("generation", ""), fields.get("classic", "")
        )


def pairs(flat: Sequence[bytes]) -> dict[str, str]:
    """A hash as Redis sends it, without the row that only keeps its key alive."""
    rows = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in rows if name}

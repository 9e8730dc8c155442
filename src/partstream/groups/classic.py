"""A classic consumer group: its phases, its members, and their text form in Redis.

Each member asks to join, the members of a generation are told who they are, their leader assigns,
and each syncs to hear of its assignment. `classic_machine` has the rules; here is the state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

Protocols: TypeAlias = "tuple[tuple[str, bytes], ...]"
"""What a member supports, the most wanted first: name, and metadata that only members read."""


class Phase(StrEnum):
    """The phase of a group, under Kafka's name."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"
    """There is no such group (any more)."""


SESSION, PENDING, JOIN, SYNC = "s:", "p:", "j:", "y:"
"""What a deadline is for, before a member id: its session ends; it did not come back with the id
that it was given. Of the whole group: the join phase ends; who has not synced is removed."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member."""

    id: str
    instance_id: str | None = None
    """Set for a static member (KIP-345)."""
    client_id: str = ""
    host: str = ""
    session_ms: int = 0
    rebalance_ms: int = 0
    """How long the others wait for it to join again."""
    protocols: tuple[str, ...] = ()
    """The names of the protocols that it supports, the most wanted first."""
    digest: str = ""
    """Of the protocols and their metadata; equal if nothing has changed."""
    joining: bool = False
    """It waits for the join phase to end."""
    fresh: bool = False
    """It has never been told of a generation."""
    synced: bool = False
    """It has asked for the assignment of this generation."""

    def encode(self) -> str:
        """Three lines: session timeout and instance, which scripts read, then the rest."""
        flags = self.joining + 2 * self.fresh + 4 * self.synced
        rest = [self.client_id, self.host, self.rebalance_ms, self.protocols, self.digest, flags]
        return f"{self.session_ms}\n{encode_instance(self.instance_id)}\n{json.dumps(rest)}"

    @classmethod
    def decode(cls, member_id: str, text: str) -> Member:
        """The member that `encode` wrote."""
        session_ms, instance, rest = text.split("\n")
        client_id, host, rebalance_ms, protocols, digest, flags = json.loads(rest)
        return cls(
            member_id,
            json.loads(instance),
            client_id,
            host,
            int(session_ms),
            rebalance_ms,
            tuple(protocols),
            digest,
            bool(flags & 1),
            bool(flags & 2),
            bool(flags & 4),
        )


def encode_instance(instance_id: str | None) -> str:
    """An instance id as rows hold it: scripts compare it byte for byte."""
    return json.dumps(instance_id)


@dataclass(frozen=True, slots=True)
class Initial:
    """The first rebalance of an empty group waits for others to come, but not for ever."""

    delay_ms: int
    """How long it waits this time."""
    left_ms: int
    """How long it may wait beyond that."""
    grown: bool = False
    """Somebody has come since it began to wait."""


@dataclass(slots=True)
class Group:
    """A classic group at one moment."""

    phase: Phase = Phase.EMPTY
    generation: int = 0
    protocol_type: str | None = None
    """`consumer`, `connect` or another; None before anybody has joined."""
    protocol: str | None = None
    """The protocol of this generation."""
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)
    deadlines: dict[str, int] = field(default_factory=dict)
    """What for, and when: milliseconds by Redis's clock."""
    initial: Initial | None = None
    """Set while the first rebalance waits."""

    def copy(self) -> Group:
        """Another one, equal, to be changed."""
        return Group(
            self.phase,
            self.generation,
            self.protocol_type,
            self.protocol,
            self.leader,
            dict(self.members),
            dict(self.deadlines),
            self.initial,
        )

    def encode(self) -> str:
        """All that is not of one member, and that no script reads."""
        initial = self.initial
        waits = None if initial is None else [initial.delay_ms, initial.left_ms, initial.grown]
        return json.dumps([self.protocol_type, self.protocol, self.leader, waits])

    @classmethod
    def decode(cls, phase: str, generation: str, text: str) -> Group:
        """A group without its members and deadlines; empty texts: nobody has ever joined."""
        if not text:
            return cls()
        protocol_type, protocol, leader, waits = json.loads(text)
        return cls(
            Phase(phase),
            int(generation),
            protocol_type,
            protocol,
            leader,
            initial=None if waits is None else Initial(*waits),
        )

    @property
    def pending(self) -> list[str]:
        """The ids that were given out, and with which nobody has joined yet (KIP-394)."""
        return [name.removeprefix(PENDING) for name in self.deadlines if name.startswith(PENDING)]

    @property
    def rebalance_ms(self) -> int:
        """How long a join phase may take: as long as the slowest member needs."""
        return max((member.rebalance_ms for member in self.members.values()), default=0)

    def holder(self, instance_id: str) -> str | None:
        """The member that a static instance is now."""
        for member in self.members.values():
            if member.instance_id == instance_id:
                return member.id
        return None

    def all_joined(self) -> bool:
        """Whether nobody is to be waited for any more."""
        return not self.pending and all(member.joining for member in self.members.values())

    def supports(self, protocol_type: str, protocols: tuple[str, ...]) -> bool:
        """Whether a member with these protocols could be a member."""
        if self.phase == Phase.EMPTY:
            return bool(protocol_type and protocols)
        fits = bool(self.common().intersection(protocols)) if self.members else bool(protocols)
        return fits and protocol_type == self.protocol_type

    def common(self) -> set[str]:
        """The protocols that all members support."""
        supported = [set(member.protocols) for member in self.members.values()]
        return set.intersection(*supported) if supported else set()

    def select_protocol(self) -> str:
        """The protocol that most members want most, among those that all support."""
        candidates = self.common()
        votes: dict[str, int] = {}
        for member in self.members.values():
            choice = next(name for name in member.protocols if name in candidates)
            votes[choice] = votes.get(choice, 0) + 1
        return max(sorted(votes), key=votes.__getitem__)


def digest(protocols: Protocols) -> str:
    """Equal for equal protocols with equal metadata."""
    hashed = blake2b(digest_size=12)
    hashed.update(encode_protocols(protocols))
    return hashed.hexdigest()


def encode_protocols(protocols: Protocols) -> bytes:
    """Protocols as the cold hash of the group holds them: lengths, names, metadata."""
    parts = []
    for name, metadata in protocols:
        text = name.encode()
        parts += [b"%d %d " % (len(text), len(metadata)), text, metadata]
    return b"".join(parts)


def decode_protocols(data: bytes) -> dict[str, bytes]:
    """Protocol -> metadata, as `encode_protocols` wrote them."""
    found, at = {}, 0
    while at < len(data):
        name_at = data.index(b" ", data.index(b" ", at) + 1) + 1
        name_size, size = map(int, data[at:name_at].split())
        name_end = name_at + name_size
        at = name_end + size
        found[data[name_at:name_end].decode()] = data[name_end:at]
    return found

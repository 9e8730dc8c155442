"""What happens to a classic group, and what comes of it: the values of `classic_machine`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from partstream.groups.classic import Protocols

NONE = 0
"""No error."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group is configured to, under Kafka's names."""

    initial_rebalance_delay_ms: int = 3_000
    min_session_timeout_ms: int = 6_000
    max_session_timeout_ms: int = 1_800_000
    max_size: int = 2**31 - 1
    new_member_join_ms: int = 300_000
    """How long a member that was never in a generation may wait; Kafka's own constant."""


@dataclass(frozen=True, slots=True)
class Join:
    """JoinGroup."""

    member_id: str
    """Empty for a member that has none yet."""
    new_id: str
    """The id that it gets then; nobody has had it."""
    protocol_type: str
    protocols: Protocols
    session_ms: int
    rebalance_ms: int
    instance_id: str | None = None
    client_id: str = ""
    host: str = ""
    id_required: bool = True
    """The client is to come back with its id (KIP-394): JoinGroup 4 and later."""
    can_skip: bool = True
    """The client knows that a leader need not assign (KIP-814): JoinGroup 9 and later."""


@dataclass(frozen=True, slots=True)
class Sync:
    """SyncGroup."""

    member_id: str
    generation: int
    instance_id: str | None = None
    protocol_type: str | None = None
    protocol: str | None = None
    assignments: dict[str, bytes] = field(default_factory=dict)
    """Of the leader: member -> what it is assigned."""


@dataclass(frozen=True, slots=True)
class Leave:
    """LeaveGroup: member id (empty: whoever the instance is) and instance id of each."""

    members: tuple[tuple[str, str | None], ...]


Event: TypeAlias = "Join | Sync | Leave"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event came to."""

    error: int = NONE
    member_id: str = ""
    """Who it was about: the id that a new member got."""
    leader: str | None = None
    """The leader that a static member is told instead of the group's."""
    skip_assignment: bool = False
    immediate: bool = False
    """The answer is there at once, and by `leader` and `skip_assignment`."""
    codes: tuple[int, ...] = ()
    """Of Leave: the error of each member."""


@dataclass(slots=True)
class Effects:
    """What is to be written beside the group itself."""

    protocols: dict[str, Protocols] = field(default_factory=dict)
    """member -> what it supports now."""
    renamed: dict[str, str] = field(default_factory=dict)
    """The new id of a static member -> the one that it had, whose assignment it keeps."""
    assignments: dict[str, bytes] | None = None
    """Of a new generation: all of them."""
    expired: list[str] = field(default_factory=list)
    """Sessions that were taken for ended: must still be so when it is written down."""

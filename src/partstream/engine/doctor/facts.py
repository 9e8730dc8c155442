"""What doctor knows of the deployment before it judges: plain values, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from partstream.model import TopicDescription


def parse_info(answer: bytes) -> dict[str, str]:
    """The lines of INFO as names and values."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def replica_rows(info: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    """What INFO says of each connected replica."""
    count = info.get("connected_slaves", "0")
    rows = (info.get(f"slave{at}") for at in range(int(count) if count.isdigit() else 0))
    return tuple(
        dict(pair.split("=", 1) for pair in row.split(",") if "=" in pair) for row in rows if row
    )


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One Redis primary, as far as it tells."""

    address: str
    product: str
    """`redis` or `valkey`."""
    version: tuple[int, ...]
    info: Mapping[str, str] = field(default_factory=dict)
    """INFO; empty where it is refused."""
    info_refusal: str = ""
    """Why INFO says nothing, or nothing of use."""
    config: Mapping[str, str] = field(default_factory=dict)
    """CONFIG GET *; empty where it is refused."""
    config_refusal: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Commands that scripts need and that were refused -> what the server said."""
    bell: str = ""
    """Why a doorbell does not ring; empty if it does."""
    clock_ahead_ms: int = 0
    """How far the server's clock is ahead of this machine's."""

    def number(self, name: str, default: int = 0) -> int:
        """A number from INFO or CONFIG, whichever has it."""
        text = self.info.get(name, self.config.get(name.replace("_", "-"), ""))
        return int(text) if text.lstrip("-").isdigit() else default

    @property
    def replicas(self) -> tuple[Mapping[str, str], ...]:
        """What INFO says of each connected replica: state, lag and so on."""
        return replica_rows(self.info)


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """One replica, as far as it tells."""

    address: str
    primary: str
    """The address of the primary that it follows."""
    product: str = ""
    version: tuple[int, ...] = ()
    clock_ahead_ms: int | None = None
    refusal: str = ""
    """Why it could not be asked from here; empty if it was."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What CLUSTER NODES says beside who has which slots."""

    failed: tuple[str, ...] = ()
    """Addresses of nodes that the cluster counts as failed, or suspects of it."""
    half_moved: tuple[int, ...] = ()
    """Slots that are on their way from one node to another."""
    without_slots: tuple[str, ...] = ()
    """Primaries that hold none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The deployment and the namespace."""

    namespace: str
    is_cluster: bool
    uncovered_slots: int
    """Slots that no node holds."""
    nodes: tuple[NodeFacts, ...]
    topics: tuple[TopicDescription, ...]
    by_sentinels: bool = False
    """Whether Sentinels say who is the primary."""
    replicas: tuple[ReplicaFacts, ...] = ()
    cluster: ClusterFacts = ClusterFacts()

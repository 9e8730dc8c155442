"""Which faults each kind of deployment gets: names of methods of its servers and of the crew."""

from __future__ import annotations

from typing import Literal, TypeAlias

Topology: TypeAlias = Literal[
    "standalone", "torn", "cluster", "parted", "cluster-loose", "sentinel"
]

TOPOLOGIES: tuple[Topology, ...] = (
    "standalone",
    "torn",
    "cluster",
    "parted",
    "cluster-loose",
    "sentinel",
)
"""`torn` loses the end of its file with a crash, `parted` is a cluster behind proxies that cut it
into parts, `cluster-loose` acknowledges without replicas."""

Access: TypeAlias = Literal["open", "acl", "tls"]
"""Who gets in: everybody; users with the smallest rules; whoever has a certificate."""

SERVER_FAULTS: dict[Topology, tuple[str, ...]] = {
    "standalone": (
        "kill",
        "restart",
        "pause",
        "cut",
        "refuse",
        "lose_bytes",
        "client_kill",
        "script_flush",
        "full",
    ),
    "torn": ("tear", "tear", "kill", "cut", "pause", "client_kill"),
    "cluster": (
        "kill_primary",
        "kill_primary",
        "kill_replica",
        "failover",
        "failover_and_back",
        "promote_in_rebalance",
        "pause_primary",
        "pause_primary_briefly",
        "move_slots",
        "move_slots_at_once",
        "client_kill",
        "cut_replicas",
        "script_flush",
        "full",
    ),
    "parted": (
        "part_clients",
        "part_replica",
        "part_primary",
        "part_primary",
        "part_node",
        "kill_primary",
        "failover",
        "promote_in_rebalance",
        "lose_bytes",
        "move_slots",
    ),
    "cluster-loose": (
        "kill_primary",
        "restart_primary",
        "failover",
        "failover_and_back",
        "pause_primary",
        "pause_primary_briefly",
        "client_kill",
        "cut_replicas",
    ),
    "sentinel": (
        "kill_primary",
        "failover",
        "pause_primary",
        "pause_primary_briefly",
        "client_kill",
        "cut_replicas",
        "script_flush",
        "full",
    ),
}

SLOW_FAULTS: dict[Topology, tuple[str, ...]] = {
    "cluster": ("rolling_restart", "add_and_remove", "add_and_remove")
}
"""For runs that have the time."""

ACCESS_FAULTS: dict[Access, tuple[str, ...]] = {
    "open": (),
    "acl": ("change_secret", "change_secret"),
    "tls": ("change_secret", "change_secret"),
}

ACCESSES: dict[Topology, tuple[Access, ...]] = {
    "standalone": ("open", "open", "acl"),
    "torn": ("open",),
    "cluster": ("open", "open", "acl", "tls"),
    "parted": ("open", "open", "acl"),
    "cluster-loose": ("open",),
    "sentinel": ("open", "open", "acl", "tls"),
}
"""To draw from. A proxy that tells links apart cannot look into TLS."""

CLIENT_FAULTS = ("kill_worker", "pause_worker", "pause_worker_long", "cancel_client")

GATEWAY_FAULTS = ("kill_gateway", "kill_gateway", "pause_gateway", "stop_gateway")

GROUP_FAULTS = ("switch_member",)
"""In groups that are to change their protocol."""

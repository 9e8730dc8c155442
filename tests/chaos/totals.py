"""What a run had of everything, and what many had together, as the documentation shows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.chaos.history import Acked, Event, Failed, Fault, Read, Sent
from tests.chaos.run import Ran

BROKEN_OFF = Counter(
    {"runs": 1, "runs that broke off": 1, "runs that had anomalies": 1, "anomalies": 1}
)

ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "kill -9 of a server (primaries in place, primaries replaced, replicas)": (
        ("kill", "kill_primary", "kill_replica"),
    ),
    "a crash that takes back the end of the append-only file": (("tear",),),
    "restarts in order (rolling ones of six nodes count once); primaries back before a failover": (
        ("restart", "rolling_restart", "restart_primary"),
    ),
    "failovers that were asked for (there and back counts once)": (
        ("failover", "failover_and_back"),
    ),
    "promotions of a group's own primary while its members came and went": (
        ("promote_in_rebalance",),
    ),
    "servers frozen until another took over": (("pause_primary",),),
    "servers frozen for a moment": (("pause", "pause_primary_briefly"),),
    "primaries cut off from the rest of the cluster until another took over, with and without "
    "their clients": (("part_primary", "part_node"),),
    "clients cut off from a primary that is well; a primary and its replica cut off from each "
    "other": (("part_clients", "part_replica"),),
    "connections cut, refused or broken with bytes in them; replication cut; `CLIENT KILL`": (
        ("cut", "refuse", "lose_bytes", "cut_replicas", "client_kill"),
    ),
    "slots moved under traffic, key by key and at once; primaries added and removed": (
        ("move_slots", "move_slots_at_once", "add_and_remove"),
    ),
    "out of memory; scripts flushed": (("full", "script_flush"),),
    "passwords and certificates changed": (("change_secret",),),
    "processes of clients killed / frozen / single clients cancelled": (
        ("kill_worker",),
        ("pause_worker", "pause_worker_long"),
        ("cancel_client",),
    ),
    "members of groups switched between classic and KIP-848": (("switch_member",),),
    "gateways killed / stopped in order / frozen": (
        ("kill_gateway",),
        ("stop_gateway",),
        ("pause_gateway",),
    ),
}
"""The rows of the table of faults, and the faults that each number in a row counts."""


def tally(ran: Ran) -> Counter[str]:
    """What there was of everything."""
    counts: Counter[str] = Counter({"runs": 1, f"runs on {ran.plan.topology}": 1})
    counts[f"runs on {ran.server}"] = 1
    counts[f"runs with access {ran.plan.access}"] = 1
    counts["runs with gateways"] = int(ran.plan.gateways > 0)
    counts["runs that had anomalies"] = int(bool(ran.anomalies))
    counts["anomalies"] = len(ran.anomalies)
    for event in ran.events:
        counts.update(_counted(event))
    return counts


def _counted(event: Event) -> dict[str, int]:
    match event:
        case Fault():
            return {f"fault {event.name}": 1}
        case Sent():
            return {"records sent": 1}
        case Acked():
            return {"records acknowledged": 1}
        case Failed():
            return {"records given up": 1}
        case Read():
            return {"records read": len(event.values)}
        case _:
            return {type(event).__name__.lower(): 1}


def added_up(folders: Iterable[Path]) -> Counter[str]:
    """The totals of all runs that have left theirs in some folders."""
    totals: Counter[str] = Counter()
    for folder in folders:
        for path in folder.glob("*.json"):
            totals.update(json.loads(path.read_text(encoding="utf-8")))
    return totals


def table(totals: Counter[str]) -> Iterator[str]:
    """The lines of the documentation that these totals make."""
    faults = {name: count for name, count in totals.items() if name.startswith("fault ")}
    yield (
        f"{totals['runs']} runs, {totals['seconds'] / 60:.0f} minutes in all, "
        f"{totals['records sent']:,} records sent, {totals['records read']:,} records read, "
        f"{sum(faults.values()):,} faults; {totals['runs that had anomalies']} runs had anomalies."
    )
    for beginning in ("runs on ", "runs with "):
        named = sorted(name for name in totals if name.startswith(beginning) and totals[name])
        yield ", ".join(f"{name.removeprefix(beginning)}: {totals[name]}" for name in named)
    yield ""
    yield "| fault | times |"
    yield "|---|---|"
    for row, numbers in ROWS.items():
        counts = (sum(totals[f"fault {name}"] for name in names) for names in numbers)
        yield f"| {row} | {' / '.join(f'{count:,}' for count in counts)} |"

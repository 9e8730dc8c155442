"""What one, two and three primaries give: Redis's CPU and commands for each record.

    python -m bench.primaries [--records 200000] [--size 100] [--json FILE]

Clients and servers share this machine's few cores, so records a second say little of a cluster.
What counts is the CPU time that the *busiest* primary spends on a record: with a core of its own
for each primary, the cluster takes as many records a second as that primary does. `2, and 1 added`
is the cluster of two, after a primary was added and slots were moved to it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

import partstream
from bench.processes import in_own_process
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import spread_slots

PARTITIONS = 24
KEYS = [f"key-{number}".encode() for number in range(1_000)]

Job = Callable[[str, int, int], float]
"""url, size of values, number of records -> seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    cluster: str
    job: str
    records_per_s: float
    """As this machine has it, clients included."""
    cpu_us: float
    """Of all primaries together, a record."""
    busiest_us: float
    """Of the primary that had the most to do, a record."""
    commands: float
    """That all primaries carried out, those in scripts included, a thousand records."""
    records_per_core_s: float
    """What the cluster would take if each primary had a core of its own."""


def produce(url: str, size: int, records: int) -> float:
    """Send records of a thousand keys, and wait until all are acknowledged."""
    value = b"x" * size
    with partstream.Producer(url, acks=1, linger_ms=20, num_partitions=PARTITIONS) as producer:
        producer.send("bench", b"first", key=b"first").result()
        began = time.perf_counter()
        for key in islice(cycle(KEYS), records):
            producer.send("bench", value, key=key)
        producer.flush()
        return time.perf_counter() - began


def consume(url: str, _size: int, records: int) -> float:
    """Read them all in a group of one."""
    with partstream.Consumer(
        url, group_id=f"bench-{time.time_ns()}", auto_offset_reset="earliest"
    ) as consumer:
        consumer.subscribe(["bench"])
        began = time.perf_counter()
        seen = 0
        while seen < records:
            seen += len(consumer.poll(max_records=5_000, timeout=10))
        return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Usage:
    """What a primary has done since it was started."""

    cpu_s: float
    commands: int


def usage(cluster: EmbeddedCluster) -> list[Usage]:
    found = []
    for node in cluster.nodes:
        cpu, stats = node.info("cpu"), node.info("stats")
        found.append(
            Usage(
                float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]),
                int(stats["total_commands_processed"]),
            )
        )
    return found


def measure(cluster: EmbeddedCluster, label: str, job: Job, size: int, records: int) -> Row:
    before = usage(cluster)
    seconds = in_own_process(job, cluster.url, size, records)
    after = usage(cluster)
    cpu = [later.cpu_s - earlier.cpu_s for earlier, later in zip(before, after, strict=True)]
    commands = sum(
        later.commands - earlier.commands for earlier, later in zip(before, after, strict=True)
    )
    return Row(
        cluster=label,
        job=job.__name__,
        records_per_s=records / seconds,
        cpu_us=sum(cpu) / records * 1e6,
        busiest_us=max(cpu) / records * 1e6,
        commands=commands / records * 1_000,
        records_per_core_s=records / max(cpu),
    )


def run(size: int, records: int) -> list[Row]:
    rows = []
    for primaries in (1, 2, 3):
        with EmbeddedCluster(primaries, 0) as cluster:
            label = f"{primaries} primar{'y' if primaries == 1 else 'ies'}"
            for job in (produce, consume):
                rows.append(measure(cluster, label, job, size, records))
            if primaries != 2:
                continue
            before = cluster.primaries()
            spread_slots(cluster, [*before, cluster.add_node()])
            rows.append(measure(cluster, "2, and 1 added", produce, size, records))
            rows.append(measure(cluster, "2, and 1 added", consume, size, 2 * records))
    return rows


def show(rows: list[Row]) -> None:
    table = Table(box=None)
    for column in (
        "cluster", "job", "records/s here", "CPU us/record", "busiest primary", "commands/1000",
        "records/s, a core each", "against 1 primary",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("cluster", "job") else "right")
    first = {row.job: row.records_per_core_s for row in reversed(rows)}
    for row in rows:
        table.add_row(
            row.cluster,
            row.job,
            f"{row.records_per_s:,.0f}",
            f"{row.cpu_us:.2f}",
            f"{row.busiest_us:.2f}",
            f"{row.commands:.1f}",
            f"{row.records_per_core_s:,.0f}",
            f"{row.records_per_core_s / first[row.job]:.2f} x",
        )
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = run(arguments.size, arguments.records)
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()

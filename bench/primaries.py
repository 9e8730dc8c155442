"""What one, two and three primaries give: Redis's CPU and commands for each record.

    python -m bench.primaries [--records 1000000] [--reads 10] [--size 100] [--json FILE]

Clients and servers share this machine's few cores, so records a second say little of a cluster.
What counts is the CPU time that the *busiest* primary spends on a record: with a core of its own
for each primary, the cluster takes as many records a second as that primary does. `2, and 1 added`
is the cluster of two, after a primary was added and slots were moved to it.

A primary is busy with a record for a fraction of a microsecond, so there must be a lot of them: all
are read `--reads` times. What primaries do anyway, records or not (they talk with one another), is
measured while nothing else happens, and taken off.

The second table is the one in docs/sizing.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

import partstream
from bench.processes import in_own_process
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import spread_slots

PARTITIONS = 24
KEYS = [f"key-{number}".encode() for number in range(10_000)]
"""Enough that each partition has nearly as many of them as the others."""
IDLE_S = 3.0
TIMES = "\N{MULTIPLICATION SIGN}"


class Done(NamedTuple):
    """What a client has done."""

    records: int
    seconds: float


Job = Callable[[str], Done]
"""What a client does with the cluster of a URL."""


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


def produce(size: int, records: int, url: str) -> Done:
    """Send records of many keys, and wait until all are acknowledged."""
    value = b"x" * size
    with partstream.Producer(url, acks=1, linger_ms=20, num_partitions=PARTITIONS) as producer:
        producer.send("bench", b"first", key=b"first").result()
        began = time.perf_counter()
        for key in islice(cycle(KEYS), records):
            producer.send("bench", value, key=key)
        producer.flush()
        return Done(records, time.perf_counter() - began)


def consume(records: int, url: str) -> Done:
    """Read in a group of one, all there is again and again, until it were so many."""
    seen, seconds = 0, 0.0
    with partstream.Admin(url) as admin:
        there = sum(row.end_offset for row in admin.describe_topic("bench").partitions)
    while seen < records:
        group = f"bench-{time.time_ns()}"
        with partstream.Consumer(url, group_id=group, auto_offset_reset="earliest") as consumer:
            consumer.subscribe(["bench"])
            began, read = time.perf_counter(), 0
            while read < there:
                read += len(consumer.poll(max_records=5_000, timeout=10))
            seconds += time.perf_counter() - began
        seen += read
    return Done(seen, seconds)


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


def measure(cluster: EmbeddedCluster, label: str, name: str, job: Job) -> Row:
    idle = spent(cluster, partial(time.sleep, IDLE_S))
    done: list[Done] = []
    used = spent(cluster, lambda: done.append(in_own_process(job, cluster.url)))
    records, seconds = done[0]
    cpu = [
        here.cpu_s - anyway.cpu_s * used.seconds / idle.seconds
        for here, anyway in zip(used.each, idle.each, strict=True)
    ]
    commands = sum(here.commands for here in used.each)
    return Row(
        cluster=label,
        job=name,
        records_per_s=records / seconds,
        cpu_us=sum(cpu) / records * 1e6,
        busiest_us=max(cpu) / records * 1e6,
        commands=commands / records * 1_000,
        records_per_core_s=records / max(cpu),
    )


class Spent(NamedTuple):
    """What each primary has done in some time."""

    each: list[Usage]
    seconds: float


def spent(cluster: EmbeddedCluster, work: Callable[[], object]) -> Spent:
    before, began = usage(cluster), time.perf_counter()
    work()
    after, seconds = usage(cluster), time.perf_counter() - began
    pairs = zip(before, after, strict=True)
    return Spent(
        [Usage(late.cpu_s - early.cpu_s, late.commands - early.commands) for early, late in pairs],
        seconds,
    )


def run(size: int, records: int, reads: int) -> list[Row]:
    rows = []
    jobs: dict[str, Job] = {
        "produce": partial(produce, size, records),
        "consume": partial(consume, records * reads),
    }
    for primaries in (1, 2, 3):
        with EmbeddedCluster(primaries, 0) as cluster:
            label = f"{primaries} primar{'y' if primaries == 1 else 'ies'}"
            rows += [measure(cluster, label, name, job) for name, job in jobs.items()]
            if primaries == 2:
                before = cluster.primaries()
                spread_slots(cluster, [*before, cluster.add_node()])
                label = "2, then 1 added and slots moved to it"
                rows += [measure(cluster, label, name, job) for name, job in jobs.items()]
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
    Console(width=160).print(table)


def show_for_docs(rows: list[Row]) -> None:
    """The table of docs/sizing.md."""
    jobs = ("produce", "consume")
    print("\n| cluster |" + "".join(
        f" {job}: busiest primary | with a core each | commands for 1,000 |" for job in jobs
    ))  # fmt: skip
    print("|---|" + "---|---|---|" * len(jobs))
    first = {row.job: row.records_per_core_s for row in reversed(rows)}
    for cluster in dict.fromkeys(row.cluster for row in rows):
        line = f"| {cluster} |"
        for row in rows:
            if row.cluster == cluster:
                times = row.records_per_core_s / first[row.job]
                line += f" {row.busiest_us:.2f} µs a record | {times:.1f} {TIMES} |"
                line += f" {row.commands:.1f} |"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--reads", type=int, default=10)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = run(arguments.size, arguments.records, arguments.reads)
    show(rows)
    show_for_docs(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()

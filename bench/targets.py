"""What the figures have to reach, and whether they did. Pure.

A ratio is one of two figures of the same round on the same machine. Rates and milliseconds depend
on the machine: two cores, on which the server and the clients run together.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.rows import Row

Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of one part, and its bound."""

    part: str
    what: str
    bound: float
    measured: Callable[[Rows], float]
    most: bool = False
    """Whether the bound is the most that it may be, not the least."""
    unit: str = ""

    def met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return value <= self.bound if self.most else value >= self.bound


def judge(results: Mapping[str, Rows]) -> list[tuple[Target, float]]:
    """The targets of the parts that ran, with what was measured."""
    judged = []
    for target in TARGETS:
        if rows := results.get(target.part):
            try:
                judged.append((target, target.measured(rows)))
            except (LookupError, ValueError):  # a part of it did not run, as without Java
                continue
    return judged


def _only(rows: Rows, **like: object) -> list[Row]:
    found = [row for row in rows if all(row.get(name) == value for name, value in like.items())]
    if not found:
        raise LookupError(like)
    return found


def _rate(*jobs: str) -> Callable[[Rows], float]:
    return lambda rows: max(_only(rows, job=job, value=100)[0]["rate"] for job in jobs)


def _beside_redis_py(*jobs: str) -> Callable[[Rows], float]:
    return lambda rows: max(
        statistics.median(_only(rows, job=job, value=100)[0]["ratios"]) for job in jobs
    )


def _beside_kafka(what: str) -> Callable[[Rows], float]:
    return lambda rows: statistics.median(_only(rows, what=what)[0]["ratios"])


_READERS = ("consume, iterate", "consume, poll lists")

TARGETS = (
    Target("throughput", "produce, beside XADD in pipelines", 4, _beside_redis_py("produce")),
    Target("throughput", "produce", 600_000, _rate("produce"), unit="/s"),
    Target("throughput", "consume, beside XREADGROUP + XACK", 3, _beside_redis_py(*_READERS)),
    Target("throughput", "consume", 800_000, _rate(*_READERS), unit="/s"),
    Target(
        "latency",
        "send to receive at 1,000/s, p50",
        1,
        lambda rows: _only(rows, rate=1_000, linger_ms=0)[0]["p50_ms"],
        most=True,
        unit=" ms",
    ),
    Target(
        "memory",
        "memory, beside key and value",
        1.15,
        lambda rows: max(row["times_payload"] for row in rows),
        most=True,
    ),
    *(
        Target("gateway", f"{what}, beside Kafka", bound, _beside_kafka(f"{what}, /s"))
        for what, bound in (
            ("librdkafka produce", 1.2),
            ("librdkafka consume", 1.2),
            ("Java produce", 1.0),
            ("Java consume", 1.0),
        )
    ),
    *(
        Target("gateway", f"{what}, beside Kafka", 1.0, _beside_kafka(what), most=True)
        for rate in ("1,000", "10,000")
        for linger in (0, 1)
        for p in ("p50", "p99")
        for what in (f"latency at {rate}/s, linger {linger} ms, {p}, ms",)
    ),
    Target(
        "compaction",
        "cleaning, the slowest run",
        500_000,
        lambda rows: min(row["records_per_second"] for row in rows),
        unit="/s",
    ),
    Target(
        "compaction",
        "a producer's p99 grows beside it by",
        5,
        lambda rows: max(
            row["p99_with_ms"] - row["p99_without_ms"]
            for row in rows
            if row["p99_with_ms"] is not None and row["p99_without_ms"] is not None
        ),
        most=True,
        unit=" ms",
    ),
    Target(
        "compaction",
        "what is cleaned, beside one record a key",
        1.3,
        lambda rows: max(row["times_least"] for row in rows),
        most=True,
    ),
)

"""Counts what the gateway does: once for each request, never for each record. No I/O here."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the classes of latency, in seconds; one more has what took longer."""


class Tally:
    """One API."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "errors", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.errors: Counter[int] = Counter()
        """Error codes in answers, each as often as it stood there."""
        self.seconds = 0.0
        """From the request's last byte to its answer, together."""
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.bytes_in = 0
        self.bytes_out = 0


class Meter:
    """What one process has done since it started."""

    def __init__(self) -> None:
        self.apis: dict[int, Tally] = {}
        self.connections: Counter[str] = Counter()
        """Connections that are open, by listener."""
        self.accepted: Counter[str] = Counter()
        """Connections that came, by listener."""
        self.problems: Counter[str] = Counter()
        """Connections that were ended here, by the reason."""

    def served(
        self, api_key: int, seconds: float, bytes_in: int, bytes_out: int, errors: Iterable[int]
    ) -> None:
        """Count one request in."""
        tally = self.apis.get(api_key)
        if tally is None:
            tally = self.apis[api_key] = Tally()
        tally.requests += 1
        tally.seconds += seconds
        tally.buckets[bisect_left(BUCKETS, seconds)] += 1
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        if errors:
            tally.errors.update(errors)


def codes_in(answer: Mapping[str, Any]) -> Iterator[int]:
    """Every error code in an answer that is not 0, those of topics and partitions among them."""
    for name, value in answer.items():
        if name == "error_code":
            if value:
                yield value
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for one in value:
                yield from codes_in(one)

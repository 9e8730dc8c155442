"""The brokers that are measured: each a process of its own, so that its memory can be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import kafka

COMMAND = (sys.executable, "-c", "from partstream.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Broker:
    """One that runs."""

    name: str
    address: str
    pid: int | None = None
    """Its process, if it is on this machine and ours."""

    def resident_kib(self) -> int | None:
        """What it holds of memory."""
        if self.pid is None:
            return None
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:  # no Linux
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) if found else None

    def processor_seconds(self) -> float | None:
        """What it has used of a processor, and the Redis that it has started."""
        if self.pid is None or not Path("/proc/self/stat").exists():
            return None
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if self.pid in (int(stat.parent.name), int(fields[1])):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def gateway(url: str) -> Iterator[Broker]:
    """`partstream serve` on a free port."""
    command = [*COMMAND, "--url", url, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"serves Kafka on (\S+) as", line)
        if found is None:
            raise SystemExit(f"the gateway did not start: {line!r}")
        yield Broker("partstream", found[1], process.pid)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def apache_kafka() -> Iterator[Broker]:
    """Apache Kafka, one node."""
    with kafka.broker() as (address, pid):
        yield Broker("Apache Kafka", address, pid)

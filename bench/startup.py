"""From a command line to a gateway that serves: wall clock and CPU time, on a server that runs and
with a private one.

    python -m bench.startup [--times 5] [--json FILE]
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import rows
from partstream.embedded.server import EmbeddedServer

COMMAND = (sys.executable, "-c", "from partstream.cli import main; main()")


def start(url: str) -> tuple[float, float | None]:
    """Seconds until it says that it serves, and those of a processor."""
    began = time.perf_counter()
    command = [*COMMAND, "--url", url, "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not re.search("serves Kafka on", process.stdout.readline()):
                raise SystemExit("the gateway did not start")
            return time.perf_counter() - began, _processor_seconds(process.pid)
        finally:
            process.terminate()


def _processor_seconds(pid: int) -> float | None:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():  # no Linux
        return None
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def main() -> None:
    """Start it some times, and print the medians."""
    parser = rows.parser(__doc__)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    found = []
    with EmbeddedServer() as server:
        for what, url in (("a server that runs", server.url), ("a private server", "embedded:")):
            start(url)  # warm up the disk
            times = [start(url) for _ in range(options.times)]
            wall = statistics.median(wall for wall, _ in times)
            processor = [cpu for _, cpu in times if cpu is not None]
            row: rows.Row = {
                "what": what,
                "seconds": wall,
                "processor_seconds": statistics.median(processor) if processor else None,
            }
            found.append(row)
            cpu = f", {row['processor_seconds']:.2f} s of a processor" if processor else ""
            print(f"a gateway on {what}: {wall:.2f} s{cpu}")
    rows.write(options.json, found)


if __name__ == "__main__":
    main()

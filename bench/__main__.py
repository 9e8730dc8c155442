"""Everything in one run, the figures in a JSON file, and what was to be reached.

    python -m bench [PART ...] [--json FILE]      or: make bench ARGS="throughput latency"

A part alone takes words of its own: `python -m bench.throughput --help`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import rows, targets

PARTS = (
    "throughput", "latency", "memory", "groups", "codec", "startup", "compaction", "gateway",
    "primaries",
)  # fmt: skip


def machine() -> dict[str, object]:
    """Where the figures come from."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def measure(part: str) -> list[rows.Row]:
    """Run a part, in a process of its own, which prints its table."""
    print(f"\n== {part}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        subprocess.run([sys.executable, "-m", f"bench.{part}", "--json", str(file)], check=True)
        return rows.read(file)


def show(judged: list[tuple[targets.Target, float]]) -> None:
    """Each target beside what was measured."""
    table = Table(title="what was to be reached")
    for column in ("part", "what", "target", "measured", ""):
        table.add_column(column, justify="right" if column in ("target", "measured") else "left")
    for target, value in judged:
        digits = 0 if target.bound >= 1_000 else 2
        bound = f"{'<=' if target.most else '>='} {target.bound:,.{digits}f}{target.unit}"
        measured = f"{value:,.{digits}f}{target.unit}"
        table.add_row(
            target.part, target.what, bound, measured, "met" if target.met(value) else "MISSED"
        )
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, and write it all down."""
    parser = rows.parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.set_defaults(json=Path("bench-results.json"))
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"unknown benchmark {part!r}: expected one of {', '.join(PARTS)}")
    results = {part: measure(part) for part in options.parts or PARTS}
    judged = targets.judge(results)
    if judged:
        print()
        show(judged)
    whole = {
        "machine": machine(),
        "results": results,
        "targets": [
            {
                "part": target.part,
                "what": target.what,
                "bound": target.bound,
                "measured": value,
                "met": target.met(value),
            }
            for target, value in judged
        ],
    }
    options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures are in {options.json}")


if __name__ == "__main__":
    main()

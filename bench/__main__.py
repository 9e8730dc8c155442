"""Everything in one run: `python -m bench`, or `make bench`."""

from __future__ import annotations

import runpy
import sys

PARTS = ("throughput", "latency", "memory", "groups", "codec", "compaction", "gateway", "primaries")


def main() -> None:
    chosen = sys.argv[1:] or PARTS
    for part in chosen:
        if part not in PARTS:
            raise SystemExit(f"unknown benchmark {part!r}: expected one of {', '.join(PARTS)}")
    for part in chosen:
        print(f"\n== {part}", flush=True)
        sys.argv = [f"bench.{part}"]
        runpy.run_module(f"bench.{part}", run_name="__main__")


if __name__ == "__main__":
    main()

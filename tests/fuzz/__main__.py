"""`python -m tests.fuzz --frames 1000000 --seed 7`: spoilt frames against a gateway of its own."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time

from partstream.embedded.server import EmbeddedServer
from tests.fuzz.crowd import crowd
from tests.fuzz.frames import good
from tests.fuzz.run import Attack, Report
from tests.fuzz.target import target

MOST_GROWTH = 1.25
"""How many times the memory of the first half of the frames a gateway may hold in the second."""
_EVERY_S = 30.0


async def _main(frames: int, seed: int, connections: int) -> int:
    told = time.monotonic()

    def tell(report: Report) -> None:
        nonlocal told
        if time.monotonic() > told + _EVERY_S:
            told = time.monotonic()
            print(_text(report), flush=True)

    with EmbeddedServer() as server:
        async with target(server.url, "fuzz") as running:
            print(f"seed {seed}", flush=True)
            async with crowd(running, connections) as there:
                print(f"{len(there.silent):,} connections do nothing meanwhile", flush=True)
                report = await Attack(running, good(), seed=seed).run(frames, tell)
            print(f"{_text(report)}; slow senders got {there.answers:,} answers", flush=True)
            if not running.is_up:
                print("the gateway is gone")
                return 1
            if report.growth() > MOST_GROWTH:
                print(f"its memory has grown {report.growth():.2f} times")
                return 1
    print(
        f"{report.frames / report.seconds:,.0f} frames a second; the most memory of the second "
        f"half is {report.growth():.2f} times that of the first"
    )
    return 0


def _text(report: Report) -> str:
    sizes = [size for _, size in report.memory]
    outcomes = ", ".join(f"{count:,} {name}" for name, count in report.outcomes.most_common())
    return (
        f"{report.frames:,} frames: {outcomes}; memory {sizes[0] >> 20} MiB at first, "
        f"{sizes[-1] >> 20} now, at most {max(sizes) >> 20}; "
        f"another client wrote and read {report.others:,} times, in at most "
        f"{report.slowest_ms:.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send spoilt frames to a gateway")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--connections", type=int, default=10_000, help="that do nothing")
    given = parser.parse_args()
    drawn = random.randrange(1 << 30) if given.seed is None else given.seed
    sys.exit(asyncio.run(_main(given.frames, drawn, given.connections)))

"""Run after run until the time is over: `python -m tests.chaos --minutes 30 --seed 7`.

What failed stays in its folder: the plan, the journals of all processes, the servers' logs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.chaos.faults import ACCESSES, TOPOLOGIES
from tests.chaos.history import load
from tests.chaos.judge import judge
from tests.chaos.plan import Plan, draw
from tests.chaos.run import carry_out
from tests.chaos.totals import BROKEN_OFF, added_up, table, tally

_EACH_S = 40.0


def main() -> int:
    """Exit status 1 if there was any anomaly."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--runs", type=int, default=None, help="so many runs, in place of minutes")
    parser.add_argument("--seconds", type=float, default=_EACH_S, help="of faults, each run")
    parser.add_argument("--topology", choices=TOPOLOGIES, default=None)
    parser.add_argument("--access", choices=sorted({a for all_ in ACCESSES.values() for a in all_}))
    parser.add_argument("--gateways", type=int, default=None, help="how many, in place of chance")
    parser.add_argument(
        "--switching",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether groups change their protocol, in place of chance",
    )
    parser.add_argument("--server", type=Path, default=None, help="the binary to run")
    parser.add_argument("--folder", type=Path, default=None, help="where failures are kept")
    parser.add_argument("--judge", type=Path, default=None, help="only judge a folder again")
    parser.add_argument(
        "--sum", type=Path, nargs="+", default=None, help="only add up what folders tell of runs"
    )
    options = parser.parse_args()
    if options.sum is not None:
        print("\n".join(table(added_up(options.sum))))
        return 0
    if options.judge is not None:
        return _judge_again(options.judge)
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="partstream-chaos-"))
    print(f"seed {seed}; failures are kept in {folder}", flush=True)
    totals: Counter[str] = Counter()
    deadline = time.monotonic() + options.minutes * 60
    for number in range(options.runs or sys.maxsize):
        if options.runs is None and time.monotonic() >= deadline:
            break
        plan = draw(
            seed + number,
            seconds=options.seconds,
            topology=options.topology,
            access=options.access,
            gateways=options.gateways,
            switching=options.switching,
        )
        try:
            totals += _one(plan, options.server, folder)
        except Exception:  # noqa: BLE001 - whatever a run breaks off with, the others go on
            traceback.print_exc()
            totals += _keep(BROKEN_OFF, folder, plan)
    print("in all:", ", ".join(f"{name} {count}" for name, count in sorted(totals.items())))
    return 1 if totals["anomalies"] else 0


def _one(plan: Plan, binary: Path | None, folder: Path) -> Counter[str]:
    place = folder / str(plan.seed)
    place.mkdir(parents=True)
    print(f"seed {plan.seed} ...", flush=True)
    began = time.monotonic()
    ran = asyncio.run(carry_out(plan, place, binary=binary))
    counts = tally(ran)
    took = time.monotonic() - began
    counts["seconds"] = round(took)
    operations = counts["records sent"] + counts["records read"]
    print(
        f"seed {plan.seed}: {plan.topology} on {ran.server}, access {plan.access}, "
        f"{plan.gateways} gateways, {took:.0f} s, {operations} operations, "
        f"{sum(count for name, count in counts.items() if name.startswith('fault '))} faults, "
        f"{len(ran.anomalies)} anomalies",
        flush=True,
    )
    for anomaly in ran.anomalies[:20]:
        print(f"  {anomaly}", flush=True)
    if ran.anomalies:
        print(
            f"  again: python -m tests.chaos --seed {plan.seed} --runs 1 --seconds "
            f"{plan.seconds:g} --topology {plan.topology} --access {plan.access} "
            f"--gateways {plan.gateways} --{'' if plan.group_blows else 'no-'}switching",
            flush=True,
        )
    else:
        shutil.rmtree(place)
    return _keep(counts, folder, plan)


def _keep(counts: Counter[str], folder: Path, plan: Plan) -> Counter[str]:
    """Leave the totals of a run for `--sum`."""
    (folder / f"{plan.seed}.json").write_text(json.dumps(counts), encoding="utf-8")
    return counts


def _judge_again(folder: Path) -> int:
    """After a change of the rules. The plan's promise is the one that its topology makes."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    promise = draw(plan["seed"], seconds=1, topology=plan["topology"]).promise
    anomalies = judge(load(folder), promise)
    for anomaly in anomalies:
        print(anomaly)
    return 1 if anomalies else 0


if __name__ == "__main__":
    sys.exit(main())

"""Short runs of the checker, one of each kind of deployment. `make chaos` runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import TOPOLOGIES, Topology
from tests.chaos.history import Acked, Fault, Read
from tests.chaos.plan import Plan, draw
from tests.chaos.run import carry_out
from tests.servers.targets import Target

pytestmark = [
    pytest.mark.faults,
    # Clusters and clients of their own: no two at a time, and none beside the other clusters.
    pytest.mark.xdist_group("cluster"),
    pytest.mark.deadline(240),
]


async def run(target: Target, folder: Path, plan: Plan) -> None:
    """Run a plan; what went wrong can be looked at in `folder`, and replayed by the seed."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    print(f"seed {plan.seed}, {plan.topology}, access {plan.access}, {folder}")
    ran = await carry_out(plan, folder, binary=target.binary.path)
    # It was a test only if something happened.
    assert sum(isinstance(event, Fault) for event in ran.events) >= 2
    assert sum(isinstance(event, Acked) for event in ran.events) > 100
    assert sum(isinstance(event, Read) for event in ran.events) > 50
    text = "\n".join(map(str, ran.anomalies))
    assert not ran.anomalies, f"seed {plan.seed}, {plan.topology}, {folder}:\n{text}"


@pytest.mark.parametrize(
    "plan",
    [
        draw(239, seconds=8, topology="standalone", access="acl", gateways=2, switching=True),
        draw(37, seconds=5, topology="torn"),
        # A classic group's primary dies while its members come and go.
        draw(4534, seconds=10, topology="cluster", access="open", gateways=2),
        draw(2824, seconds=5, topology="cluster-loose", access="open"),
        draw(804, seconds=10, topology="parted", access="open", gateways=0),
    ],
    ids=lambda plan: plan.topology,
)
async def test_a_short_run(target: Target, tmp_path: Path, plan: Plan) -> None:
    """Seeds whose plans hold the faults that matter in the few seconds that there are."""
    await run(target, tmp_path, plan)


@pytest.mark.long
@pytest.mark.every_server
@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_a_longer_run(target: Target, tmp_path: Path, topology: Topology) -> None:
    await run(target, tmp_path, draw(1, seconds=30, topology=topology, access="open"))

"""Short runs of the checker, one of each kind of deployment. `make chaos` runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import Topology
from tests.chaos.history import Acked, Fault, Read
from tests.chaos.plan import draw
from tests.chaos.run import carry_out
from tests.servers.targets import Target

pytestmark = [
    pytest.mark.faults,
    # Clusters and clients of their own: no two at a time, and none beside the other clusters.
    pytest.mark.xdist_group("cluster"),
    pytest.mark.deadline(240),
]


async def run(target: Target, folder: Path, topology: Topology, seed: int, seconds: float) -> None:
    """Run a plan; what went wrong can be looked at in `folder`, and replayed by the seed."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    plan = draw(seed, seconds=seconds, topology=topology)
    ran = await carry_out(plan, folder, binary=target.binary.path)
    # It was a test only if something happened.
    assert sum(isinstance(event, Fault) for event in ran.events) >= 2
    assert sum(isinstance(event, Acked) for event in ran.events) > 100
    assert sum(isinstance(event, Read) for event in ran.events) > 50
    text = "\n".join(map(str, ran.anomalies))
    assert not ran.anomalies, f"seed {seed}, {topology}, {folder}:\n{text}"


@pytest.mark.parametrize(
    ("topology", "seed", "seconds"),
    [("standalone", 1935, 7), ("torn", 50, 5), ("cluster", 136, 10)],
)
async def test_a_short_run(
    target: Target, tmp_path: Path, topology: Topology, seed: int, seconds: float
) -> None:
    await run(target, tmp_path, topology, seed, seconds)


@pytest.mark.long
@pytest.mark.every_server
@pytest.mark.parametrize("topology", ["standalone", "torn", "cluster", "cluster-loose", "sentinel"])
async def test_a_longer_run(target: Target, tmp_path: Path, topology: Topology) -> None:
    await run(target, tmp_path, topology, 1, 30)

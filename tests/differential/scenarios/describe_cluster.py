"""DescribeCluster (60)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 60


@scenario(API)
async def the_cluster(s: Session) -> None:
    await s.ask(include_cluster_authorized_operations=False)
    await s.ask(include_cluster_authorized_operations=True)
    if s.version >= 2:
        await s.ask(include_fenced_brokers=True)


@scenario(API, only=range(1, 3))
async def endpoints(s: Session) -> None:
    for kind in (2, 0, 3, -1):
        await s.ask(endpoint_type=kind)

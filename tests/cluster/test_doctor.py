"""What doctor finds on real deployments that something is wrong with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from partstream.aio import Admin
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import SlotMove
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.model import Finding
from tests.waiting import until

pytestmark = pytest.mark.faults


async def findings(admin: Admin) -> dict[str, Finding]:
    return {finding.name: finding for finding in await admin.doctor()}


async def found(admin: Admin, name: str, matches: Callable[[Finding], bool]) -> None:
    """Wait until doctor has a finding of that name that matches."""

    async def look() -> bool:
        return any(one.name == name and matches(one) for one in await admin.doctor())

    await until(look, within=30, every=0.2)


async def test_a_cluster_in_trouble(fresh_cluster: EmbeddedCluster) -> None:
    run = asyncio.to_thread
    async with Admin(fresh_cluster.url) as admin:
        await admin.create_topic("t", 12)
        first = await findings(admin)
        assert {"replica-same-host", "node-timeout", "min-replicas-to-write"} <= set(first)
        trouble = {
            "slots-uncovered", "slots-half-moved", "node-failed", "slots-uneven",
            "replica-unreachable", "versions-differ", "clocks-differ",
        }  # fmt: skip
        assert not trouble & set(first)

        added = await run(fresh_cluster.add_node)
        await found(admin, "slots-uneven", lambda one: f"{added.port} holds 0" in one.what)

        source, target = (await run(fresh_cluster.primaries))[:2]
        slot = (await run(fresh_cluster.slots_of))[source.index][7]
        await run(SlotMove(fresh_cluster, slot, target, source).begin)
        await found(admin, "slots-half-moved", lambda one: f"slot {slot}" in one.what)

        dead = fresh_cluster.nodes[4]
        await run(dead.kill)
        await found(admin, "node-failed", lambda one: one.where == f"127.0.0.1:{dead.port}")
        await found(admin, "replicas", lambda _: True)


async def test_a_cluster_that_lost_slots(fresh_cluster: EmbeddedCluster) -> None:
    async with Admin(fresh_cluster.url) as admin:
        await asyncio.to_thread(fresh_cluster.nodes[3].kill)
        await asyncio.to_thread(fresh_cluster.nodes[0].command, "CLUSTER", "DELSLOTS", 5, 6)
        await found(admin, "slots-uncovered", lambda one: " 2 of" in one.what)


async def test_behind_sentinels(fresh_sentinel: EmbeddedSentinel) -> None:
    async with Admin(fresh_sentinel.url) as admin:
        first = await findings(admin)
        assert "commits" in first["min-replicas-to-write"].why
        assert "replica-same-host" in first
        assert "replica-unreachable" not in first

"""Gateways and Redis die under clients of three languages, which notice a pause and no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from tests.foreign.agent import Agent
from tests.foreign.groups import QUICK
from tests.foreign.processes import Served, served
from tests.foreign.traffic import Traffic

pytestmark = [
    pytest.mark.faults,
    pytest.mark.deadline(600),
    pytest.mark.xdist_group("foreign-faults"),
]

GONE_S = 10.0
"""For how long Redis is away: longer than a session of a group, and than a gateway is patient."""

CONFIG = {**QUICK, "request_timeout_ms": 5_000}


async def under_traffic(
    agents: dict[str, Agent], gateways: list[Served], namespace: str
) -> Traffic:
    """Traffic over all of these gateways, which has begun."""
    bootstrap = ",".join(one.address for one in gateways)
    traffic = await asyncio.to_thread(Traffic, agents, bootstrap, namespace)
    await traffic.begin()
    return traffic


async def test_gateways_are_killed_one_after_the_other(
    agents: dict[str, Agent], redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """Whatever each was to whom: leader, coordinator, or the one that a client knew first."""
    async with served(3, redis_url, namespace, tmp_path, **CONFIG) as gateways:
        traffic = await under_traffic(agents, gateways, namespace)
        for gateway in gateways:
            await gateway.kill()
            await traffic.settled()
            await gateway.start()
            await traffic.goes_on()
        await traffic.judge()


async def test_all_gateways_are_killed(
    agents: dict[str, Agent], redis_url: str, namespace: str, tmp_path: Path
) -> None:
    async with served(2, redis_url, namespace, tmp_path, **CONFIG) as gateways:
        traffic = await under_traffic(agents, gateways, namespace)
        await asyncio.gather(*(gateway.kill() for gateway in gateways))
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        await traffic.settled()
        await traffic.judge()


@pytest.mark.parametrize("how", ["frozen", "killed"])
async def test_redis_is_gone_for_a_while(
    agents: dict[str, Agent], namespace: str, tmp_path: Path, how: str
) -> None:
    """It comes back with all that it had: its file is written before it answers."""
    with EmbeddedServer(tmp_path / "data", config={"appendfsync": "always"}) as server:
        async with served(2, server.url, namespace, tmp_path, **CONFIG) as gateways:
            traffic = await under_traffic(agents, gateways, namespace)
            if how == "frozen":
                server.pause()
                await asyncio.sleep(GONE_S)
                server.resume()
            else:
                server.kill()
                await asyncio.sleep(GONE_S)
                await asyncio.to_thread(server.restart)
            await traffic.settled()
            await traffic.judge()


async def test_a_replica_takes_over(
    agents: dict[str, Agent], fresh_sentinel: EmbeddedSentinel, namespace: str, tmp_path: Path
) -> None:
    """acks=all is every replica in sync: what was acknowledged is there after the failover."""
    async with served(2, fresh_sentinel.url, namespace, tmp_path, **CONFIG) as gateways:
        traffic = await under_traffic(agents, gateways, namespace)
        primary = fresh_sentinel.primary()
        primary.kill()
        await asyncio.to_thread(fresh_sentinel.wait_taken_over, primary)
        await traffic.settled()
        await traffic.judge()

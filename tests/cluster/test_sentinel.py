"""Clients behind Sentinels: a primary dies, real sentinels promote its replica, work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from partstream import aio
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, StoreUnavailable
from tests.cluster.traffic import Traffic
from tests.servers.targets import Target
from tests.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.deadline(120)]


@pytest.mark.every_server
async def test_a_failover_loses_nothing_acknowledged(fresh_sentinel: EmbeddedSentinel) -> None:
    traffic = Traffic(fresh_sentinel.url)
    async with aio.Admin(fresh_sentinel.url) as admin:
        await admin.create_topic("t", 4)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.produce())
        tasks.create_task(traffic.consume())
        await until(lambda: len(traffic.acknowledged) > 500 and len(traffic.read) > 500)

        old = fresh_sentinel.primary()
        old.kill()
        new = await asyncio.to_thread(fresh_sentinel.wait_taken_over, old)
        assert new is not old

        acknowledged, read = len(traffic.acknowledged), len(traffic.read)
        await until(lambda: len(traffic.acknowledged) > acknowledged + 500, within=30)
        await until(lambda: len(traffic.read) > read + 500, within=30)
        traffic.stopping.set()
    traffic.judge()
    async with aio.Admin(fresh_sentinel.url) as admin:
        cluster = await admin.describe_cluster()
        assert cluster.kind == "sentinel"
        assert cluster.nodes[0].address == f"{new.host}:{new.port}"
        # What was processed is committed, on the server that was promoted.
        assert not any(lag.lag for lag in (await admin.describe_group("g")).lags)


@pytest.fixture
def guarded(target: Target) -> Iterator[EmbeddedSentinel]:
    """Servers that ask for a password; their sentinels do not."""
    assert target.binary is not None
    with EmbeddedSentinel(binary=target.binary.path, password="s3cret/%") as running:
        yield running


async def test_the_password_is_for_the_servers(guarded: EmbeddedSentinel) -> None:
    async with aio.Producer(guarded.url) as producer:
        assert (await (await producer.send("t", b"v"))).offset == 0


async def test_the_name_must_be_one_that_the_sentinels_know(
    fresh_sentinel: EmbeddedSentinel,
) -> None:
    wrong = fresh_sentinel.url.rpartition("/")[0]
    with pytest.raises(StoreUnavailable, match="nobody"):
        await aio.Admin(f"{wrong}/nobody", request_timeout_ms=2_000).start()
    with pytest.raises(ConfigError, match="primary's name"):
        await aio.Admin(wrong).start()


async def test_one_sentinel_that_answers_is_enough(fresh_sentinel: EmbeddedSentinel) -> None:
    for sentinel in fresh_sentinel.sentinels[:2]:
        sentinel.kill()
    async with aio.Producer(fresh_sentinel.url) as producer:
        assert (await (await producer.send("t", b"v"))).offset == 0


async def test_without_sentinels_it_says_so(fresh_sentinel: EmbeddedSentinel) -> None:
    for sentinel in fresh_sentinel.sentinels:
        sentinel.kill()
    with pytest.raises(StoreUnavailable, match="sentinels"):
        await aio.Admin(fresh_sentinel.url, request_timeout_ms=2_000).start()


async def test_a_replica_is_never_taken_for_the_primary(fresh_sentinel: EmbeddedSentinel) -> None:
    primary: EmbeddedServer = fresh_sentinel.primary()
    async with aio.Producer(fresh_sentinel.url, acks="all") as producer:
        await (await producer.send("t", b"before"))
        sentinel = fresh_sentinel.sentinels[0]
        sentinel.command("SENTINEL", "FAILOVER", fresh_sentinel.name)
        new = await asyncio.to_thread(fresh_sentinel.wait_taken_over, primary)
        # The old primary lives on as a replica, its connections too: it answers READONLY.
        assert (await (await producer.send("t", b"after"))).offset == 1
        assert new.info("keyspace")

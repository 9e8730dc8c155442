"""Managed services keep INFO and CONFIG to themselves: all works, and what is lost is named."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from click.testing import CliRunner

from partstream import aio
from partstream.cli.app import root
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.process import ServerProcess
from partstream.embedded.server import EmbeddedServer
from partstream.errors import PartstreamError
from partstream.model import Finding, Severity

LOGIN: dict[str, Any] = {"username": "tenant", "password": "secret"}


def restrict(*servers: ServerProcess) -> None:
    """Make the user that a managed service gives to its customers."""
    for server in servers:
        server.command("ACL", "SETUSER", "tenant", "on", ">secret", "~*", "&*", "+@all",
                       "-@admin", "-@dangerous")  # fmt: skip


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged above INFO."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def everything(url: str) -> list[Finding]:
    """What clients do; what doctor finds at the end."""
    async with (
        aio.Admin(url, **LOGIN) as admin,
        aio.Producer(url, **LOGIN, acks="all") as producer,
        aio.Consumer(url, **LOGIN, group_id="g", auto_offset_reset="earliest") as consumer,
    ):
        await admin.create_topic("t", 3, {"segment.bytes": 4_096, "retention.bytes": 8_192})
        await admin.alter_config("t", {"retention.ms": 1_000_000})
        await admin.create_partitions("t", 4)
        await consumer.subscribe(["t"])
        assert await consumer.poll(timeout=0.5) == []
        await (await producer.send("t", b"rung"))
        assert [record.value for record in await consumer.poll(timeout=2.0)] == [b"rung"]
        for number in range(100):
            await producer.send("t", bytes(500), key=b"%d" % number)
        await producer.flush()
        seen = 0
        while seen < 100:
            records = await consumer.poll(timeout=5.0)
            assert records
            seen += len(records)
        await consumer.commit()
        assert not any(lag.lag for lag in (await admin.describe_group("g")).lags)
        assert (await admin.describe_cluster()).nodes
        await admin.maintain()
        return await admin.doctor()


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.name.endswith("-refused")}


@pytest.mark.every_server
async def test_everything_works_and_what_is_lost_is_named(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    restrict(fresh_server)
    refused = by_name(await everything(fresh_server.url))
    assert set(refused) == {"info-refused", "config-refused"}
    assert refused["info-refused"].severity is Severity.WARNING
    assert "go unnoticed" in refused["info-refused"].why
    assert "INFO" in refused["info-refused"].what
    # One line for each of the three clients, and nothing else to worry about.
    assert [line.partition(":")[0] for line in told(caplog)] == ["info-refused"] * 3
    assert "go unnoticed" in told(caplog)[0]


async def test_on_a_cluster_too(
    fresh_cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    restrict(*fresh_cluster.nodes)
    findings = await everything(fresh_cluster.url)
    assert set(by_name(findings)) == {"info-refused", "config-refused"}
    where = {finding.where for finding in findings if finding.name == "info-refused"}
    assert where == {f"{node.host}:{node.port}" for node in fresh_cluster.primaries()}
    assert [line.partition(":")[0] for line in told(caplog)] == ["info-refused"] * 3


def impatient(url: str) -> aio.Producer:
    return aio.Producer(
        url, **LOGIN, acks="all", request_timeout_ms=1_000, delivery_timeout_ms=2_000, linger_ms=0
    )


async def test_a_cluster_names_its_replicas(fresh_cluster: EmbeddedCluster) -> None:
    """Who asks for a second copy gets one, also where INFO does not count them."""
    restrict(*fresh_cluster.nodes)
    async with (
        aio.Admin(fresh_cluster.url, **LOGIN) as admin,
        impatient(fresh_cluster.url) as producer,
    ):
        await admin.create_topic("t", 1, {"min.insync.replicas": 2})
        await (await producer.send("t", b"v"))
        node = (await admin.describe_topic("t")).partitions[0].node
        primary = next(each for each in fresh_cluster.nodes if f":{each.port}" in node)
        (replica,) = fresh_cluster.replicas_of(primary)
        replica.pause()
        with pytest.raises(PartstreamError):
            await (await producer.send("t", b"v"))
        replica.resume()


async def test_replicas_that_nobody_counts_do_not_count(fresh_server: EmbeddedServer) -> None:
    """Who asks for a second copy is refused, rather than told that there is one."""
    restrict(fresh_server)
    async with (
        aio.Admin(fresh_server.url, **LOGIN) as admin,
        impatient(fresh_server.url) as producer,
    ):
        await admin.create_topic("t", 1, {"min.insync.replicas": 2})
        with pytest.raises(PartstreamError, match=r"min\.insync\.replicas"):
            await (await producer.send("t", b"v"))


async def test_where_info_answers_nothing_is_said(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with aio.Admin(fresh_server.url) as admin:
        assert by_name(await admin.doctor()) == {}
    assert told(caplog) == []


def test_the_command_line_says_it_by_name(fresh_server: EmbeddedServer) -> None:
    restrict(fresh_server)
    url = fresh_server.url.replace("redis://", "redis://tenant:secret@")
    result = CliRunner().invoke(root, ["--url", url, "doctor", "--json"])
    assert result.exit_code == 3, result.output
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert findings["info-refused"]["severity"] == "warning"
    assert "Traceback" not in result.output

"""`partstream doctor`, and the admin call behind it, on real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from partstream.cli.app import root
from partstream.client.admin import Admin
from partstream.embedded import resp
from partstream.embedded.server import EmbeddedServer
from tests.cli.conftest import Cli


def findings(code: int, *words: str) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(root, ["doctor", "--json", *words])
    assert result.exit_code == code, result.output
    return {finding["name"]: finding for finding in json.loads(result.stdout)}


@pytest.mark.every_server
def test_a_server_that_keeps_nothing(redis_url: str, namespace: str) -> None:
    found = findings(4, "--url", redis_url, "--namespace", namespace)
    assert found["persistence"]["severity"] == "error"
    assert {"replicas", "maxmemory", "maxmemory-clients"} <= set(found)
    assert not {"bell-silent", "command-refused", "scripts-refused", "info-refused"} & set(found)


def test_text(cli: Cli) -> None:
    text = cli.run("doctor", code=4).stdout
    assert "remedy: CONFIG SET appendonly yes" in text
    assert text.startswith("error: ")


def test_a_server_that_is_well_set_up(fresh_server: EmbeddedServer) -> None:
    for name, value in {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory": "1gb",
        "maxmemory-clients": "5%",
    }.items():
        resp.call(fresh_server.address, "CONFIG", "SET", name, value)
    assert set(findings(3, "--url", fresh_server.url)) == {"replicas"}


@pytest.mark.every_server
def test_a_user_who_may_not_look(fresh_server: EmbeddedServer) -> None:
    rules = ("on", ">secret", "~ps:*", "resetchannels", "+@all", "-@dangerous", "-@admin")
    resp.call(fresh_server.address, "ACL", "SETUSER", "app", *rules)
    url = fresh_server.url.replace("redis://", "redis://app:secret@")
    found = findings(3, "--url", url)
    assert set(found) - {"waitaof"} == {"info-refused", "config-refused", "bell-refused"}
    assert "+info" in found["info-refused"]["remedy"]
    assert "&ps:*" in found["bell-refused"]["remedy"]


def test_a_user_who_may_not_write(fresh_server: EmbeddedServer) -> None:
    rules = ("on", ">secret", "~ps:*", "&ps:*", "+@all", "-@dangerous", "+info", "-xadd")
    resp.call(fresh_server.address, "ACL", "SETUSER", "app", *rules)
    url = fresh_server.url.replace("redis://", "redis://app:secret@")
    assert "XADD" in findings(4, "--url", url)["command-refused"]["what"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://127.0.0.1:1", "PARTSTREAM_URL"),
        ("redis://nobody:wrong@{address}", "redis://user:password@host"),
    ],
)
def test_a_server_that_cannot_be_used(redis_url: str, url: str, text: str) -> None:
    found = findings(4, "--url", url.format(address=redis_url.removeprefix("redis://")))
    assert text in found["connection"]["remedy"]


def test_the_probe_leaves_nothing(cli: Cli, fresh_server: EmbeddedServer) -> None:
    findings(4, "--url", fresh_server.url)
    keys = resp.call(fresh_server.address, "KEYS", "*probe*")
    assert keys == []


async def test_every_node_of_a_cluster(cluster_url: str, namespace: str) -> None:
    async with Admin(cluster_url, namespace=namespace) as admin:
        nodes = {node.address for node in (await admin.describe_cluster()).nodes}
        found = await admin.doctor()
    by_node = {finding.where for finding in found if finding.name == "persistence"}
    assert by_node == nodes
    assert not {"replicas", "bell-silent", "slots-uncovered"} & {finding.name for finding in found}


def test_what_nodes_share_is_printed_once(cluster_url: str, namespace: str) -> None:
    words = ["--url", cluster_url, "--namespace", namespace, "doctor"]
    result = CliRunner().invoke(root, words)
    nodes = {
        row["where"]
        for row in json.loads(CliRunner().invoke(root, [*words, "--json"]).stdout)
        if row["name"] == "persistence"
    }
    (line,) = (row for row in result.stdout.splitlines() if row.endswith("(persistence)"))
    assert len(nodes) > 1
    assert all(node in line for node in nodes)
    assert result.stdout.count("remedy: CONFIG SET appendonly yes") == 1

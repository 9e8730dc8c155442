"""The Redis servers: what each holds, and how its replicas follow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from partstream.cli.output import json_option, print_fields, print_json, print_table, size
from partstream.cli.settings import connected, of
from partstream.model import NodeDescription, ReplicaDescription
from partstream.sync.admin import Admin


@click.command(short_help="Show the servers, what they hold, and their replicas.")
@json_option
@connected
@click.pass_context
def cluster(ctx: click.Context, as_json: bool) -> None:
    """Show the Redis servers: slots, partitions, memory, replicas and their lag.

    Partitions are those of this namespace. The lag of a replica is the time since it was last
    heard of, and what it has not acknowledged of what its primary wrote.
    """
    with Admin(**of(ctx).client()) as admin:
        found = admin.describe_cluster()
    if as_json:
        print_json({**asdict(found), "nodes": [_as_json(node) for node in found.nodes]})
        return
    print_fields({"kind": found.kind, "namespace": found.namespace, "layout": found.layout})
    click.echo()
    print_table(
        ["NODE", "SERVER", "SLOTS", "PARTITIONS", "MEMORY", "LIMIT", "REPLICA", "STATE", "LAG",
         "BEHIND"],
        [row for node in found.nodes for row in _rows(node)],
        right={"SLOTS", "PARTITIONS", "MEMORY", "LIMIT", "LAG", "BEHIND"},
    )  # fmt: skip


def _as_json(node: NodeDescription) -> dict[str, Any]:
    names = [f"{at.topic}-{at.partition}" for at in node.partitions]
    return {**asdict(node), "partitions": names}


def _rows(node: NodeDescription) -> list[list[object]]:
    """A line for the node and its first replica, and one for each further replica."""
    limit = "none" if node.maxmemory == 0 else _bytes(node.maxmemory)
    about: list[object] = [
        node.address, f"{node.product} {node.version}", node.slots, len(node.partitions),
        _bytes(node.used_memory), limit,
    ]  # fmt: skip
    replicas = [_replica(one) for one in node.replicas] or [[None] * 4]
    blank: list[object] = [""] * len(about)
    return [[*(blank if at else about), *replica] for at, replica in enumerate(replicas)]


def _replica(one: ReplicaDescription) -> list[object]:
    return [
        one.address,
        one.state,
        None if one.lag_s is None else f"{one.lag_s} s",
        _bytes(one.lag_bytes),
    ]


def _bytes(count: int | None) -> str | None:
    return None if count is None else size(count)

"""Partitions that are too large to be moved, or that stall the servers which move them.

A partition is one key, or two if it was compacted, and `movable` says what that means.
"""

from __future__ import annotations

from collections.abc import Iterator

from partstream.embedded.movable import (
    BESIDE_BATCHES,
    COMFORTABLE,
    DEFAULT_LIMIT,
    LIMIT,
    is_carried,
)
from partstream.engine.doctor.facts import Facts, NodeFacts
from partstream.engine.doctor.topic_rules import Rule
from partstream.model import Finding, PartitionDescription, Severity, TopicDescription

_MIB = 1024 * 1024
_MIGRATE_MS_A_MIB = 8
"""Of one CPU, with rdbcompression on and values that do not compress (docs/operations.md)."""
_AT_ONCE = {
    "valkey": ((9,), "CLUSTER MIGRATESLOTS"),
    "redis": ((8, 4), "CLUSTER MIGRATION IMPORT"),
}
"""Who has atomic slot migration, which sends a stream entry by entry: since when, and how."""


def partition_sizes(facts: Facts) -> Iterator[Finding]:
    """Partitions that are large, too large for the cluster's patience, or too large at all."""
    nodes = {node.address: node for node in facts.nodes}
    limit = min((_limit(node) for node in facts.nodes), default=DEFAULT_LIMIT)
    for topic in facts.topics:
        for partition in topic.partitions:
            # Whichever node it may be moved to.
            carried = is_carried(int(partition.size * BESIDE_BATCHES), limit)
            if partition.size > COMFORTABLE or not carried:
                node = nodes.get(partition.node)
                yield _large(facts, topic, partition, node, 0 if carried else limit)


def _limit(node: NodeFacts) -> int:
    return node.number(LIMIT.replace("-", "_")) or DEFAULT_LIMIT


def _large(
    facts: Facts,
    topic: TopicDescription,
    partition: PartitionDescription,
    node: NodeFacts | None,
    exceeded: int,
) -> Finding:
    """`exceeded`: the limit, if it is too large to be carried, else 0."""
    at_once = "" if node is None else _at_once(node)
    what = f"the partition holds {partition.size // _MIB} MiB in one key"
    retained = min(COMFORTABLE, exceeded or COMFORTABLE) // 2
    remedy = (
        f"partstream topics alter {topic.name} --config retention.bytes={retained}, and more "
        "partitions"
    )
    if exceeded:
        name = "partition-immovable"
        what += f", more than fits into {LIMIT} ({exceeded // _MIB} MiB)"
        why = (
            "MIGRATE cannot carry it: it blocks the server for many seconds, fails, and leaves the "
            "slot half moved."
        )
        if is_carried(int(partition.size * BESIDE_BATCHES), DEFAULT_LIMIT):
            remedy = f"CONFIG SET {LIMIT} {DEFAULT_LIMIT} on every node; or {remedy}"
    else:
        name = "partition-size"
        why = _silence(partition.size, node)
    return Finding(
        name,
        Severity.WARNING if facts.is_cluster and not at_once else Severity.INFO,
        f"{topic.name}-{partition.partition}",
        what,
        why,
        f"Move it with {at_once}, never with MIGRATE (redis-cli --cluster reshard); or {remedy}"
        if at_once
        else f"{remedy}; Valkey 9 and Redis 8.4 move slots without MIGRATE",
    )


def _at_once(node: NodeFacts) -> str:
    """The command of atomic slot migration, if the server has it."""
    since, command = _AT_ONCE.get(node.product, ((1 << 16,), ""))
    return command if node.version >= since else ""


def _silence(size: int, node: NodeFacts | None) -> str:
    """How long nobody hears of the server that moves it."""
    blocked_ms = size // _MIB * _MIGRATE_MS_A_MIB
    patience_ms = 0 if node is None else node.number("cluster_node_timeout")
    why = f"Moving it with MIGRATE blocks its server for {blocked_ms / 1000:.0f} s or longer."
    if 0 < patience_ms < 2 * blocked_ms:
        why += (
            f" That is near cluster-node-timeout ({patience_ms} ms): the cluster may fail over "
            "in the middle."
        )
    return why


RULES: tuple[Rule, ...] = (partition_sizes,)

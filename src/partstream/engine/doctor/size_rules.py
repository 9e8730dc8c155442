"""Partitions that are too large to be moved, or that stall the servers which move them.

A partition is one key. MIGRATE sends a key in one piece, and neither server does anything else
meanwhile; and the target takes no piece that is larger than proto-max-bulk-len.
"""

from __future__ import annotations

from collections.abc import Iterator

from partstream.engine.doctor.facts import Facts, NodeFacts
from partstream.engine.doctor.topic_rules import Rule
from partstream.model import Finding, PartitionDescription, Severity, TopicDescription

MOVABLE_BYTES = 128 * 1024 * 1024
"""Above that, moving one partition's key to another node blocks its server for a second or so."""
_MIB = 1024 * 1024
_MIGRATE_MS_A_MIB = 8
"""Of one CPU, with rdbcompression on and values that do not compress (docs/operations.md)."""
_BULK_BYTES = 512 * _MIB
_ASM_SINCE = {"valkey": (9,)}
"""Who has atomic slot migration, which sends a stream entry by entry."""


def partition_sizes(facts: Facts) -> Iterator[Finding]:
    """Partitions that are large, too large for the cluster's patience, or too large at all."""
    nodes = {node.address: node for node in facts.nodes}
    limit = min((node.number("proto_max_bulk_len", _BULK_BYTES) for node in facts.nodes), default=0)
    for topic in facts.topics:
        for partition in topic.partitions:
            if partition.size > MOVABLE_BYTES:
                node = nodes.get(partition.node)
                yield _large(facts, topic, partition, node, limit or _BULK_BYTES)


def _large(
    facts: Facts,
    topic: TopicDescription,
    partition: PartitionDescription,
    node: NodeFacts | None,
    limit: int,
) -> Finding:
    blocked_ms = partition.size // _MIB * _MIGRATE_MS_A_MIB
    patience_ms = 0 if node is None else node.number("cluster_node_timeout")
    at_once = node is not None and node.version >= _ASM_SINCE.get(node.product, (1 << 16,))
    severity = Severity.WARNING if facts.is_cluster and not at_once else Severity.INFO
    what = f"the partition holds {partition.size // _MIB} MiB in one key"
    if partition.size > limit:
        name = "partition-immovable"
        what += f", more than proto-max-bulk-len ({limit // _MIB} MiB)"
        why = (
            "MIGRATE cannot carry it: it blocks the server for many seconds, fails, and leaves the "
            "slot half moved."
        )
    else:
        name = "partition-size"
        why = f"Moving it with MIGRATE blocks its server for {blocked_ms / 1000:.0f} s or longer."
        if 0 < patience_ms < 2 * blocked_ms:
            why += (
                f" That is near cluster-node-timeout ({patience_ms} ms): the cluster may fail over "
                "in the middle."
            )
    remedy = (
        f"partstream topics alter {topic.name} --config retention.bytes={MOVABLE_BYTES // 2}, and "
        "more partitions"
    )
    return Finding(
        name,
        severity,
        f"{topic.name}-{partition.partition}",
        what,
        why,
        "Move it with CLUSTER MIGRATESLOTS, never with redis-cli --cluster reshard; or " + remedy
        if at_once
        else remedy + "; Valkey 9 moves slots without MIGRATE (CLUSTER MIGRATESLOTS)",
    )


RULES: tuple[Rule, ...] = (partition_sizes,)

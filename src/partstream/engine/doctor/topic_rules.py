"""What of the topics is dangerous or surprising."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from partstream.engine.doctor.facts import Facts
from partstream.model import Finding, Severity, TopicDescription

_MIB = 1024 * 1024
_CLIENTS = {
    "murmur3": "no client of Kafka does by default",
    "murmur2": "Kafka's Java client, kafka-python and aiokafka do",
    "crc32": "librdkafka and confluent-kafka do",
}

Rule = Callable[[Facts], Iterator[Finding]]


def room(facts: Facts) -> Iterator[Finding]:
    """What the topics may grow to, beside what the servers have."""
    unlimited = [t.name for t in facts.topics if int(t.config["retention.bytes"]) < 0]
    if unlimited:
        yield Finding(
            "retention-unlimited",
            Severity.WARNING,
            ", ".join(unlimited),
            "retention.bytes is -1",
            "The log grows until its records are too old, or until the server is full.",
            f"partstream topics alter {unlimited[0]} --config retention.bytes=268435456",
        )
    for node in facts.nodes:
        limit = node.number("maxmemory")
        most = sum(
            int(topic.config["retention.bytes"]) + int(topic.config["segment.bytes"])
            for topic in facts.topics
            if topic.name not in unlimited
            for partition in topic.partitions
            if partition.node == node.address
        )
        if 0 < limit < most:
            yield Finding(
                "retention-exceeds-memory",
                Severity.WARNING,
                node.address,
                f"topics may grow to {most // _MIB} MiB here, maxmemory is {limit // _MIB} MiB",
                "Appends are refused before retention by size begins to drop what is old.",
                "Lower retention.bytes of the largest topics (partstream topics list), or raise "
                "maxmemory",
            )


def acknowledgement(facts: Facts) -> Iterator[Finding]:
    """What topics ask for and servers cannot give."""
    counts = {node.address: len(node.replicas) for node in facts.nodes if not node.info_refusal}
    no_file = {
        node.address
        for node in facts.nodes
        if node.info.get("aof_enabled") == "0" or "waitaof" in _lacking(node.product, node.version)
    }
    for topic in facts.topics:
        nodes = {partition.node for partition in topic.partitions}
        wanted = int(topic.config["min.insync.replicas"])
        short = sorted(node for node in nodes if counts.get(node, wanted) + 1 < wanted)
        if short:
            yield Finding(
                "min-insync-replicas",
                Severity.ERROR,
                topic.name,
                f"min.insync.replicas is {wanted}, but {', '.join(short)} has "
                f"{counts[short[0]]} replicas",
                "Producers with acks=all are refused (NOT_ENOUGH_REPLICAS).",
                f"Add replicas, or partstream topics alter {topic.name} --config "
                f"min.insync.replicas={counts[short[0]] + 1}",
            )
        if topic.config["flush.messages"] == "1" and nodes & no_file:
            yield Finding(
                "flush-messages",
                Severity.ERROR,
                topic.name,
                f"flush.messages is 1, but {', '.join(sorted(nodes & no_file))} cannot wait for "
                "its append-only file",
                "Producers with acks=all are refused.",
                "CONFIG SET appendonly yes (WAITAOF needs Redis 7.2 or Valkey)",
            )


def _lacking(product: str, version: tuple[int, ...]) -> set[str]:
    return {"waitaof"} if product == "redis" and version < (7, 2) else set()


def partitioners(facts: Facts) -> Iterator[Finding]:
    """Which hash the keys of each topic go by."""
    by_hash: dict[str, list[TopicDescription]] = {}
    for topic in facts.topics:
        by_hash.setdefault(topic.partitioner, []).append(topic)
    for name, topics in sorted(by_hash.items()):
        yield Finding(
            "partitioner",
            Severity.INFO,
            ", ".join(topic.name for topic in topics[:10])
            + (f" and {len(topics) - 10} more" if len(topics) > 10 else ""),
            f"keys are hashed by {name}, as {_CLIENTS[name]}",
            "A producer that hashes by itself and otherwise puts the same key into another "
            "partition: the order of that key is lost, and so are joins by partition.",
            "partstream's own producers follow the topic; for others create the topic with their "
            "hash: --config partstream.partitioner=murmur2",
        )


RULES: tuple[Rule, ...] = (room, acknowledgement, partitioners)

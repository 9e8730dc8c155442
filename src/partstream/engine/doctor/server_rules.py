"""What of a server's set-up loses data or stalls: one rule each, from facts to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from partstream.engine.doctor.facts import NodeFacts
from partstream.model import Finding, Severity

_MIB = 1024 * 1024
_WAITAOF_SINCE = {"redis": (7, 2), "valkey": (7, 2)}
_MOST_LAG_S = 10

Rule = Callable[[NodeFacts], Iterator[Finding]]


def refusals(node: NodeFacts) -> Iterator[Finding]:
    """What the server does not tell, and so what could not be looked at."""
    if node.info_refusal:
        yield Finding(
            "info-refused",
            Severity.WARNING,
            node.address,
            f"INFO is refused: {node.info_refusal}",
            "Records that a failover or a restart takes back go unnoticed; outside of a cluster, "
            "which names its replicas, acks=all waits for none; and doctor could not look at "
            "memory and persistence.",
            "ACL SETUSER <user> +info (a managed service may not allow it)",
        )
    if node.config_refusal:
        yield Finding(
            "config-refused",
            Severity.INFO,
            node.address,
            f"CONFIG GET is refused: {node.config_refusal}",
            "doctor could not look at appendfsync, save, maxmemory-clients, timeout and "
            "min-replicas-to-write.",
            "Look at them in the console of the service, or ACL SETUSER <user> +config|get",
        )


def permissions(node: NodeFacts) -> Iterator[Finding]:
    """Commands that scripts need, and the channels of doorbells."""
    refused = {name: text for name, text in node.refused.items() if name not in ("INFO", "EVALSHA")}
    if "EVALSHA" in node.refused:
        yield Finding(
            "scripts-refused",
            Severity.ERROR,
            node.address,
            f"a script could not be run: {node.refused['EVALSHA']}",
            "Everything that partstream writes, it writes by scripts.",
            "ACL SETUSER <user> +evalsha +script|load ~<namespace>:*",
        )
    for name, text in refused.items():
        bell = name in ("SPUBLISH", "PUBSUB SHARDNUMSUB")
        yield Finding(
            "bell-refused" if bell else "command-refused",
            Severity.WARNING if bell else Severity.ERROR,
            node.address,
            f"{name} is refused: {text}",
            "Readers that have caught up do not hear of new records, and poll slowly."
            if bell
            else "Scripts that use it fail.",
            "ACL SETUSER <user> &<namespace>:* +spublish +ssubscribe +pubsub|shardnumsub"
            if bell
            else f"ACL SETUSER <user> +{name.lower()} ~<namespace>:*",
        )
    if node.bell and not any(name in node.refused for name in ("SPUBLISH", "EVALSHA")):
        yield Finding(
            "bell-silent",
            Severity.WARNING,
            node.address,
            f"a doorbell does not ring: {node.bell}",
            "Readers that have caught up do not hear of new records, and poll slowly.",
            "ACL SETUSER <user> &<namespace>:* +spublish +ssubscribe",
        )


def eviction(node: NodeFacts) -> Iterator[Finding]:
    """A server that evicts deletes partitions whole."""
    policy = node.info.get("maxmemory_policy", node.config.get("maxmemory-policy", "noeviction"))
    if policy == "noeviction":
        return
    every_key = policy.startswith("allkeys")
    limited = node.number("maxmemory") > 0
    yield Finding(
        "eviction-policy",
        Severity.ERROR if every_key and limited else Severity.WARNING,
        node.address,
        f"maxmemory-policy is {policy}",
        "When memory runs out, Redis deletes whole partitions and groups, and nobody is told."
        if every_key
        else "Only keys with a time to live are evicted, which the log is not; but a full server "
        "then evicts what others keep there before it refuses appends.",
        "CONFIG SET maxmemory-policy noeviction",
    )


def memory(node: NodeFacts) -> Iterator[Finding]:
    """Memory is the disk here."""
    if node.info_refusal and not node.config:
        return
    limit, used = node.number("maxmemory"), node.number("used_memory")
    if limit == 0:
        yield Finding(
            "maxmemory",
            Severity.WARNING,
            node.address,
            "maxmemory is not set",
            "A log that outgrows the machine gets the server killed, instead of appends refused "
            "with an error that producers retry.",
            "CONFIG SET maxmemory <bytes>, with room left for copy-on-write",
        )
    elif used > 0.75 * limit:
        yield Finding(
            "memory-used",
            Severity.ERROR if used > 0.9 * limit else Severity.WARNING,
            node.address,
            f"{used // _MIB} MiB of {limit // _MIB} MiB are used ({used * 100 // limit} %)",
            "At 100 % appends are refused until retention frees memory.",
            "Lower retention.bytes or retention.ms (partstream topics alter), or raise maxmemory",
        )
    if node.config.get("maxmemory-clients") == "0":
        yield Finding(
            "maxmemory-clients",
            Severity.WARNING,
            node.address,
            "maxmemory-clients is not set",
            "Clients that ask for much and read slowly fill the server's memory with their "
            "answers, until appends are refused.",
            "CONFIG SET maxmemory-clients 5%",
        )


def persistence(node: NodeFacts) -> Iterator[Finding]:
    """What is left after a restart or a crash."""
    if not node.info_refusal:
        yield from _file_errors(node)
    appends = node.info.get("aof_enabled") == "1" or node.config.get("appendonly") == "yes"
    if not appends and not (node.info_refusal and not node.config):
        yield from _no_append_file(node)
    fsync = node.config.get("appendfsync", "")
    if appends and fsync == "no":
        yield Finding(
            "appendfsync",
            Severity.WARNING,
            node.address,
            "appendfsync is no",
            "When the machine crashes, about half a minute of acknowledged records is lost.",
            "CONFIG SET appendfsync everysec",
        )
    if appends and fsync == "everysec":
        yield Finding(
            "appendfsync",
            Severity.INFO,
            node.address,
            "appendfsync is everysec",
            "When the machine crashes, up to two seconds of acknowledged records are lost.",
            "CONFIG SET appendfsync always, or flush.messages=1 on the topics that need it",
        )


def _no_append_file(node: NodeFacts) -> Iterator[Finding]:
    saves = bool(node.config.get("save", "unknown" if node.config_refusal else ""))
    yield Finding(
        "persistence",
        Severity.WARNING if saves else Severity.ERROR,
        node.address,
        "appendonly is no" if saves else "appendonly is no, and there are no snapshots",
        (
            "A restart takes the log back to the last snapshot, and groups with it."
            if saves
            else "A restart loses everything; with replicas, they lose it too."
        )
        + " WAITAOF is not available: topics with flush.messages=1 are refused.",
        "CONFIG SET appendonly yes (and in the config file, or CONFIG REWRITE)",
    )


def _file_errors(node: NodeFacts) -> Iterator[Finding]:
    for name, what in (
        ("aof_last_write_status", "the last write to the append-only file"),
        ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
        ("rdb_last_bgsave_status", "the last snapshot"),
    ):
        if node.info.get(name, "ok") != "ok":
            yield Finding(
                "persistence-failing",
                Severity.ERROR,
                node.address,
                f"{what} failed",
                "What is in memory is not on disk, and Redis may refuse writes (MISCONF).",
                "Free space on the disk, or make its folder writable; the server's log says why",
            )


def replication(node: NodeFacts) -> Iterator[Finding]:
    """Who has a copy."""
    if node.info_refusal:
        return
    replicas = node.replicas
    if not replicas:
        yield Finding(
            "replicas",
            Severity.WARNING,
            node.address,
            "no replica is connected",
            "If this server or its disk is lost, so is everything on it.",
            "On another machine: REPLICAOF <host> <port>",
        )
        return
    for replica in replicas:
        name = f"{replica.get('ip', '?')}:{replica.get('port', '?')}"
        lag = int(replica.get("lag", "0"))
        state = replica.get("state", "?")
        if state != "online" or lag > _MOST_LAG_S:
            yield Finding(
                "replica-behind",
                Severity.WARNING,
                node.address,
                f"replica {name} is {state}, and was last heard of {lag} s ago",
                "It does not count for acks=all, and would lose much if it were promoted.",
                "Look at its log; repl-backlog-size decides whether it must copy everything again",
            )


def versions(node: NodeFacts) -> Iterator[Finding]:
    """What this version cannot do."""
    least = _WAITAOF_SINCE.get(node.product)
    if least and node.version and node.version < least:
        yield Finding(
            "waitaof",
            Severity.INFO,
            node.address,
            f"{node.product} {'.'.join(map(str, node.version))} has no WAITAOF",
            "A topic with flush.messages=1 cannot be served.",
            "Redis 7.2 or later, or Valkey",
        )


RULES: tuple[Rule, ...] = (
    refusals,
    permissions,
    eviction,
    memory,
    persistence,
    replication,
    versions,
)

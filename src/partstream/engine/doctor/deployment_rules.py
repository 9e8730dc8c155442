"""What of several servers together loses data or stalls: slots, replicas, clocks, versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from partstream.config.common import CommonConfig
from partstream.engine.doctor.facts import Facts
from partstream.engine.doctor.topic_rules import Rule
from partstream.model import Finding, Severity

_MOST_APART_MS = 5_000
_REQUEST_MS: int = CommonConfig.model_fields["request_timeout_ms"].default
_LEAST_NODE_TIMEOUT_MS = 2_000


def slots(facts: Facts) -> Iterator[Finding]:
    """Slots without a node, and those that stand between two."""
    if facts.uncovered_slots:
        yield Finding(
            "slots-uncovered",
            Severity.ERROR,
            "cluster",
            f"no node holds {facts.uncovered_slots} of the 16384 slots",
            "Partitions and groups in these slots cannot be used.",
            f"redis-cli --cluster fix {_any(facts)}",
        )
    moving = facts.cluster.half_moved
    if moving:
        yield Finding(
            "slots-half-moved",
            Severity.WARNING,
            "cluster",
            f"{len(moving)} slots are on their way from one node to another, "
            f"slot {moving[0]} among them",
            "If nobody moves them any more: partitions and groups in them work, but slowly, and "
            "members of groups hear of changes late.",
            f"redis-cli --cluster fix {_any(facts)}, unless a reshard is under way",
        )


def failed_nodes(facts: Facts) -> Iterator[Finding]:
    """Nodes that the cluster has given up."""
    for address in facts.cluster.failed:
        yield Finding(
            "node-failed",
            Severity.WARNING,
            address,
            "the cluster counts this node as failed",
            "Until it is back there is a copy less of what it held; if the node that took over "
            "fails too, it is lost.",
            "Start it again, or have the others forget it: CLUSTER FORGET <node id> on each",
        )


def spread(facts: Facts) -> Iterator[Finding]:
    """Partitions lie where slots do: uneven slots are uneven work and uneven memory."""
    held = Counter({node.address: 0 for node in facts.nodes})
    held.update(dict.fromkeys(facts.cluster.without_slots, 0))
    held.update(p.node for topic in facts.topics for p in topic.partitions if p.node in held)
    if not facts.is_cluster or len(held) < 2:
        return
    (most, most_count), (least, least_count) = held.most_common()[0], held.most_common()[-1]
    mean = sum(held.values()) / len(held)
    # Equal ranges of slots hold the same number give or take one or two a topic.
    if most_count - least_count > max(3, 0.75 * mean):
        yield Finding(
            "slots-uneven",
            Severity.WARNING,
            most,
            f"it holds {most_count} partitions, {least} holds {least_count}",
            "The work and the memory of the topics are on few nodes; the others idle.",
            f"redis-cli --cluster rebalance {_any(facts)} --cluster-use-empty-masters, after the "
            "findings on partition sizes were looked at",
        )


def same_host(facts: Facts) -> Iterator[Finding]:
    """A replica beside its primary goes down with it."""
    for replica in facts.replicas:
        host = replica.address.rpartition(":")[0]
        if host and host == replica.primary.rpartition(":")[0]:
            yield Finding(
                "replica-same-host",
                Severity.WARNING,
                replica.primary,
                f"its replica {replica.address} is on the same host",
                "If the machine is lost, so are both copies of what it holds.",
                "On a node elsewhere: CLUSTER REPLICATE <id of the primary>"
                if facts.is_cluster
                else "On another machine: REPLICAOF <host> <port>",
            )


def unreachable(facts: Facts) -> Iterator[Finding]:
    """Clients are sent to a replica once it is the primary."""
    for replica in facts.replicas:
        if replica.refusal and (facts.is_cluster or facts.by_sentinels):
            yield Finding(
                "replica-unreachable",
                Severity.WARNING,
                replica.address,
                f"this machine cannot use the replica of {replica.primary}: {replica.refusal}",
                "After a failover clients are sent there.",
                "Let it announce an address that clients reach, as its primary does "
                "(cluster-announce-ip, replica-announce-ip), with the same users and certificates",
            )


def versions(facts: Facts) -> Iterator[Finding]:
    """One version everywhere, but while an upgrade is under way."""
    found: dict[str, list[str]] = {}
    servers = [(node.product, node.version, node.address) for node in facts.nodes]
    servers += [(one.product, one.version, one.address) for one in facts.replicas]
    for product, version, address in servers:
        if version:
            name = f"{product} {'.'.join(map(str, version))}"
            found.setdefault(name, []).append(address)
    if len(found) > 1:
        yield Finding(
            "versions-differ",
            Severity.WARNING,
            "deployment",
            "; ".join(f"{name}: {', '.join(where)}" for name, where in sorted(found.items())),
            "An older replica may not understand what a newer primary sends it, nor take over from "
            "it; and what a server can do changes with each failover.",
            "Finish the upgrade: replicas first, then CLUSTER FAILOVER, then the old primaries",
        )


def clocks(facts: Facts) -> Iterator[Finding]:
    """Whoever takes over goes on with its own clock."""
    ahead = {node.address: node.clock_ahead_ms for node in facts.nodes}
    ahead.update(
        (replica.address, replica.clock_ahead_ms)
        for replica in facts.replicas
        if replica.clock_ahead_ms is not None
    )
    if not ahead:
        return
    first, last = max(ahead, key=ahead.__getitem__), min(ahead, key=ahead.__getitem__)
    apart = ahead[first] - ahead[last]
    if apart > _MOST_APART_MS:
        yield Finding(
            "clocks-differ",
            Severity.WARNING,
            f"{first}, {last}",
            f"the clocks of the servers are {apart / 1000:.0f} s apart",
            "Sessions of groups, the age of records and LogAppendTime go by the server's clock: a "
            "failover from one to the other moves them by that much.",
            "Let NTP set the clocks of all servers",
        )


def node_timeout(facts: Facts) -> Iterator[Finding]:
    """A failover has to come before clients give up, and not at every hiccup."""
    for node in facts.nodes if facts.is_cluster else ():
        timeout = node.number("cluster_node_timeout")
        # A node is suspected after one timeout, and has failed when most have said so.
        if timeout and 2 * timeout > _REQUEST_MS:
            yield Finding(
                "node-timeout",
                Severity.WARNING,
                node.address,
                f"cluster-node-timeout is {timeout} ms",
                "A failover takes up to twice that, and requests of clients are given up after "
                f"request_timeout_ms ({_REQUEST_MS} by default).",
                f"CONFIG SET cluster-node-timeout {_REQUEST_MS // 4}, or a larger "
                "request_timeout_ms in the clients",
            )
        elif 0 < timeout < _LEAST_NODE_TIMEOUT_MS:
            yield Finding(
                "node-timeout",
                Severity.INFO,
                node.address,
                f"cluster-node-timeout is {timeout} ms",
                "A primary that is busy for that long, with a fork or a large key, is replaced; "
                "each time all that was not confirmed by a replica is lost.",
                "CONFIG SET cluster-node-timeout 5000",
            )


def cut_off(facts: Facts) -> Iterator[Finding]:
    """A primary that is cut off from its replicas is to stop taking writes."""
    for node in facts.nodes:
        if node.config.get("min-replicas-to-write") == "0" and node.replicas:
            yield Finding(
                "min-replicas-to-write",
                Severity.WARNING,
                node.address,
                "min-replicas-to-write is 0",
                "Sentinels are slow to tell an old primary that it was replaced: one that wakes or "
                "restarts takes records, commits and members of groups for ten seconds or so, and "
                "then throws them away."
                if facts.by_sentinels
                else "A primary that is cut off from its replicas goes on taking records, which "
                "are lost when another has been promoted meanwhile.",
                "CONFIG SET min-replicas-to-write 1, and min-replicas-max-lag 10, on every server",
            )


def _any(facts: Facts) -> str:
    return facts.nodes[0].address if facts.nodes else "<host>:<port>"


RULES: tuple[Rule, ...] = (
    slots,
    failed_nodes,
    spread,
    same_host,
    unreachable,
    versions,
    clocks,
    node_timeout,
    cut_off,
)

"""The Redis deployment: which servers there are, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from partstream.engine.doctor.facts import parse_info, replica_rows
from partstream.engine.topics import Topics
from partstream.model import (
    ClusterDescription,
    NodeDescription,
    ReplicaDescription,
    TopicPartition,
)
from partstream.store.admission import LAYOUT
from partstream.store.slots import SLOTS
from partstream.store.store import Store
from partstream.store.target import Kind


async def describe_cluster(store: Store, topics: Topics) -> ClusterDescription:
    """The primaries, what they hold, their replicas and their versions (DescribeCluster).

    What a server does not tell (INFO refused) is None.

    Raises:
        StoreUnavailable: a primary does not answer.
    """
    router = store.router
    await router.refresh()  # a client that idles does not hear of what has moved
    slots: dict[str, int] = {}
    known: dict[str, tuple[str, ...]] = {}
    for slot in range(SLOTS):
        address, behind = router.placement(slot)
        slots[str(address)] = slots.get(str(address), 0) + 1
        known[str(address)] = tuple(map(str, behind))
    partitions: dict[str, list[TopicPartition]] = {}
    for topic in (await topics.all()).values():
        for partition in topic.partitions:
            holder = str(router.placement(partition.slot).address)
            partitions.setdefault(holder, []).append(partition.name)
    nodes = []
    for node in router.primaries:
        address_text = str(node.address)
        await node.link()
        greeting = node.greeting
        nodes.append(
            NodeDescription(
                address=address_text,
                product=greeting.server if greeting else "",
                version=greeting.version if greeting else "",
                slots=slots[address_text],
                replicas=tuple(map(_unknown, known[address_text])),
                partitions=tuple(sorted(partitions.get(address_text, ()))),
            )
        )
    infos = await store.each_primary("INFO")
    kind = "cluster" if router.is_cluster else "standalone"
    return ClusterDescription(
        kind="sentinel" if store.target.kind is Kind.SENTINEL else kind,
        namespace=store.namespace,
        layout=LAYOUT,
        nodes=tuple(_with_info(node, infos.get(node.address)) for node in nodes),
    )


def _unknown(address: str) -> ReplicaDescription:
    return ReplicaDescription(address, "?")


def _with_info(node: NodeDescription, answer: object) -> NodeDescription:
    """The node and what INFO adds, if it was answered."""
    info = parse_info(answer) if isinstance(answer, bytes) else {}
    if "master_repl_offset" not in info:
        return node
    return replace(
        node,
        replicas=_replicas(info, [replica.address for replica in node.replicas]),
        used_memory=_number(info, "used_memory"),
        maxmemory=_number(info, "maxmemory"),
    )


def _replicas(info: Mapping[str, str], known: list[str]) -> tuple[ReplicaDescription, ...]:
    """Those that are connected, and those that the cluster knows of and that are not."""
    written = int(info["master_repl_offset"])
    found = []
    for row in replica_rows(info):
        offset = _number(row, "offset")
        found.append(
            ReplicaDescription(
                address=f"{row.get('ip', '?')}:{row.get('port', '?')}",
                state=row.get("state", "?"),
                lag_s=_number(row, "lag"),
                lag_bytes=None if offset is None else max(0, written - offset),
            )
        )
    connected = {replica.address for replica in found}
    # Not by name alone: replicas may announce themselves to their primary by another address.
    missing = len(known) - len(found)
    away = [address for address in known if address not in connected][: max(0, missing)]
    return (*found, *(ReplicaDescription(address, "away") for address in away))


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    return int(text) if text.isdigit() else None

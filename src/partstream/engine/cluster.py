"""The Redis deployment: which servers there are, and what they say of themselves."""

from __future__ import annotations

from partstream.model import ClusterDescription, NodeDescription
from partstream.store.slots import SLOTS
from partstream.store.store import LAYOUT, Store
from partstream.store.target import Kind


async def describe_cluster(store: Store) -> ClusterDescription:
    """The primaries, their replicas and their versions (DescribeCluster).

    Raises:
        StoreUnavailable: a primary does not answer.
    """
    router = store.router
    held: dict[str, int] = {}
    replicas: dict[str, tuple[str, ...]] = {}
    for slot in range(SLOTS):
        address, behind = router.placement(slot)
        held[str(address)] = held.get(str(address), 0) + 1
        replicas[str(address)] = tuple(map(str, behind))
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
                slots=held[address_text],
                replicas=replicas[address_text],
            )
        )
    kind = "cluster" if router.is_cluster else "standalone"
    return ClusterDescription(
        kind="sentinel" if store.target.kind is Kind.SENTINEL else kind,
        namespace=store.namespace,
        layout=LAYOUT,
        nodes=tuple(nodes),
    )

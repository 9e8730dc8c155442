"""Members of a consumer group that speak the classic protocol (KIP-848, online migration).

To the group they are members like all others: a row, a subscription, a target. They take a step
when they join, are told to join again by their heartbeats, and hear of what they own when they
sync. What they support is kept, for when the group is a classic one again.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable

from partstream.groups.classic import Protocols
from partstream.groups.classic_protocol import CONSUMER
from partstream.groups.consumer import Catalog, reconcile
from partstream.groups.rows import MemberRow, Partitions, TopicIdPartition
from partstream.model import TopicPartition


def encode_supported(protocols: Protocols) -> str:
    """What a member supports, as the hash of the group holds it."""
    return json.dumps([[name, b64encode(metadata).decode()] for name, metadata in protocols])


def decode_supported(text: str) -> Protocols:
    """The protocols that `encode_supported` wrote."""
    return tuple((name, b64decode(metadata)) for name, metadata in json.loads(text))


def supports(protocol_type: str, names: Collection[str], others: Iterable[Protocols]) -> bool:
    """Whether a member with these protocols could be in one classic group with the others."""
    common = set(names).intersection(*({name for name, _ in other} for other in others))
    return protocol_type == CONSUMER and bool(common)


def has_to_join(
    row: MemberRow,
    epoch: int,
    target: Partitions,
    target_epoch: int,
    busy: Collection[TopicIdPartition],
) -> bool:
    """Whether a member is to join again: to let go of something, or to get something.

    Args:
        epoch: Of the group; a member that is behind it joins, even if nothing will change for it.
        busy: Those of `target` that other members own.
    """
    if row.epoch < epoch or row.revoking:
        return True
    return reconcile(row, target, target_epoch, busy, None) is not None


def by_id(partitions: Iterable[TopicPartition], catalog: Catalog) -> Partitions:
    """Partitions by the ids of their topics; those of deleted topics are left out."""
    known = catalog.topics
    return frozenset((known[topic][0], number) for topic, number in partitions if topic in known)


def by_name(partitions: Iterable[TopicIdPartition], catalog: Catalog) -> list[TopicPartition]:
    """Partitions by the names of their topics; those of deleted topics are left out."""
    names = {topic_id: name for name, (topic_id, _) in catalog.topics.items()}
    return [TopicPartition(names[topic], n) for topic, n in partitions if topic in names]

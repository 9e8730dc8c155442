"""Producer ids, given out once, ever; and what partitions remember of producers."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from partstream.engine.partition import Partition
from partstream.errors import UnknownTopicId
from partstream.store.scripts import Script
from partstream.store.store import Store

_NEXT = Script("store/next")


async def new_producer_id(store: Store) -> int:
    """A producer id that nobody had before (InitProducerId, without a transactional id).

    It is answered after the replicas have it, so that a failover does not give it out again.
    An id whose answer is lost is never used.
    """
    key = store.keys.meta.producer_id
    producer_id, written = await store.run(_NEXT, [key], idempotent=True)
    await store.confirm(key, written)
    return int(producer_id)


class ActiveProducer(NamedTuple):
    """An idempotent producer that a partition remembers."""

    id: int
    epoch: int
    last_sequence: int
    last_used_ms: int
    """When its last batch was appended, milliseconds since 1970."""


_USED = Struct(">hq")
_LAST = Struct(">ii")


async def active_producers(store: Store, partition: Partition) -> list[ActiveProducer]:
    """The producers of a partition, by their ids (DescribeProducers).

    Raises:
        UnknownTopicId: the partition is not there any more.
    """
    key = partition.keys.producers
    rows = await store.execute("HGETALL", key, key=key)
    if not rows:
        raise UnknownTopicId(f"there is no {partition.topic}-{partition.index} of this id")
    found = []
    for field, row in zip(rows[::2], rows[1::2], strict=True):
        if field.isdigit() and len(row) >= _USED.size + _LAST.size:
            epoch, used = _USED.unpack_from(row)
            _, last = _LAST.unpack_from(row, _USED.size)
            found.append(ActiveProducer(int(field), epoch, last, used))
    return sorted(found)

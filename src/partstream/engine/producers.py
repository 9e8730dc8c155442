"""Producer ids: given out once, ever."""

from __future__ import annotations

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

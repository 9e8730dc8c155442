"""What is looked at once when a store connects: whose layout it is, and what the server tells."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from partstream.errors import NewerLayout, PartstreamError, StoreUnavailable
from partstream.store.keys import Keys

_logger = logging.getLogger(__name__)

LAYOUT = 1
"""The version of the keys' layout; a namespace with a newer one is refused."""


class Asked(Protocol):
    """What is needed of the store."""

    namespace: str
    keys: Keys

    async def execute(self, *command: Any, key: str) -> Any:
        """Run one command on the node of `key`."""


async def check_layout(store: Asked) -> None:
    """Refuse a namespace that a newer version has made, and mark a new one as ours.

    Raises:
        NewerLayout: as it says.
    """
    key = store.keys.meta.layout
    found = await store.execute("GET", key, key=key)
    if found is None:
        await store.execute("SET", key, LAYOUT, "NX", key=key)
    elif not found.isdigit() or int(found) > LAYOUT:
        raise NewerLayout(
            f"namespace {store.namespace!r} has layout {found.decode(errors='replace')}, "
            f"this partstream knows {LAYOUT}: upgrade it, or use another namespace"
        )


async def check_info(store: Asked, *, is_cluster: bool) -> None:
    """Say once what goes unnoticed where INFO is refused, or filtered by a managed service."""
    key = store.keys.meta.layout
    try:
        if b"master_replid:" in await store.execute("INFO", "replication", key=key):
            return
        why = "its answer leaves out the replication"
    except StoreUnavailable:
        return  # not refused: whoever needs it next meets the same
    except PartstreamError as error:
        why = str(error)
    _logger.warning(
        "info-refused: Redis does not tell its replication (%s). Records that a failover or a "
        "restart takes back go unnoticed, and acks=all waits for %s. "
        "`partstream doctor` says more.",
        why,
        "those replicas that the cluster names" if is_cluster else "no replica",
    )

"""A process that cleans partition 0 of a topic over and over, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from partstream.engine.compaction import cleaner, cleaning
from partstream.engine.topics import Topics
from partstream.store.store import Store

LEASE_MS = 400


async def main(url: str, namespace: str) -> None:
    cleaning._LEASE_MS = LEASE_MS
    store = await Store.connect(url, namespace=namespace)
    topic = await Topics(store).get("t")
    print("ready", flush=True)
    while True:
        await cleaner.upkeep(store, topic, topic.partitions[0], force=True)
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""What log compaction costs, and what it leaves: `python -m bench compaction [RECORDS...]`.

Updates of 10,000 keys with values of 100 bytes, in batches of 500, uncompressed, on a server in
memory. The cleaner runs in the process of a producer that sends one record after the other, whose
latency is measured with and without it.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from partstream.client.producer import Producer
from partstream.embedded.server import EmbeddedServer
from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.log import Log
from partstream.engine.partition import Partition
from partstream.engine.topics import Topics
from partstream.records.codec import encode
from partstream.store.store import Store

KEYS = 10_000
BATCH = 500
VALUE = b"x" * 100
AT_ONCE = 32
SLOW_US = 1_000
CONFIG = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": 1}
"""Nobody else finds it due."""


def batch(rng: random.Random, at: int) -> bytes:
    """Updates of random keys."""
    return encode([(at, b"key-%06d" % rng.randrange(KEYS), VALUE, ()) for _ in range(BATCH)])


async def fill(log: Log, partition: Partition, records: int, at: int) -> None:
    """Write a history, and end its last segment."""
    rng = random.Random(1)
    for _ in range(records // BATCH // AT_ONCE + 1):
        await asyncio.gather(*(log.append(partition, batch(rng, at)) for _ in range(AT_ONCE)))


async def memory(store: Store, partition: Partition) -> int:
    """Bytes of the partition's streams."""
    keys = partition.keys
    used = [
        await store.execute("MEMORY", "USAGE", key, "SAMPLES", 0, key=key)
        for key in (keys.log, *keys.clean)
    ]
    return sum(filter(None, used))


async def last_values_alone(store: Store, log: Log, topics: Topics, at: int) -> int:
    """Memory of a partition that holds nothing but one record of each key."""
    partition = (await topics.create("alone", 1, CONFIG)).partitions[0]
    for first in range(0, KEYS, BATCH):
        numbers = range(first, first + BATCH)
        rows = [(at, b"key-%06d" % number, VALUE, ()) for number in numbers]
        await log.append(partition, encode(rows))
    return await memory(store, partition)


@asynccontextmanager
async def latencies(url: str) -> AsyncIterator[list[float]]:
    """Sends one record after the other, and notes how long each takes, in seconds."""
    taken: list[float] = []

    async def send() -> None:
        while True:
            began = time.perf_counter()
            await (await producer.send("other", VALUE))
            taken.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)

    async with Producer(url, linger_ms=0) as producer:
        await (await producer.send("other", VALUE))
        task = asyncio.create_task(send())
        try:
            yield taken
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def p99(taken: list[float]) -> float:
    """In milliseconds."""
    return sorted(taken)[len(taken) * 99 // 100] * 1_000


async def run(records: int) -> None:
    with EmbeddedServer() as server:
        store = await Store.connect(server.url)
        topics, log = Topics(store), Log(store)
        try:
            at = await topics.now_ms()
            alone = await last_values_alone(store, log, topics, at)
            topic = await topics.create("t", 1, CONFIG)
            partition = topic.partitions[0]
            await fill(log, partition, records, at)
            before = await memory(store, partition)
            await store.execute("CONFIG", "SET", "slowlog-log-slower-than", SLOW_US, key="x")
            await store.execute("SLOWLOG", "RESET", key="x")
            async with latencies(server.url) as quiet:
                await asyncio.sleep(2)
            async with latencies(server.url) as busy:
                began = time.perf_counter()
                done = await upkeep(store, topic, partition, force=True)
                took = time.perf_counter() - began
            assert done is not None
            slow = await store.execute("SLOWLOG", "GET", 100, key="x")
            longest = max((entry[2] for entry in slow), default=0) / 1_000
            after = await memory(store, partition)
            active = (await log.bounds(partition)).size - done.bytes_after
            print(
                f"{done.records_read:>10,} records  {done.records_read / took:>9,.0f}/s  "
                f"{done.records_kept:>7,} kept  memory {before / 1e6:.1f} -> {after / 1e6:.1f} MB "
                f"({(after - active) / alone:.2f} x the last values alone, without the segment "
                f"being written)  p99 {p99(quiet):.1f} -> {p99(busy):.1f} ms  "
                f"longest command {longest:.1f} ms",
                flush=True,
            )
        finally:
            topics.close()
            await store.close()


def main() -> None:
    for records in [int(word) for word in sys.argv[1:]] or [100_000, 1_000_000]:
        asyncio.run(run(records))


if __name__ == "__main__":
    main()

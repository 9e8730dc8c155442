"""What log compaction costs, what it leaves, and what a producer beside it notices.

    python -m bench.compaction [RECORDS...] [--beside 2000000] [--rounds 1] [--json FILE]

Updates of random keys with values of 100 bytes, in batches of 500, uncompressed, on a server in
memory: of 10,000 keys, and of a tenth as many keys as there are records. A history is cleaned with
nothing else going on, and another one beside a producer, in the cleaner's process or in one of its
own, that sends one record after the other. Its latency is measured with and without the cleaner.

What is promised stands in a second table: for which histories, what was measured, and whether it
is kept. With ten times as many records and keys, the keys leave the processor's caches: the cost of
a record is promised to stay the same for 10,000 keys, and is shown for the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from partstream.aio import Producer
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
SLOW_US = 500
QUIET_S = 3.0
PAUSE_S = 0.001
CONFIG = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": 1, "retention.bytes": -1}
"""Nobody else finds it due."""
NOBODY, SAME, OWN = "nobody", "a producer in the same process", "a producer in its own process"

LEAST_RATE = 500_000
"""Records a second, beside a producer."""
MOST_GROWTH_MS = 5.0
"""Of that producer's p99."""
MOST_HELD_MS = 5.0
MOST_MEMORY = 1.3
"""As a multiple of one record a key alone."""
MOST_GROWN = 1.5
"""The cost of a record in the longest history, as a multiple of that in the shortest: what counts
as flat."""


@dataclass(frozen=True, slots=True)
class Result:
    """One cleaning."""

    beside: str
    records: int
    keys: int
    seconds: float
    kept: int
    before_mb: float
    after_mb: float
    times_least: float
    """Memory of the cleaned part, as a multiple of what one record a key alone takes."""
    longest_ms: float
    """The command that held Redis for longest, as the server's slow log has it."""
    longest: str
    p99_without_ms: float | None = None
    p99_with_ms: float | None = None

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def grows_ms(self) -> float | None:
        """By how much the p99 of the producer beside grows."""
        if self.p99_with_ms is None or self.p99_without_ms is None:
            return None
        return self.p99_with_ms - self.p99_without_ms

    @property
    def history(self) -> str:
        """What was cleaned."""
        return f"{self.records:,} records of {self.keys:,} keys, {self.beside} beside"


class Promise(NamedTuple):
    """Something that is promised, and what was found."""

    what: str
    history: str
    found: str
    kept: bool


class Sent(NamedTuple):
    """One record of the producer beside."""

    at: float
    """When it was sent, in seconds of the machine's monotonic clock."""
    took: float


def batch(rng: random.Random, keys: int, at: int) -> bytes:
    """Updates of random keys."""
    return encode([(at, b"key-%07d" % rng.randrange(keys), VALUE, ()) for _ in range(BATCH)])


async def fill(log: Log, partition: Partition, records: int, keys: int, at: int) -> None:
    """Write a history, and end its last segment."""
    rng = random.Random(1)
    for _ in range(records // BATCH // AT_ONCE + 1):
        await asyncio.gather(*(log.append(partition, batch(rng, keys, at)) for _ in range(AT_ONCE)))


async def memory(store: Store, partition: Partition) -> int:
    """Bytes of the partition's streams."""
    keys = partition.keys
    used = [
        await store.execute("MEMORY", "USAGE", key, "SAMPLES", 0, key=key)
        for key in (keys.log, *keys.clean)
    ]
    return sum(filter(None, used))


async def least(store: Store, log: Log, topics: Topics, keys: int, at: int) -> int:
    """Memory of a partition that holds nothing but one record of each key."""
    partition = (await topics.create("alone", 1, CONFIG)).partitions[0]
    for first in range(0, keys, BATCH):
        rows = [(at, b"key-%07d" % key, VALUE, ()) for key in range(first, first + BATCH)]
        await log.append(partition, encode(rows))
    return await memory(store, partition)


async def longest_command(store: Store) -> tuple[float, str]:
    """Milliseconds and name."""
    slow = await store.execute("SLOWLOG", "GET", 128, key="x")
    if not slow:
        return SLOW_US / 1_000, "none was longer"
    worst = max(slow, key=lambda entry: entry[2])
    return worst[2] / 1_000, worst[3][0].decode().lower()


# The producer beside.


async def send_on(url: str, stopped: Callable[[], bool]) -> list[Sent]:
    """Send one record after the other, and note how long each takes."""
    sent: list[Sent] = []
    async with Producer(url, linger_ms=0) as producer:
        await (await producer.send("other", VALUE))
        while not stopped():
            began = time.monotonic()
            await (await producer.send("other", VALUE))
            sent.append(Sent(began, time.monotonic() - began))
            await asyncio.sleep(PAUSE_S)
    return sent


def _send_in_own_process(url: str, pipe: Connection) -> None:
    pipe.send([])
    pipe.send(asyncio.run(send_on(url, pipe.poll)))


@asynccontextmanager
async def a_producer(beside: str, url: str) -> AsyncIterator[list[Sent]]:
    """One that sends all the time; the list is filled at the end."""
    sent: list[Sent] = []
    if beside == SAME:
        stop = asyncio.Event()
        task = asyncio.create_task(send_on(url, stop.is_set))
        yield sent
        stop.set()
        sent += await task
    elif beside == OWN:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_send_in_own_process, args=(url, theirs))
        process.start()
        await asyncio.to_thread(ours.recv)
        yield sent
        ours.send("stop")
        sent += await asyncio.to_thread(ours.recv)
        await asyncio.to_thread(process.join)
    else:
        yield sent


def p99_ms(sent: list[Sent], begin: float, end: float) -> float | None:
    """Of the records that were sent between two times."""
    took = sorted(one.took for one in sent if begin <= one.at < end)
    return took[len(took) * 99 // 100] * 1_000 if took else None


async def clean(url: str, records: int, keys: int, beside: str) -> Result:
    """Write a history, clean it, and tell."""
    store = await Store.connect(url)
    topics, log = Topics(store), Log(store)
    try:
        at = await topics.now_ms()
        alone = await least(store, log, topics, keys, at)
        topic = await topics.create("t", 1, CONFIG)
        partition = topic.partitions[0]
        await fill(log, partition, records, keys, at)
        before = await memory(store, partition)
        async with a_producer(beside, url) as sent:
            quiet = time.monotonic()
            await asyncio.sleep(0 if beside == NOBODY else QUIET_S)
            await store.execute("CONFIG", "SET", "slowlog-log-slower-than", SLOW_US, key="x")
            await store.execute("SLOWLOG", "RESET", key="x")
            began = time.monotonic()
            done = await upkeep(store, topic, partition, force=True)
            ended = time.monotonic()
            longest_ms, longest = await longest_command(store)
        if done is None:
            raise RuntimeError("nothing was cleaned: somebody else was at it")
        after = await memory(store, partition)
        active = (await log.bounds(partition)).size - done.bytes_after
        return Result(
            beside=beside,
            records=done.records_read,
            keys=keys,
            seconds=ended - began,
            kept=done.records_kept,
            before_mb=before / 1e6,
            after_mb=after / 1e6,
            times_least=(after - active) / alone,
            longest_ms=longest_ms,
            longest=longest,
            p99_without_ms=p99_ms(sent, quiet, began),
            p99_with_ms=p99_ms(sent, began, ended),
        )
    finally:
        topics.close()
        await store.close()


def run(records: int, keys: int, beside: str, rounds: int) -> Result:
    """The quickest of some rounds, each on a new server."""
    found = []
    for _ in range(rounds):
        with EmbeddedServer() as server:
            found.append(asyncio.run(clean(server.url, records, keys, beside)))
    return max(found, key=lambda result: result.rate)


def as_table(results: list[Result]) -> Table:
    """One row a cleaning."""
    table = Table(
        "beside", "records", "keys", "records/s", "a record", "memory", "p99", "Redis held"
    )
    for one in results:
        p99 = "-"
        if one.grows_ms is not None:
            p99 = f"{one.p99_without_ms:.1f} -> {one.p99_with_ms:.1f} ms"
        table.add_row(
            one.beside,
            f"{one.records:,}",
            f"{one.keys:,}",
            f"{one.rate:,.0f}",
            f"{1e9 / one.rate:,.0f} ns",
            f"{one.before_mb:.1f} -> {one.after_mb:.1f} MB, {one.times_least:.2f} x",
            p99,
            f"{one.longest_ms:.1f} ms ({one.longest})",
        )
    return table


def promises(results: list[Result]) -> list[Promise]:
    """What is promised, of every history to which it applies."""
    found = list[Promise]()
    for one in results:
        if one.grows_ms is not None:
            found += (
                Promise(
                    f"{LEAST_RATE:,} records/s",
                    one.history,
                    f"{one.rate:,.0f}/s",
                    one.rate >= LEAST_RATE,
                ),
                Promise(
                    f"p99 grows by less than {MOST_GROWTH_MS:.0f} ms",
                    one.history,
                    f"{one.grows_ms:.1f} ms",
                    one.grows_ms < MOST_GROWTH_MS,
                ),
            )
        found += (
            Promise(
                f"memory within {MOST_MEMORY} x of the last records",
                one.history,
                f"{one.times_least:.2f} x",
                one.times_least <= MOST_MEMORY,
            ),
            Promise(
                f"Redis held for {MOST_HELD_MS:.0f} ms at most",
                one.history,
                f"{one.longest_ms:.1f} ms ({one.longest})",
                one.longest_ms <= MOST_HELD_MS,
            ),
        )
    return found + _growths([one for one in results if one.beside == NOBODY])


def _growths(alone: list[Result]) -> list[Promise]:
    """How the cost of a record grows with the history, among those of as many records a key: one
    that stays costs more than one that goes."""
    found = []
    for each in sorted({round(one.records / one.keys) for one in alone}):
        like = sorted(
            (one for one in alone if round(one.records / one.keys) == each),
            key=lambda one: one.records,
        )
        if len(like) > 1:
            grows = like[0].rate / like[-1].rate
            found.append(
                Promise(
                    f"cost of a record grows to {MOST_GROWN} x at most",
                    f"{like[0].records:,} to {like[-1].records:,} records, {each} a key",
                    f"{grows:.2f} x",
                    grows <= MOST_GROWN,
                )
            )
    return found


def as_promises(found: list[Promise]) -> Table:
    """One row a promise."""
    table = Table("promise", "history", "found", "kept")
    for one in found:
        table.add_row(one.what, one.history, one.found, "yes" if one.kept else "NO")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("records", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--beside", type=int, default=2 * 10**6, help="records; 0: leave it out")
    parser.add_argument("--rounds", type=int, default=1, help="the quickest counts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    jobs = [
        (records, keys, NOBODY)
        for records in options.records
        for keys in sorted({KEYS, max(BATCH, records // 10)})
    ]
    if options.beside:
        jobs += [
            (options.beside, keys, beside)
            for keys in sorted({KEYS, max(BATCH, options.beside // 10)})
            for beside in (SAME, OWN)
        ]
    results = [run(*job, options.rounds) for job in jobs]
    console = Console(width=150)
    console.print(as_table(results))
    console.print(
        "memory: of the streams, and what is cleaned as a multiple of one record a key alone; "
        "p99: of a producer's single records, without and with the cleaner; "
        "Redis held: the longest command"
    )
    console.print(as_promises(promises(results)))
    if options.json:
        rows = [{**asdict(one), "records_per_second": one.rate} for one in results]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Produce and consume beside redis-py's streams, in one run, each in a process of its own.

    python -m bench.throughput [--rounds 3] [--records 300000] [--json FILE]

The same machine runs Redis and the clients, so absolute figures say little: quote the ratios. Each
round runs every job once, on one server; a ratio is taken within a round, and the table shows the
medians.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

import partstream
from bench import rows
from bench.processes import in_own_process
from partstream import aio
from partstream.embedded.server import EmbeddedServer

PARTITIONS = 6
KEYS = [f"key-{number}".encode() for number in range(1_000)]
PIPELINE = 500
SIZES = (100, 1024)

Job = Callable[[str, str, int, int], float]
"""url, name of the topic or stream, size of values, number of records -> records a second."""


def redis_xadd(url: str, name: str, size: int, records: int) -> float:
    """redis-py: XADD of one record each, 500 in a pipeline, to six streams."""
    client = redis.Redis.from_url(url)
    value = b"x" * size
    keys = list(islice(cycle(KEYS), records))
    started = time.perf_counter()
    for first in range(0, records, PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for at, key in enumerate(keys[first : first + PIPELINE]):
            pipeline.xadd(f"{name}:{at % PARTITIONS}", {"k": key, "v": value})
        pipeline.execute()
    return records / (time.perf_counter() - started)


def redis_xreadgroup(url: str, name: str, _size: int, records: int) -> float:
    """redis-py: XREADGROUP of 500 entries, and XACK of them."""
    client = redis.Redis.from_url(url)
    streams = [f"{name}:{index}" for index in range(PARTITIONS)]
    for stream in streams:
        client.xgroup_create(stream, "bench", id="0")
    seen = 0
    started = time.perf_counter()
    while seen < records:
        for stream in streams:
            answer: Any = client.xreadgroup("bench", "me", {stream: ">"}, count=PIPELINE)
            for _, entries in answer:
                client.xack(stream, "bench", *(entry for entry, _ in entries))
                seen += len(entries)
    return records / (time.perf_counter() - started)


def produce(url: str, name: str, size: int, records: int) -> float:
    """partstream.Producer, acks=all, idempotent: send each record, then flush."""
    value = b"x" * size
    keys = list(islice(cycle(KEYS), records))
    with partstream.Producer(url, num_partitions=PARTITIONS) as producer:
        producer.send(name, b"warm", key=b"up").result()
        send = producer.send
        started = time.perf_counter()
        for key in keys:
            send(name, value, key=key)
        producer.flush()
        return records / (time.perf_counter() - started)


def consume(url: str, name: str, _size: int, records: int) -> float:
    """partstream.Consumer: `for record in consumer`, all partitions, with a group."""
    with partstream.Consumer(
        url, group_id=f"g-{name}", auto_offset_reset="earliest", client_id="bench"
    ) as consumer:
        consumer.subscribe([name])
        iterator = iter(consumer)
        next(iterator)
        started = time.perf_counter()
        for _ in islice(iterator, records - 1):
            pass
        return records / (time.perf_counter() - started)


def consume_lists(url: str, name: str, _size: int, records: int) -> float:
    """partstream.Consumer: poll() for lists of up to 500 records."""
    with partstream.Consumer(
        url, group_id=f"l-{name}", auto_offset_reset="earliest", client_id="bench"
    ) as consumer:
        consumer.subscribe([name])
        seen = len(consumer.poll(timeout=10))
        started = time.perf_counter()
        first = seen
        while seen < records:
            seen += len(consumer.poll(timeout=10))
        return (seen - first) / (time.perf_counter() - started)


def aio_produce(url: str, name: str, size: int, records: int) -> float:
    """partstream.aio.Producer: await each send, then flush."""

    async def run() -> float:
        value = b"x" * size
        keys = list(islice(cycle(KEYS), records))
        async with aio.Producer(url, num_partitions=PARTITIONS) as producer:
            await (await producer.send(name, b"warm", key=b"up"))
            started = time.perf_counter()
            for key in keys:
                await producer.send(name, value, key=key)
            await producer.flush()
            return records / (time.perf_counter() - started)

    return asyncio.run(run())


def aio_consume(url: str, name: str, _size: int, records: int) -> float:
    """partstream.aio.Consumer: `async for record in consumer`."""

    async def run() -> float:
        async with aio.Consumer(
            url, group_id=f"a-{name}", auto_offset_reset="earliest", client_id="bench"
        ) as consumer:
            await consumer.subscribe([name])
            await anext(consumer)
            seen = 1
            started = time.perf_counter()
            async for _ in consumer:
                seen += 1
                if seen == records:
                    break
            return records / (time.perf_counter() - started)

    return asyncio.run(run())


WRITERS: dict[str, Job] = {
    "redis-py XADD": redis_xadd,
    "produce": produce,
    "produce, asyncio": aio_produce,
}
READERS: dict[str, tuple[Job, str]] = {
    "redis-py XREADGROUP + XACK": (redis_xreadgroup, "redis-py XADD"),
    "consume, iterate": (consume, "produce"),
    "consume, poll lists": (consume_lists, "produce"),
    "consume, asyncio": (aio_consume, "produce, asyncio"),
}
"""A reader, and the writer whose records it reads."""


def one_round(url: str, size: int, records: int) -> dict[str, float]:
    """Every job once."""
    mark = uuid.uuid4().hex[:8]
    names = {writer: f"bench-{mark}-{at}" for at, writer in enumerate(WRITERS)}
    rates = {
        writer: in_own_process(job, url, names[writer], size, records)
        for writer, job in WRITERS.items()
    }
    rates |= {
        reader: in_own_process(job, url, names[writer], size, records)
        for reader, (job, writer) in READERS.items()
    }
    client = redis.Redis.from_url(url)
    client.flushall()
    return rates


def main() -> None:
    parser = rows.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=300_000)
    options = parser.parse_args()
    table = Table(title="records a second (medians), and beside redis-py in the same round")
    for column in ("job", "value", "rate", "ratio", "ratios of the rounds"):
        table.add_column(column, justify="left" if column == "job" else "right")
    results: list[rows.Row] = []
    with EmbeddedServer() as server:
        for size in SIZES:
            rounds = [one_round(server.url, size, options.records) for _ in range(options.rounds)]
            for job in (*WRITERS, *READERS):
                base = "redis-py XADD" if job in WRITERS else "redis-py XREADGROUP + XACK"
                ratios = [rates[job] / rates[base] for rates in rounds]
                rate = statistics.median(rates[job] for rates in rounds)
                results.append({"job": job, "value": size, "rate": rate, "ratios": ratios})
                table.add_row(
                    job,
                    f"{size} B",
                    f"{rate:,.0f}/s",
                    f"{statistics.median(ratios):.2f}",
                    " ".join(f"{ratio:.2f}" for ratio in ratios),
                )
        table.caption = f"{server.version()}, {PARTITIONS} partitions, {options.records:,} records"
    Console(width=100).print(table)
    rows.write(options.json, results)


if __name__ == "__main__":
    main()

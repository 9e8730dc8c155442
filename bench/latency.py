"""From send to receive: one producer, one consumer, one process, a fixed rate. Beside it, what
redis-py needs from `XADD` to a blocked `XREAD`: two round trips, of which no record stays behind.

python -m bench.latency [--rate 1000] [--seconds 5] [--json FILE]
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from bench import rows
from partstream import aio
from partstream.embedded.server import EmbeddedServer

PARTITIONS = 6


async def measure(url: str, rate: int, seconds: int, linger_ms: int) -> list[float]:
    """Milliseconds from `send` to the record in hand, one for each record."""
    async with (
        aio.Producer(url, linger_ms=linger_ms, num_partitions=PARTITIONS) as producer,
        aio.Consumer(url, group_id="latency", auto_offset_reset="latest") as consumer,
    ):
        topic = f"latency-{linger_ms}"
        await (await producer.send(topic, b"warm", key=b"up"))
        await consumer.subscribe([topic])
        while not consumer.assignment():
            await consumer.poll(timeout=0.1)
        await consumer.poll(timeout=0.5)
        total, latencies = rate * seconds, list[float]()

        async def receive() -> None:
            async for record in consumer:
                latencies.append(elapsed(record.value))
                if len(latencies) == total:
                    return

        async def send(number: int) -> None:
            await producer.send(topic, stamped(), key=b"key-%d" % (number % 1000))

        receiving = asyncio.create_task(receive())
        await at_rate(rate, total, send)
        async with asyncio.timeout(30):
            await receiving
        return latencies


async def measure_redis_py(url: str, rate: int, seconds: int) -> list[float]:
    """Milliseconds from `XADD` to the entry in hand, of one stream."""
    async with (
        redis.asyncio.Redis.from_url(url) as adding,
        redis.asyncio.Redis.from_url(url) as reading,
    ):
        total, latencies = rate * seconds, list[float]()

        async def receive() -> None:
            last = b"0"
            while len(latencies) < total:
                found: Any = await reading.xread({"plain": last}, block=5_000)
                for _, entries in found:
                    latencies.extend(elapsed(fields[b"value"]) for _, fields in entries)
                    last = entries[-1][0]

        async def send(_: int) -> None:
            await adding.xadd("plain", {"value": stamped()})

        receiving = asyncio.create_task(receive())
        await at_rate(rate, total, send)
        async with asyncio.timeout(30):
            await receiving
        return latencies


def stamped() -> bytes:
    """100 bytes that say when they were made."""
    return time.perf_counter_ns().to_bytes(8, "big") + b"x" * 92


def elapsed(value: bytes) -> float:
    """How many milliseconds ago a value was made."""
    return (time.perf_counter_ns() - int.from_bytes(value[:8], "big")) / 1e6


async def at_rate(rate: int, total: int, send: Callable[[int], Awaitable[None]]) -> None:
    """Send so many in a second."""
    started = time.perf_counter()
    for number in range(total):
        pause = started + number / rate - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        await send(number)


def main() -> None:
    parser = rows.parser(__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    results: list[rows.Row] = []
    with EmbeddedServer() as server:
        runs: list[tuple[str, int | None]] = [("partstream", linger) for linger in (0, 1, 5)]
        for job, linger_ms in [("redis-py", None), *runs]:
            work = (
                measure_redis_py(server.url, options.rate, options.seconds)
                if linger_ms is None
                else measure(server.url, options.rate, options.seconds, linger_ms)
            )
            found = asyncio.run(work)
            cuts = statistics.quantiles(found, n=100)
            p50, p99, worst = cuts[49], cuts[98], max(found)
            how = "XADD, XREAD BLOCK" if linger_ms is None else f"linger_ms={linger_ms}"
            print(
                f"{job}, {options.rate}/s, {how}: p50 {p50:.2f} ms, "
                f"p99 {p99:.2f} ms, max {worst:.2f} ms"
            )
            results.append(
                {
                    "job": job,
                    "rate": options.rate,
                    "linger_ms": linger_ms,
                    "p50_ms": p50,
                    "p99_ms": p99,
                    "max_ms": worst,
                }
            )
    rows.write(options.json, results)


if __name__ == "__main__":
    main()

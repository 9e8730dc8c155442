"""From send to receive: one producer, one consumer, one process, a fixed rate.

python -m bench.latency [--rate 1000] [--seconds 5] [--json FILE]
"""

from __future__ import annotations

import asyncio
import statistics
import time

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
                sent = int.from_bytes(record.value[:8], "big")
                latencies.append((time.perf_counter_ns() - sent) / 1e6)
                if len(latencies) == total:
                    return

        receiving = asyncio.create_task(receive())
        started = time.perf_counter()
        for number in range(total):
            pause = started + number / rate - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            now = time.perf_counter_ns().to_bytes(8, "big")
            await producer.send(topic, now + b"x" * 92, key=b"key-%d" % (number % 1000))
        async with asyncio.timeout(30):
            await receiving
        return latencies


def main() -> None:
    parser = rows.parser(__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    results: list[rows.Row] = []
    with EmbeddedServer() as server:
        for linger_ms in (0, 1, 5):
            found = asyncio.run(measure(server.url, options.rate, options.seconds, linger_ms))
            cuts = statistics.quantiles(found, n=100)
            p50, p99, worst = cuts[49], cuts[98], max(found)
            print(
                f"{options.rate}/s, linger_ms={linger_ms}: p50 {p50:.2f} ms, "
                f"p99 {p99:.2f} ms, max {worst:.2f} ms"
            )
            results.append(
                {
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

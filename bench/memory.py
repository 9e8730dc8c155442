"""What records cost in Redis: MEMORY USAGE of all keys of a topic, beside the records' own bytes.

python -m bench.memory [--json FILE]
"""

from __future__ import annotations

import redis

import partstream
from bench import rows
from partstream.embedded.server import EmbeddedServer

RECORDS = 60_000


def measure(url: str, batch_size: int, value_size: int) -> float:
    """Bytes of memory for each byte of key and value."""
    client = redis.Redis.from_url(url)
    client.flushall()
    payload = 0
    with partstream.Producer(url, num_partitions=6, batch_size=batch_size, linger_ms=1000) as made:
        for number in range(RECORDS):
            key, value = b"key-%d" % (number % 1000), b"x" * value_size
            payload += len(key) + len(value)
            made.send("memory", value, key=key)
    used = sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter("*"))
    return used / payload


def main() -> None:
    options = rows.parser(__doc__).parse_args()
    results: list[rows.Row] = []
    with EmbeddedServer() as server:
        for value_size in (100, 1024):
            for batch_size in (16_384, 32_768, 65_536):
                times = measure(server.url, batch_size, value_size)
                print(
                    f"{value_size:>5} B values, batches of {batch_size // 1024} KiB: "
                    f"{times:.3f} x key + value"
                )
                results.append(
                    {"value": value_size, "batch_size": batch_size, "times_payload": times}
                )
    rows.write(options.json, results)


if __name__ == "__main__":
    main()

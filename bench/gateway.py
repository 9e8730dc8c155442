"""librdkafka against the gateway: records a second, produced and consumed, and the latency.

`python -m bench.gateway` starts a gateway on a private server; `--bootstrap HOST:PORT` measures any
Kafka-compatible broker instead, Apache Kafka too, so that two runs can be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 6
VALUE = b"x" * 100
_FETCH = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    # librdkafka's default pause of a second would be all that is measured.
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 1_000_000,
    "fetch.wait.max.ms": 100,
}


@contextmanager
def gateway(port: int, url: str, partitions: int) -> Iterator[str]:
    """A gateway in a process of its own."""
    address = f"127.0.0.1:{port}"
    command = ["partstream", "serve", "--url", url, "--listen", address]
    command += ["-X", f"num_partitions={partitions}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=1)
                break
            except Exception:  # noqa: BLE001 (it is not there yet)
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def produce(bootstrap: str, topic: str, count: int) -> float:
    """Records a second."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "linger.ms": 5,
            "batch.size": 131_072,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    producer.list_topics(topic, timeout=10)
    begun = time.perf_counter()
    for number in range(count):
        while True:
            try:
                producer.produce(topic, VALUE, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.01)
    if producer.flush(60):
        raise SystemExit("not everything was delivered")
    return count / (time.perf_counter() - begun)


def consume(bootstrap: str, topic: str, count: int) -> float:
    """Records a second, from the first on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, **_FETCH})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    seen, begun = 0, 0.0
    while seen < count:
        records = consumer.consume(10_000, 1.0)
        if not begun and records:
            begun = time.perf_counter()
        seen += len(records)
    rate = count / (time.perf_counter() - begun)
    consumer.close()
    return rate


def latency(bootstrap: str, topic: str, rate: int, seconds: float) -> tuple[float, float]:
    """Median and 99th percentile from send to receive, in ms, at so many records a second."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, **_FETCH})
    producer.list_topics(topic, timeout=10)
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.poll(1.0)
    took: list[float] = []
    sent, begun = 0, time.perf_counter()
    total = int(rate * seconds)
    while len(took) < total:
        due = min(total, int((time.perf_counter() - begun) * rate))
        while sent < due:
            producer.produce(topic, str(time.perf_counter_ns()).encode(), partition=0)
            sent += 1
        producer.poll(0)
        for record in consumer.consume(1_000, 0.0005):
            took.append((time.perf_counter_ns() - int(record.value() or b"0")) / 1e6)
    producer.flush()
    consumer.close()
    cuts = quantiles(took, n=100)
    return cuts[49], cuts[98]


def measure(bootstrap: str, count: int) -> dict[str, Any]:
    """All of it, once."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    names = (topic, topic + "-latency")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(name, PARTITIONS) for name in names]).values():
        made.result(30)
    result: dict[str, Any] = {"produce": round(produce(bootstrap, topic, count))}
    result["consume"] = round(consume(bootstrap, topic, count))
    p50, p99 = latency(bootstrap, topic + "-latency", 1_000, 3)
    result["latency_ms"] = {"p50": round(p50, 2), "p99": round(p99, 2)}
    return result


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="a broker that runs, instead of a gateway of our own")
    parser.add_argument("--url", default="embedded:", help="the Redis of our own gateway")
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.bootstrap:
        print(json.dumps(measure(options.bootstrap, options.records)))
        return
    with gateway(19_392, options.url, PARTITIONS) as address:
        print(json.dumps(measure(address, options.records)))


if __name__ == "__main__":
    main()

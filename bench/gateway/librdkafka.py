"""What librdkafka, through confluent-kafka, gets out of a broker."""

from __future__ import annotations

import time
import uuid
from statistics import quantiles

from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 6
VALUE = b"x" * 100
_FETCH: dict[str, str | int | bool] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    # librdkafka's default pause of a second would be all that is measured.
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 1_000_000,
    "fetch.wait.max.ms": 100,
}


def produce(bootstrap: str, topic: str, count: int) -> float:
    """Records a second, acks=all, until the last one is acknowledged."""
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
    if producer.flush(120):
        raise SystemExit("not everything was delivered")
    return count / (time.perf_counter() - begun)


def consume(bootstrap: str, topic: str, count: int) -> float:
    """Records a second, from the first batch of them on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, **_FETCH})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    first = len(consumer.consume(1, 30))
    seen, begun = first, time.perf_counter()
    while seen < count:
        # Asked for more than there are, it would wait for them.
        seen += len(consumer.consume(min(10_000, count - seen), 1.0))
    rate = (seen - first) / (time.perf_counter() - begun)
    consumer.close()
    return rate


def latency(
    bootstrap: str, topic: str, rate: int, seconds: float, linger_ms: float
) -> tuple[float, float]:
    """Median and 99th percentile from send to receive, in ms, at so many records a second."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": linger_ms})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, **_FETCH})
    producer.list_topics(topic, timeout=10)
    consumer.assign([TopicPartition(topic, 0)])
    producer.produce(topic, str(time.perf_counter_ns()).encode(), partition=0)
    producer.flush(30)
    # It reads: librdkafka may take a second to ask who leads the partition.
    if not consumer.consume(1, 30):
        raise SystemExit("nothing came")
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
    producer.flush(30)
    consumer.close()
    cuts = quantiles(took, n=100)
    return cuts[49], cuts[98]

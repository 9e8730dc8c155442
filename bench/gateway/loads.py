"""What a broker is put to beside throughput: many connections, partitions and groups, and a client
that does not read what it asked for."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.gateway.brokers import Broker
from bench.gateway.frames import API_VERSIONS, FETCH, METADATA, ask, connect, receive, send

_ROUNDS = 20
_NOBODY: dict[str, Any] = {"replica_id": -1, "session_id": 0, "session_epoch": -1, "min_bytes": 1}


def idle_connections(broker: Broker, count: int = 1_000) -> float | None:
    """KiB that an idle connection costs, by what `count` of them add."""
    before = broker.resident_kib()
    connections = [connect(broker.address) for _ in range(count)]
    for connection in connections:
        send(connection, API_VERSIONS, 0, {})
    for connection in connections:
        receive(connection)
    after = broker.resident_kib()
    for connection in connections:
        connection.close()
    return None if before is None or after is None else (after - before) / count


def slow_reader(broker: Broker, topic: str, requests: int = 200) -> float | None:
    """MiB that a client adds who asks for 1 MiB so many times, and reads nothing."""
    rows = [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]
    wanted = {**_NOBODY, "max_wait": 100, "max_bytes": 1 << 20, "isolation_level": 0}
    wanted |= {"topics": [{"topic": topic, "partitions": rows}], "rack_id": ""}
    before = broker.resident_kib()
    connection = connect(broker.address)
    connection.settimeout(2)
    try:
        for _ in range(requests):
            send(connection, FETCH, 12, {**wanted, "forgotten_topics_data": []})
    except TimeoutError:
        pass  # it takes no more requests: good
    time.sleep(2)
    after = broker.resident_kib()
    connection.close()
    return None if before is None or after is None else (after - before) / 1024


def many_partitions(broker: Broker, topic: str, count: int = 1_000) -> tuple[float, float]:
    """Milliseconds (medians) of a Metadata and of a Fetch that name so many partitions."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, count, 1)], request_timeout=120)[topic].result(120)
    rows = [
        {"partition": number, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        for number in range(count)
    ]
    fetch = {**_NOBODY, "max_wait": 0, "max_bytes": 1 << 25, "isolation_level": 0}
    fetch |= {"topics": [{"topic": topic, "partitions": rows}], "rack_id": ""}
    names = {"topics": [{"name": topic, "topic_id": None}], "allow_auto_topic_creation": False}
    names |= {"include_topic_authorized_operations": False}
    with connect(broker.address) as connection:

        def median(key: int, values: dict[str, Any]) -> float:
            asked = [ask(connection, key, 12, values)[1] for _ in range(_ROUNDS)]
            return statistics.median(asked)

        median(METADATA, names)
        return median(METADATA, names), median(FETCH, {**fetch, "forgotten_topics_data": []})


def many_groups(broker: Broker, topic: str, count: int = 100) -> float:
    """Seconds until so many new groups, of one member each, have all read one record."""
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, b"x", partition=0)
    producer.flush(30)
    config = {"bootstrap.servers": broker.address, "auto.offset.reset": "earliest"}
    config |= {"group.protocol": "consumer", "enable.auto.commit": "false"}
    consumers = [Consumer({**config, "group.id": f"{topic}-{number}"}) for number in range(count)]
    began = time.perf_counter()
    for consumer in consumers:
        consumer.subscribe([topic])
    _in_threads([lambda c=consumer: _first(c) for consumer in consumers])  # type: ignore[misc]
    took = time.perf_counter() - began
    _in_threads([consumer.close for consumer in consumers])
    return took


def _first(consumer: Consumer) -> None:
    while not consumer.consume(1, 0.5):
        pass


def _in_threads(jobs: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

"""What clients tell of their work, as Prometheus gets to see it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from partstream.aio import Admin, Consumer, Producer
from partstream.config.build import load
from partstream.config.producer import ProducerConfig
from partstream.errors import ConfigError, CorruptRecord, DeliveryTimeout, StoreUnavailable
from partstream.metrics.hooks import SILENT, Observer, observer_of
from partstream.metrics.prometheus import PrometheusMetrics
from tests.engine.compacting import updates
from tests.engine.logs import Engine, engine
from tests.servers.proxy import Proxy
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs"


class Metrics(PrometheusMetrics):
    """In a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        super().__init__(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The sum over all time series with these labels; 0 without any."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"partstream_{name}"
            and all(sample.labels[label] == text for label, text in labels.items())
        )


async def test_what_is_sent_and_read_is_counted(redis_url: str, namespace: str) -> None:
    metrics = Metrics()
    own = {"namespace": namespace, "metric_reporters": [metrics]}
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("t", 2)
    async with Producer(redis_url, client_id="p", **own) as producer:
        for number in range(30):
            await producer.send("t", b"x" * 100, partition=number % 2)
        await producer.flush()
        assert metrics.value("producer_records_total", client_id="p", topic="t") == 30
        batches = metrics.value("producer_batches_total")
        assert 2 <= batches <= 30
        assert metrics.value("producer_bytes_total") > 3_000
        assert metrics.value("producer_request_seconds_count") == batches
        assert metrics.value("producer_queue_seconds_count") == batches
        assert metrics.value("links", client_id="p", link="commands") == 1
    assert metrics.value("links") == 0
    assert metrics.value("links_lost_total") == 0

    async with Consumer(
        redis_url, client_id="c", group_id="g", auto_offset_reset="earliest", **own
    ) as consumer:
        await consumer.subscribe("t")
        seen = 0
        while seen < 30:
            seen += len(await consumer.poll(max_records=7, timeout=10))
            lag = metrics.value("consumer_lag", topic="t")
            assert lag == 30 - seen or metrics.value("consumer_batches_total") < batches
        assert metrics.value("consumer_records_total", client_id="c", topic="t") == 30
        assert metrics.value("consumer_batches_total") == batches
        assert metrics.value("consumer_bytes_total") == metrics.value("producer_bytes_total")
        assert metrics.value("consumer_fetch_seconds_count") >= 2
        assert metrics.value("consumer_lag", topic="t") == 0
        assert metrics.value("consumer_partitions", group="g") == 2
        assert metrics.value("consumer_rebalances_total", group="g") >= 1
        await consumer.commit()
        assert metrics.value("consumer_commit_seconds_count", group="g") == 1
    assert metrics.value("consumer_partitions", group="g") == 0
    assert metrics.value("consumer_rebalanced_partitions_total", change="revoked") == 2
    assert not [
        sample
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "partstream_consumer_lag"
    ]


async def test_what_goes_wrong_is_counted(redis_url: str, namespace: str) -> None:
    metrics = Metrics()
    async with Proxy(redis_url) as proxy:
        own = {"namespace": namespace, "metric_reporters": [metrics]}
        async with Producer(proxy.url, linger_ms=0, **own) as producer:
            await (await producer.send("t", b"1"))
            proxy.lose_answers()
            await (await producer.send("t", b"2"))
            assert metrics.value("producer_retries_total", error="OutcomeUnknown") == 1
            assert metrics.value("links_lost_total", link="commands") == 1
            assert metrics.value("links", link="commands") == 1
            assert metrics.value("producer_records_total") == 2
    with pytest.raises(StoreUnavailable):
        await Admin("redis://127.0.0.1:1", **own).start()


async def test_a_record_that_is_given_up_is_counted(redis_url: str, namespace: str) -> None:
    metrics = Metrics()
    async with Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("t", 1, {"min.insync.replicas": 2})
    own = {"namespace": namespace, "metric_reporters": [metrics], "linger_ms": 0}
    async with Producer(
        redis_url, request_timeout_ms=500, delivery_timeout_ms=500, **own
    ) as producer:
        delivery = await producer.send("t", b"1")
        with pytest.raises(DeliveryTimeout):
            await delivery
        assert metrics.value("producer_failed_records_total", error="DeliveryTimeout") == 1
        assert metrics.value("producer_retries_total", error="NotEnoughReplicas") > 0
        assert metrics.value("producer_records_total") == 0


async def test_waits_for_replicas_are_timed(cluster_url: str, namespace: str) -> None:
    metrics = Metrics()
    async with Producer(
        cluster_url, namespace=namespace, metric_reporters=[metrics], linger_ms=0
    ) as producer:
        await (await producer.send("t", b"1"))

        async def confirmed() -> bool:
            await (await producer.send("t", b"2"))
            return metrics.value("barrier_seconds_count") > 0

        await until(confirmed)
        assert metrics.value("links", link="replicas") >= 1
        assert metrics.value("barrier_failures_total") == 0


async def _prices(own: Engine, batches: int) -> None:
    """Change a few prices many times."""
    partition = (await own.topics.get("prices")).partitions[0]
    for number in range(batches):
        pairs = [(b"k%d" % key, b"%d" % number + b"x" * 90) for key in range(4)]
        await own.log.append(partition, updates(*pairs))


async def test_what_is_cleaned_is_told(redis_url: str, namespace: str) -> None:
    metrics = Metrics()
    config = {
        "cleanup.policy": "compact",
        "segment.bytes": 1_024,
        "min.cleanable.dirty.ratio": 1,  # only those who are asked to clean
    }
    async with (
        engine(redis_url, namespace) as own,
        Admin(
            redis_url, namespace=namespace, client_id="cleaner", metric_reporters=[metrics]
        ) as admin,
    ):
        await admin.create_topic("prices", 1, config)
        where = {"client_id": "cleaner", "topic": "prices"}
        place = {**where, "partition": "0"}
        tested = set[str]()

        def told(name: str, **labels: str) -> float:
            tested.add(re.sub("_count$|_sum$", "", f"partstream_compaction_{name}"))
            return metrics.value(f"compaction_{name}", **labels)

        await _prices(own, 12)
        await admin.maintain()
        assert told("dirty_ratio", **place) == 1
        assert told("seconds_count", **where) == 0
        began = time.time()
        done = (await admin.compact_topic("prices"))[0]
        assert done is not None
        assert told("dirty_ratio", **place) == 0
        assert told("before_bytes", **place) == done.bytes_before
        assert told("after_bytes", **place) == done.bytes_after < done.bytes_before
        assert began <= told("last_run_timestamp_seconds", **place) <= time.time()
        assert told("seconds_count", **where) == 1
        assert 0 < told("seconds_sum", **where) < time.time() - began

        await _prices(own, 6)
        await admin.maintain()
        ratio = told("dirty_ratio", **place)
        assert 0 < ratio < 1
        again = (await admin.compact_topic("prices"))[0]
        assert again is not None
        assert again.dirty_ratio == ratio
        assert told("before_bytes", **place) == again.bytes_before
        assert told("seconds_count", **where) == 2

        bad = bytearray(updates((b"k0", b"x" * 90)))
        bad[61] ^= 0x5A
        await own.log.append((await own.topics.get("prices")).partitions[0], bytes(bad))
        await _prices(own, 6)
        assert told("failures_total", **where) == 0
        with pytest.raises(CorruptRecord):
            await admin.compact_topic("prices")
        assert told("failures_total", error="CorruptRecord", **where) == 1
        assert told("seconds_count", **where) == 2
        assert tested == {name for name in _documented() if "compaction" in name}


async def test_nobody_is_told_unless_it_is_asked_for(redis_url: str, namespace: str) -> None:
    assert load(ProducerConfig, {}).connection()["observer"] is SILENT
    with pytest.raises(ConfigError, match="metric_reporters"):
        load(ProducerConfig, {"metric_reporters": ["a.class.name"]})
    async with Producer(redis_url, namespace=namespace) as producer:
        assert producer.store.observer is SILENT


def test_several_reporters_hear_the_same() -> None:
    first, second = Metrics(), Metrics()
    observer = observer_of([first, second], "me")
    observer.batch_retried("t", "NotEnoughReplicas")
    observer.handed_out("t", 3, records=5, lag=7)
    for metrics in (first, second):
        assert metrics.value("producer_retries_total", client_id="me", topic="t") == 1
        assert metrics.value("consumer_lag", partition="3") == 7


def test_a_partition_that_goes_to_another_client_of_the_same_name() -> None:
    metrics = Metrics()
    first, second = metrics.observer("me"), metrics.observer("me")
    for observer in (first, second):
        observer.lag_known("t", 0, 7)
    first.partition_dropped("t", 0)
    assert metrics.value("consumer_lag") == 0
    second.lag_known("t", 0, 5)
    assert metrics.value("consumer_lag", partition="0") == 5


def _documented() -> set[str]:
    return set(re.findall(r"^\| `(partstream_\w+)`", (DOCS / "metrics.md").read_text(), re.M))


def test_every_metric_is_documented_and_every_hook_is_heard() -> None:
    metrics = Metrics()
    kinds = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in metrics.registry.collect()
    }
    library = {name for name in _documented() if not name.startswith("partstream_gateway")}
    assert kinds == library
    heard = vars(type(metrics.observer("me")))
    assert [name for name in vars(Observer) if name[0] != "_" and name not in heard] == []
    metrics.unregister()
    assert not list(metrics.registry.collect())

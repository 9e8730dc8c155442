"""Metrics for Prometheus, by the names that docs/metrics.md lists.

Needs the extra `partstream[metrics]`. One `PrometheusMetrics` serves any number of clients:

    metrics = PrometheusMetrics()
    producer = Producer(url, metric_reporters=[metrics])
    prometheus_client.start_http_server(9100)

Topics are a label everywhere, partitions only where a number for the topic would say nothing (lag).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from partstream.metrics.hooks import Link, Observer

Metric = TypeVar("Metric", bound=MetricWrapperBase)

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class PrometheusMetrics:
    """The metrics of a process, in one registry; see docs/metrics.md for what each means."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register the metrics.

        Args:
            registry: by default prometheus_client's own.

        Raises:
            ValueError: the registry has them already: make one object, and share it.
        """
        self._registry = registry
        self._made: list[MetricWrapperBase] = []
        counter, gauge, seconds = self._counter, self._gauge, self._seconds
        # Connections.
        self.links = gauge("links", "Connections that are open", "node", "link")
        self.links_lost = counter("links_lost", "Connections that broke", "node", "link")
        self.request_retries = counter("request_retries", "Requests made again", "node", "error")
        self.slots_moved = counter("slots_moved", "Slots found to be on another node")
        self.barrier = seconds("barrier_seconds", "Waits for replicas to confirm", "node")
        self.barrier_failures = counter(
            "barrier_failures", "Waits in which replicas did not confirm in time", "node"
        )
        # Producers.
        self.sent_records = counter("producer_records", "Records acknowledged", "topic")
        self.sent_bytes = counter("producer_bytes", "Bytes of batches acknowledged", "topic")
        self.sent_batches = counter("producer_batches", "Batches acknowledged", "topic")
        self.queue_time = seconds(
            "producer_queue_seconds", "From a batch's first record until it is sent", "topic"
        )
        self.request_time = seconds(
            "producer_request_seconds", "From when a batch is sent until acknowledged", "topic"
        )
        self.batch_retries = counter("producer_retries", "Batches sent again", "topic", "error")
        self.failed_records = counter(
            "producer_failed_records", "Records given up", "topic", "error"
        )
        self.lost_records = counter(
            "producer_lost_records", "Acknowledged records that Redis lost", "topic"
        )
        # Consumers.
        self.read_records = counter("consumer_records", "Records given to the user", "topic")
        self.read_bytes = counter("consumer_bytes", "Bytes of batches fetched", "topic")
        self.read_batches = counter("consumer_batches", "Batches fetched", "topic")
        self.fetch_time = seconds("consumer_fetch_seconds", "Fetches that brought some", "topic")
        self.fetch_retries = counter("consumer_retries", "Fetches made again", "topic", "error")
        self.lag = gauge("consumer_lag", "Records behind the position", "topic", "partition")
        self.lags: dict[tuple[str, str, int], Gauge] = {}
        """Those of `lag` that are set: found once, not once a batch."""
        self.truncated_records = counter(
            "consumer_truncated_records", "Records read that are gone from the log", "topic"
        )
        self.rebalanced = counter(
            "consumer_rebalanced_partitions", "Partitions that came or went", "group", "change"
        )
        self.rebalances = counter("consumer_rebalances", "Changes of what is owned", "group")
        self.owned = gauge("consumer_partitions", "Partitions owned", "group")
        self.commit_time = seconds("consumer_commit_seconds", "Commits", "group")
        self.commit_failures = counter("consumer_commit_failures", "Commits", "group", "error")
        # Log compaction.
        place = ("topic", "partition")
        self.dirty_ratio = gauge("compaction_dirty_ratio", "Never cleaned, of what can be", *place)
        self.cleaned_before = gauge("compaction_before_bytes", "What was cleaned last", *place)
        self.cleaned_after = gauge("compaction_after_bytes", "What was left of it", *place)
        self.cleaned_at = gauge("compaction_last_run_timestamp_seconds", "The last one", *place)
        self.dirty: set[tuple[str, str, int]] = set()
        """Where `dirty_ratio` is set."""
        self.cleanings: set[tuple[str, str, int]] = set()
        """Where the other three are."""
        self.cleaning_time = seconds("compaction_seconds", "Cleanings of partitions", "topic")
        self.cleaning_failures = counter(
            "compaction_failures", "Cleanings that failed", "topic", "error"
        )

    def observer(self, client_id: str) -> Observer:
        """What a client of that name tells its work to."""
        return _PrometheusObserver(self, client_id)

    def unregister(self) -> None:
        """Take the metrics out of the registry."""
        for metric in self._made:
            self._registry.unregister(metric)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._keep(
            Counter(f"partstream_{name}", text, _labels(labels), registry=self._registry)
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._keep(
            Gauge(f"partstream_{name}", text, _labels(labels), registry=self._registry)
        )

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return self._keep(
            Histogram(
                f"partstream_{name}",
                text,
                _labels(labels),
                registry=self._registry,
                buckets=_SECONDS,
            )
        )

    def _keep(self, metric: Metric) -> Metric:
        self._made.append(metric)
        return metric


def _labels(labels: Iterable[str]) -> tuple[str, ...]:
    return ("client_id", *labels)


class _Sent(NamedTuple):
    """The metrics of one topic that is written to: found once, not once a batch."""

    records: Counter
    size: Counter
    batches: Counter
    queued: Histogram
    requested: Histogram


class _Read(NamedTuple):
    """The same of one that is read."""

    size: Counter
    batches: Counter
    took: Histogram


class _PrometheusObserver(Observer):
    """Counts what one client tells."""

    def __init__(self, metrics: PrometheusMetrics, client_id: str) -> None:
        self._metrics = metrics
        self._client = client_id
        self._sent: dict[str, _Sent] = {}
        self._read: dict[str, _Read] = {}
        self._handed: dict[str, Counter] = {}

    # Connections.

    def link_opened(self, node: str, link: Link) -> None:
        self._metrics.links.labels(self._client, node, link).inc()

    def link_closed(self, node: str, link: Link, *, lost: bool) -> None:
        self._metrics.links.labels(self._client, node, link).dec()
        if lost:
            self._metrics.links_lost.labels(self._client, node, link).inc()

    def request_retried(self, node: str, error: str) -> None:
        self._metrics.request_retries.labels(self._client, node, error).inc()

    def slots_moved(self, slots: int) -> None:
        self._metrics.slots_moved.labels(self._client).inc(slots)

    def barrier_waited(self, node: str, seconds: float, *, confirmed: bool) -> None:
        self._metrics.barrier.labels(self._client, node).observe(seconds)
        if not confirmed:
            self._metrics.barrier_failures.labels(self._client, node).inc()

    # Producers.

    def batch_delivered(
        self, topic: str, *, records: int, size: int, waited: float, took: float
    ) -> None:
        sent = self._sent.get(topic)
        if sent is None:
            metrics, client = self._metrics, self._client
            sent = self._sent[topic] = _Sent(
                metrics.sent_records.labels(client, topic),
                metrics.sent_bytes.labels(client, topic),
                metrics.sent_batches.labels(client, topic),
                metrics.queue_time.labels(client, topic),
                metrics.request_time.labels(client, topic),
            )
        sent.records.inc(records)
        sent.size.inc(size)
        sent.batches.inc()
        sent.queued.observe(waited)
        sent.requested.observe(took)

    def batch_retried(self, topic: str, error: str) -> None:
        self._metrics.batch_retries.labels(self._client, topic, error).inc()

    def batch_failed(self, topic: str, records: int, error: str) -> None:
        self._metrics.failed_records.labels(self._client, topic, error).inc(records)

    def records_lost(self, topic: str, records: int) -> None:
        self._metrics.lost_records.labels(self._client, topic).inc(records)

    # Consumers.

    def fetched(self, topic: str, *, batches: int, size: int, took: float) -> None:
        read = self._read.get(topic)
        if read is None:
            metrics, client = self._metrics, self._client
            read = self._read[topic] = _Read(
                metrics.read_bytes.labels(client, topic),
                metrics.read_batches.labels(client, topic),
                metrics.fetch_time.labels(client, topic),
            )
        read.size.inc(size)
        read.batches.inc(batches)
        read.took.observe(took)

    def fetch_retried(self, topic: str, error: str) -> None:
        self._metrics.fetch_retries.labels(self._client, topic, error).inc()

    def handed_out(self, topic: str, partition: int, *, records: int, lag: int) -> None:
        counter = self._handed.get(topic)
        if counter is None:
            counter = self._metrics.read_records.labels(self._client, topic)
            self._handed[topic] = counter
        counter.inc(records)
        self.lag_known(topic, partition, lag)

    def lag_known(self, topic: str, partition: int, lag: int) -> None:
        # Kept for all clients together: one may drop what another of the same name reads.
        lags, key = self._metrics.lags, (self._client, topic, partition)
        gauge = lags.get(key)
        if gauge is None:
            gauge = lags[key] = self._metrics.lag.labels(*key)
        gauge.set(lag)

    def partition_dropped(self, topic: str, partition: int) -> None:
        self._metrics.lags.pop((self._client, topic, partition), None)
        with suppress(KeyError):
            self._metrics.lag.remove(self._client, topic, partition)

    def truncated(self, topic: str, records: int) -> None:
        self._metrics.truncated_records.labels(self._client, topic).inc(records)

    def rebalanced(
        self, group: str, *, assigned: int = 0, revoked: int = 0, lost: int = 0, owned: int
    ) -> None:
        metrics = self._metrics
        metrics.rebalances.labels(self._client, group).inc()
        for change, count in (("assigned", assigned), ("revoked", revoked), ("lost", lost)):
            metrics.rebalanced.labels(self._client, group, change).inc(count)
        metrics.owned.labels(self._client, group).set(owned)

    # Log compaction.

    def dirty_known(self, topic: str, partition: int, ratio: float) -> None:
        self._set_dirty(topic, partition, ratio)

    def _set_dirty(self, topic: str, partition: int, ratio: float) -> None:
        self._metrics.dirty.add((self._client, topic, partition))
        self._metrics.dirty_ratio.labels(self._client, topic, partition).set(ratio)

    def looks_after(self, partitions: Collection[tuple[str, int]]) -> None:
        metrics = self._metrics
        for row in list(metrics.dirty):
            if row[0] == self._client and row[1:] not in partitions:
                metrics.dirty.discard(row)
                metrics.dirty_ratio.remove(*row)

    def compacted_known(self, partitions: Collection[tuple[str, int]]) -> None:
        metrics = self._metrics
        for row in list(metrics.cleanings):
            if row[0] == self._client and row[1:] not in partitions:
                metrics.cleanings.discard(row)
                for gauge in (metrics.cleaned_before, metrics.cleaned_after, metrics.cleaned_at):
                    gauge.remove(*row)

    def cleaned(self, topic: str, partition: int, *, before: int, after: int, took: float) -> None:
        metrics, where = self._metrics, (self._client, topic, partition)
        metrics.cleanings.add(where)
        metrics.cleaned_before.labels(*where).set(before)
        metrics.cleaned_after.labels(*where).set(after)
        metrics.cleaned_at.labels(*where).set_to_current_time()
        metrics.cleaning_time.labels(self._client, topic).observe(took)
        self._set_dirty(topic, partition, 0)

    def cleaning_failed(self, topic: str, partition: int, error: str) -> None:
        self._metrics.cleaning_failures.labels(self._client, topic, error).inc()

    def committed(self, group: str, took: float, error: str = "") -> None:
        self._metrics.commit_time.labels(self._client, group).observe(took)
        if error:
            self._metrics.commit_failures.labels(self._client, group, error).inc()

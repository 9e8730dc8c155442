"""What a gateway does, as metrics for Prometheus. Needs the extra `partstream[metrics]`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from partstream.errors import from_code
from partstream.gateway.meter import BUCKETS, Tally
from partstream.gateway.server import Gateway
from partstream.gateway.table import BY_KEY
from partstream.metrics.hooks import Observer
from partstream.metrics.prometheus import PrometheusMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (*map(str, BUCKETS), "+Inf")


class Metrics:
    """The metrics of one process: its gateway, its connections to Redis, itself."""

    def __init__(self, client_id: str) -> None:
        self._registry = CollectorRegistry()
        self.observer: Observer = PrometheusMetrics(self._registry).observer(client_id)
        """Hears of the connections to Redis."""
        ProcessCollector(registry=self._registry)

    def watch(self, gateway: Gateway) -> None:
        """Show what a gateway counts, too."""
        self._registry.register(_GatewayCollector(gateway))

    def text(self) -> bytes:
        """All of them, in Prometheus's format."""
        return generate_latest(self._registry)


class _GatewayCollector(Collector):
    """Reads a gateway's counters when it is asked, and costs nothing until then."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """All metrics of the gateway."""
        yield from _apis(self._gateway.meter.apis)
        yield from self._connections()
        yield _gauge("ready", "1 if clients are served", float(self._gateway.is_ready))
        yield _gauge("nodes", "Gateways that live", float(self._gateway.live_nodes))
        held = float(self._gateway.held_bytes)
        yield _gauge("request_bytes_held", "Bytes of requests that are being served", held)
        unsent = float(self._gateway.unsent_bytes)
        yield _gauge("response_bytes_held", "Bytes of answers that clients have not taken", unsent)

    def _connections(self) -> Iterator[Metric]:
        meter = self._gateway.meter
        count = GaugeMetricFamily(
            "partstream_gateway_connections", "Connections of clients", labels=["listener"]
        )
        for listener, value in meter.connections.items():
            count.add_metric([listener], value)
        yield count
        came = CounterMetricFamily(
            "partstream_gateway_connections_accepted", "Connections that came", labels=["listener"]
        )
        for listener, value in meter.accepted.items():
            came.add_metric([listener], value)
        yield came
        ended = CounterMetricFamily(
            "partstream_gateway_connections_ended", "Connections ended here", labels=["reason"]
        )
        for reason, value in meter.problems.items():
            ended.add_metric([reason], value)
        yield ended


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"partstream_gateway_{name}", text, value=value)


def _apis(tallies: dict[int, Tally]) -> Iterator[Metric]:
    def counter(name: str, text: str, *more: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"partstream_gateway_{name}", text, labels=["api", *more])

    requests = counter("requests", "Requests that were answered")
    errors = counter("errors", "Error codes in answers, of topics and partitions too", "error")
    bytes_in = counter("request_bytes", "Bytes of requests")
    bytes_out = counter("response_bytes", "Bytes of answers")
    seconds = HistogramMetricFamily(
        "partstream_gateway_request_seconds",
        "From a request's last byte to its answer; a Fetch may wait",
        labels=["api"],
    )
    for key, tally in sorted(tallies.items()):
        api = BY_KEY[key].name
        requests.add_metric([api], tally.requests)
        bytes_in.add_metric([api], tally.bytes_in)
        bytes_out.add_metric([api], tally.bytes_out)
        for code, count in sorted(tally.errors.items()):
            errors.add_metric([api, _name(code)], count)
        sums = zip(_BOUNDS, map(float, accumulate(tally.buckets)), strict=True)
        seconds.add_metric([api], list(sums), tally.seconds)
    yield from (requests, errors, bytes_in, bytes_out, seconds)


def _name(code: int) -> str:
    error = from_code(code)
    return error.name if error.code == code else f"ERROR_{code}"

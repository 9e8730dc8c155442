"""What Prometheus sees of partitions that another client has come to look after."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from partstream.metrics.prometheus import PrometheusMetrics


def test_a_ratio_that_is_out_of_date_is_forgotten() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    one, other = metrics.observer("one"), metrics.observer("other")

    def ratios() -> dict[tuple[str, str, str], float]:
        return {
            (sample.labels["client_id"], sample.labels["topic"], sample.labels["partition"]): (
                sample.value
            )
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "partstream_compaction_dirty_ratio"
        }

    for observer in (one, other):
        for partition in (0, 1):
            observer.dirty_known("t", partition, 0.5)
    one.looks_after({("t", 1)})
    assert ratios() == {("one", "t", "1"): 0.5, ("other", "t", "0"): 0.5, ("other", "t", "1"): 0.5}
    other.cleaned("t", 1, before=9, after=3, took=1.0)
    one.looks_after(())
    one.looks_after(())
    assert ratios() == {("other", "t", "0"): 0.5, ("other", "t", "1"): 0.0}
    one.cleaned("t", 0, before=9, after=3, took=1.0)
    assert ratios()["one", "t", "0"] == 0
    one.looks_after(())
    assert ("one", "t", "0") not in ratios()

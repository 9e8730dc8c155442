"""What Prometheus sees of partitions that are gone, or that another client looks after now."""

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


def test_what_was_told_of_a_topic_that_is_gone_is_forgotten() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    one, other = metrics.observer("one"), metrics.observer("other")

    def told() -> set[tuple[str, ...]]:
        return {
            (
                sample.name.removeprefix("partstream_compaction_"),
                *(sample.labels[label] for label in ("client_id", "topic", "partition")),
            )
            for metric in registry.collect()
            if metric.type == "gauge"
            for sample in metric.samples
            if sample.name.startswith("partstream_compaction_")
        }

    names = ("before_bytes", "after_bytes", "last_run_timestamp_seconds")
    for observer in (one, other):
        for topic in ("gone", "stays"):
            observer.cleaned(topic, 0, before=9, after=3, took=1.0)
        observer.looks_after(())
    everything = {
        (name, client, topic, "0")
        for name in names
        for client in ("one", "other")
        for topic in ("gone", "stays")
    }
    assert told() == everything, "another client looks after them, and the last run was this one's"
    for _ in range(2):
        one.compacted_known({("stays", 0)})
        assert told() == {row for row in everything if row[1:3] != ("one", "gone")}
    one.cleaned("gone", 0, before=9, after=3, took=1.0)
    assert ("after_bytes", "one", "gone", "0") in told(), "there is one of that name again"
    one.looks_after(())
    one.compacted_known(())
    assert {row[1] for row in told()} == {"other"}

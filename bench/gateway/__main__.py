"""The gateway beside Apache Kafka: the same clients, one after the other, on one machine.

    python -m bench.gateway [--rounds 3] [--records 1000000] [--url embedded:] [--json FILE]

Kafka runs if Java and Maven (for its jars, once) are there; without it, or with `--alone`, only the
gateway is measured. `--bootstrap HOST:PORT` measures any other broker instead of Kafka. Each round
runs every job once against each broker, each of which stands alone meanwhile; a ratio is taken
within a round, and the table shows the medians. Machines are noisy: quote the ratios.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from rich.console import Console
from rich.table import Table

from bench import kafka, rows
from bench.gateway import librdkafka, loads
from bench.gateway.brokers import Broker, apache_kafka, gateway
from bench.processes import in_own_process

Figures = dict[str, float]


def throughput(broker: Broker, records: int) -> Figures:
    """Records a second: librdkafka, and Kafka's own tools where they are."""
    figures: Figures = {}

    def measure(what: str, job: Callable[..., float], topic: str) -> None:
        before = broker.processor_seconds()
        figures[f"{what}, /s"] = job(broker.address, topic, records)
        after = broker.processor_seconds()
        if before is not None and after is not None:
            figures[f"{what}, broker's CPU, s/million"] = (after - before) / records * 1e6

    topic = _topic(broker)
    measure("librdkafka produce", partial(in_own_process, librdkafka.produce), topic)
    measure("librdkafka consume", partial(in_own_process, librdkafka.consume), topic)
    if kafka.available():
        topic = _topic(broker)
        measure("Java produce", kafka.producer_performance, topic)
        measure("Java consume", kafka.consumer_performance, topic)
    return figures


def latencies(broker: Broker) -> Figures:
    """Milliseconds from send to receive."""
    figures: Figures = {}
    for rate in (1_000, 10_000):
        for linger_ms in (0, 1):
            job = (broker.address, _topic(broker), rate, 4, linger_ms)
            p50, p99 = in_own_process(librdkafka.latency, *job)
            what = f"latency at {rate:,}/s, linger {linger_ms} ms"
            figures |= {f"{what}, p50, ms": p50, f"{what}, p99, ms": p99}
    return figures


def many(broker: Broker) -> Figures:
    """Connections, partitions, groups, and a slow reader."""
    figures: Figures = {}
    if (idle := loads.idle_connections(broker)) is not None:
        figures["an idle connection, KiB"] = idle
    topic = _topic(broker)
    in_own_process(librdkafka.produce, broker.address, topic, 200_000)
    if (slow := loads.slow_reader(broker, topic)) is not None:
        figures["a client that does not read, MiB"] = slow
    metadata, fetch = loads.many_partitions(broker, f"many-{uuid.uuid4().hex[:8]}")
    figures["Metadata of 1,000 partitions, ms"] = metadata
    figures["Fetch of 1,000 idle partitions, ms"] = fetch
    figures["100 groups have read, s"] = loads.many_groups(broker, _topic(broker))
    return figures


def measure(broker: Broker, records: int) -> Figures:
    """All of it, once."""
    in_own_process(librdkafka.produce, broker.address, _topic(broker), records // 4)  # warm up
    return throughput(broker, records) | latencies(broker) | many(broker)


def show(rounds: list[list[Figures]], names: list[str]) -> list[rows.Row]:
    """Print the medians; the rows as they go into the JSON file."""
    table = Table(title="medians, and beside the other broker in the same round")
    for column in ("what", *names, *(["ratio", "of the rounds"] if len(names) > 1 else [])):
        table.add_column(column, justify="left" if column == "what" else "right")
    shown: list[rows.Row] = []
    for what in rounds[0][0]:
        values = [statistics.median(one[at][what] for one in rounds) for at in range(len(names))]
        row: dict[str, object] = {"what": what, **dict(zip(names, values, strict=True))}
        cells = [what, *(f"{value:,.2f}" if value < 1_000 else f"{value:,.0f}" for value in values)]
        if len(names) > 1:
            ratios = [one[0][what] / one[1][what] for one in rounds if one[1][what]]
            row["ratios"] = ratios
            cells += [f"{statistics.median(ratios):.2f}"] if ratios else ["-"]
            cells.append(" ".join(f"{ratio:.2f}" for ratio in ratios))
        shown.append(row)
        table.add_row(*cells)
    Console(width=120).print(table)
    return shown


def _topic(broker: Broker) -> str:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(name, librdkafka.PARTITIONS, 1)])[name].result(60)
    return name


def main() -> None:
    """Measure, and print one table."""
    parser = rows.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--url", default="embedded:", help="the Redis of the gateway")
    parser.add_argument("--bootstrap", help="a broker that runs, to measure instead of Kafka")
    parser.add_argument("--alone", action="store_true", help="the gateway alone")
    options = parser.parse_args()

    def others() -> list[AbstractContextManager[Broker]]:
        if options.bootstrap:
            return [nullcontext(Broker(options.bootstrap, options.bootstrap))]
        return [apache_kafka()] if kafka.available() and not options.alone else []

    rounds: list[list[Figures]] = []
    names: list[str] = []
    for _ in range(options.rounds):
        figures = []
        names = []
        for running in (gateway(options.url), *others()):
            with running as broker:
                figures.append(measure(broker, options.records))
                names.append(broker.name)
        rounds.append(figures)
    rows.write(options.json, show(rounds, names))


if __name__ == "__main__":
    main()

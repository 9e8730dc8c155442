"""Does what each line of its input says with confluent-kafka (librdkafka), old or new."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.foreign.python.confluent_admin import Administration, name_of, where
from tests.foreign.python.lines import (
    DEADLINE,
    Ask,
    Member,
    Members,
    encoded,
    headers_of,
    serve,
    shown,
)


def row_of(record: Any) -> Ask:
    """A record as it is told."""
    position = (record.partition(), record.offset(), record.timestamp()[1])
    return shown(position, record.key(), record.value(), record.headers())


class ConfluentMember(Member):
    """A member of a group."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        config: dict[str, Any] = {
            "bootstrap.servers": ask["bootstrap"],
            "group.id": ask["group"],
            "client.id": ask["member"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if ask["assignor"] == "consumer":
            config["group.protocol"] = "consumer"
        else:
            config["partition.assignment.strategy"] = ask["assignor"]
            config["session.timeout.ms"] = ask.get("session_ms", 10_000)
            config["heartbeat.interval.ms"] = 200
        if "instance" in ask:
            config["group.instance.id"] = ask["instance"]
        self._consumer = Consumer(config)
        self._consumer.subscribe(
            [ask.get("pattern") or ask["topic"]],
            on_assign=lambda _, partitions: self._note("assigned", partitions),
            on_revoke=lambda _, partitions: self._note("revoked", partitions),
            on_lost=lambda _, partitions: self._note("lost", partitions),
        )

    def poll(self) -> None:
        """Read for a moment, and commit."""
        records = self._consumer.consume(500, 0.1)
        self.assigned = [(one.topic, one.partition) for one in self._consumer.assignment()]
        read = [record for record in records if record.error() is None]
        self.records += map(row_of, read)
        if read:
            try:
                self._consumer.commit(asynchronous=False)
            except KafkaException as error:
                # The partitions go to another member, which reads these records again.
                self.events.append((name_of(error), []))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _note(self, what: str, partitions: list[TopicPartition]) -> None:
        self.events.append((what, [(one.topic, one.partition) for one in partitions]))


class Writer(threading.Thread):
    """Writes numbers one after the other, with idempotence, until it is told to stop."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(daemon=True)
        self.acked: list[tuple[int, int, int]] = []
        self.refused: list[tuple[int, str]] = []
        self.stopping = threading.Event()
        self._topic, self._partitions = ask["topic"], ask["partitions"]
        self._producer = Producer(
            {
                "bootstrap.servers": ask["bootstrap"],
                "enable.idempotence": True,
                "delivery.timeout.ms": 180_000,
                "linger.ms": 5,
            }
        )

    def run(self) -> None:
        """Write, and hear of it."""
        number = 0
        while not self.stopping.is_set():
            self._producer.produce(
                self._topic,
                str(number),
                partition=number % self._partitions,
                on_delivery=functools.partial(self._delivered, number),
            )
            self._producer.poll(0.004)
            number += 1
        self._producer.flush()

    def _delivered(self, number: int, error: Any, record: Any) -> None:
        if error is None:
            self.acked.append((number, record.partition(), record.offset()))
        else:
            self.refused.append((number, str(error)))


class Calls(Administration, Members):
    """A method for each call."""

    def __init__(self) -> None:
        super().__init__(ConfluentMember)
        self._writers: dict[str, Writer] = {}

    def write(self, ask: Ask) -> None:
        """Begin to write."""
        writer = self._writers[ask["member"]] = Writer(ask)
        writer.start()

    def writer(self, ask: Ask) -> Ask:
        """How far it has come."""
        writer = self._writers[ask["member"]]
        return {"acked": len(writer.acked), "refused": writer.refused}

    def written(self, ask: Ask) -> Ask:
        """Its end, and all that it was told."""
        writer = self._writers.pop(ask["member"])
        writer.stopping.set()
        writer.join()
        return {"acked": writer.acked, "refused": writer.refused}

    def produce(self, ask: Ask) -> Ask:
        """Write records."""
        config = {
            "bootstrap.servers": ask["bootstrap"],
            "compression.type": ask.get("codec", "none"),
            "enable.idempotence": ask.get("idempotent", False),
            "acks": ask.get("acks", -1),
            "linger.ms": 20,
        }
        producer = Producer(config)
        sent: list[Ask] = [{}] * len(ask["records"])
        for number, record in enumerate(ask["records"]):

            def delivered(error: Any, told: Any, number: int = number) -> None:
                if error is not None:
                    sent[number] = {"error": error.name()}
                else:
                    sent[number] = {"partition": told.partition(), "offset": told.offset()}

            given = {name: record[name] for name in ("partition", "timestamp") if name in record}
            producer.produce(
                ask["topic"],
                encoded(record.get("value")),
                key=encoded(record.get("key")),
                headers=headers_of(record),
                on_delivery=delivered,
                **given,
            )
        producer.flush(DEADLINE)
        return {"sent": sent}

    def consume(self, ask: Ask) -> Ask:
        """Read records of one partition."""
        consumer = Consumer({"bootstrap.servers": ask["bootstrap"], "group.id": "reader"})
        consumer.assign([where(ask, 0 if ask["offset"] == "earliest" else ask["offset"])])
        rows: list[Ask] = []
        deadline = time.monotonic() + DEADLINE
        while len(rows) < ask["count"] and time.monotonic() < deadline:
            rows += map(row_of, consumer.consume(ask["count"], 0.2))
        consumer.close()
        return {"records": rows}

    def offsets(self, ask: Ask) -> Ask:
        """The first and the last offset, and that of a time."""
        consumer = Consumer({"bootstrap.servers": ask["bootstrap"], "group.id": "reader"})
        earliest, latest = consumer.get_watermark_offsets(where(ask), timeout=DEADLINE)
        (at,) = consumer.offsets_for_times([where(ask, ask["time"])], timeout=DEADLINE)
        consumer.close()
        return {"earliest": earliest, "latest": latest, "at": at.offset}


if __name__ == "__main__":
    serve(Calls(), name_of)

"""Does what each line of its input says with kafka-python, old or new."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import CommitFailedError

from tests.foreign.python.kafka_python_admin import OLD, Administration, settings, where
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

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}
if not OLD:
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

    ASSIGNORS["cooperative-sticky"] = CooperativeStickyAssignor


def row_of(record: Any) -> Ask:
    """A record as it is told."""
    position = (record.partition, record.offset, record.timestamp)
    return shown(position, record.key, record.value, record.headers)


class KafkaPythonMember(Member):
    """A member of a group."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        config: Ask = {
            **settings(ask),
            "group_id": ask["group"],
            "client_id": ask["member"],
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "session_timeout_ms": ask.get("session_ms", 10_000),
            "heartbeat_interval_ms": 200,
            "partition_assignment_strategy": [ASSIGNORS[ask["assignor"]]],
        }
        if "instance" in ask:
            config["group_instance_id"] = ask["instance"]
        self._consumer = KafkaConsumer(**config)
        listener = _listener(self)
        if "pattern" in ask:
            self._consumer.subscribe(pattern=ask["pattern"], listener=listener)
        else:
            self._consumer.subscribe([ask["topic"]], listener=listener)

    def poll(self) -> None:
        """Read for a moment, and commit."""
        polled = self._consumer.poll(timeout_ms=100)
        self.records += [row_of(record) for records in polled.values() for record in records]
        self.assigned = [(one.topic, one.partition) for one in self._consumer.assignment()]
        if polled:
            try:
                self._consumer.commit()
            except CommitFailedError as error:
                # The partitions are another member's, which reads these records again.
                self.note(type(error).__name__, ())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def note(self, what: str, partitions: Iterable[TopicPartition]) -> None:
        """Remember what happened."""
        self.events.append((what, [(one.topic, one.partition) for one in partitions]))


def _listener(member: KafkaPythonMember) -> ConsumerRebalanceListener:
    class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the client is not typed
        def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            member.note("assigned", assigned)

        def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            member.note("revoked", revoked)

    return Listener()


class Calls(Administration, Members):
    """A method for each call."""

    def __init__(self) -> None:
        super().__init__(KafkaPythonMember)

    def produce(self, ask: Ask) -> Ask:
        """Write records."""
        codec = ask.get("codec", "none")
        config = {
            **settings(ask),
            "compression_type": None if codec == "none" else codec,
            "acks": ask.get("acks", "all"),
            "linger_ms": 20,
        }
        if not OLD:
            config["enable_idempotence"] = ask.get("idempotent", False)
        producer = KafkaProducer(**config)
        futures = [
            producer.send(
                ask["topic"],
                encoded(record.get("value")),
                key=encoded(record.get("key")),
                headers=headers_of(record),
                partition=record.get("partition"),
                timestamp_ms=record.get("timestamp"),
            )
            for record in ask["records"]
        ]
        producer.flush(DEADLINE)
        told = [future.get(DEADLINE) for future in futures]
        producer.close()
        return {"sent": [{"partition": row.partition, "offset": row.offset} for row in told]}

    def consume(self, ask: Ask) -> Ask:
        """Read records of one partition."""
        consumer = KafkaConsumer(**settings(ask), enable_auto_commit=False)
        consumer.assign([where(ask)])
        if ask["offset"] == "earliest":
            consumer.seek_to_beginning(where(ask))
        else:
            consumer.seek(where(ask), ask["offset"])
        rows: list[Ask] = []
        deadline = time.monotonic() + DEADLINE
        while len(rows) < ask["count"] and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                rows += map(row_of, records)
        consumer.close()
        return {"records": rows}

    def offsets(self, ask: Ask) -> Ask:
        """The first and the last offset, and that of a time."""
        consumer = KafkaConsumer(**settings(ask))
        partition = where(ask)
        found = consumer.offsets_for_times({partition: ask["time"]})[partition]
        told = {
            "earliest": consumer.beginning_offsets([partition])[partition],
            "latest": consumer.end_offsets([partition])[partition],
            "at": None if found is None else found.offset,
        }
        consumer.close()
        return told


def name_of(error: BaseException) -> str:
    """The name of an error."""
    return type(error).__name__


if __name__ == "__main__":
    serve(Calls(), name_of)

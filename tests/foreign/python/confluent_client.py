"""Does what each line of its input says with confluent-kafka (librdkafka), old or new."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.foreign.python.lines import (
    DEADLINE,
    Ask,
    Member,
    Members,
    Refused,
    encoded,
    headers_of,
    serve,
    shown,
)


def row_of(record: Any) -> Ask:
    """A record as it is told."""
    position = (record.partition(), record.offset(), record.timestamp()[1])
    return shown(position, record.key(), record.value(), record.headers())


def where(ask: Ask, *more: Any) -> TopicPartition:
    """The partition that a line speaks of."""
    return TopicPartition(ask["topic"], ask["partition"], *more)


def name_of(error: BaseException) -> str:
    """The name of an error, as librdkafka has it."""
    inner = error.args[0] if error.args else None
    return str(inner.name()) if isinstance(inner, KafkaError) else type(error).__name__


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


class Calls(Members):
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

    def create_topic(self, ask: Ask) -> None:
        """A new topic."""
        topic = NewTopic(ask["topic"], ask["partitions"], 1, config=ask["configs"])
        _admin(ask).create_topics([topic])[ask["topic"]].result(DEADLINE)

    def topic(self, ask: Ask) -> Ask:
        """Its partitions and their leaders."""
        topics = _admin(ask).list_topics(timeout=DEADLINE).topics
        if ask["topic"] not in topics:
            raise Refused("UNKNOWN_TOPIC_OR_PART")
        partitions = topics[ask["topic"]].partitions
        return {"partitions": len(partitions), "leaders": [p.leader for p in partitions.values()]}

    def delete_topic(self, ask: Ask) -> None:
        """Its end."""
        _admin(ask).delete_topics([ask["topic"]])[ask["topic"]].result(DEADLINE)

    def grow(self, ask: Ask) -> None:
        """More partitions."""
        wanted = NewPartitions(ask["topic"], ask["partitions"])
        _admin(ask).create_partitions([wanted])[ask["topic"]].result(DEADLINE)

    def configs(self, ask: Ask) -> Ask:
        """The topic's configs."""
        resource = ConfigResource("topic", ask["topic"])
        (told,) = _admin(ask).describe_configs([resource]).values()
        return {"configs": {name: row.value for name, row in told.result(DEADLINE).items()}}

    def set_config(self, ask: Ask) -> None:
        """Set one config, and by the old call reset all others."""
        resource = ConfigResource("topic", ask["topic"], {ask["name"]: ask["value"]})
        (told,) = _admin(ask).alter_configs([resource]).values()
        told.result(DEADLINE)

    def groups(self, ask: Ask) -> Ask:
        """All groups."""
        told = _admin(ask).list_consumer_groups().result(DEADLINE)
        return {"groups": [one.group_id for one in told.valid]}

    def group(self, ask: Ask) -> Ask:
        """One group."""
        (told,) = _admin(ask).describe_consumer_groups([ask["group"]]).values()
        found = told.result(DEADLINE)
        counts = [len(member.assignment.topic_partitions) for member in found.members]
        assignor = found.partition_assignor
        return {"state": found.state.name, "members": counts, "assignor": assignor}

    def delete_group(self, ask: Ask) -> None:
        """Its end."""
        _admin(ask).delete_consumer_groups([ask["group"]])[ask["group"]].result(DEADLINE)

    def committed(self, ask: Ask) -> Ask:
        """What the group has committed."""
        asked = ConsumerGroupTopicPartitions(ask["group"], [where(ask)])
        (told,) = _admin(ask).list_consumer_group_offsets([asked]).values()
        return {"offset": told.result(DEADLINE).topic_partitions[0].offset}

    def set_committed(self, ask: Ask) -> None:
        """Commit for a group."""
        asked = ConsumerGroupTopicPartitions(ask["group"], [where(ask, ask["offset"])])
        (told,) = _admin(ask).alter_consumer_group_offsets([asked]).values()
        told.result(DEADLINE)

    def nodes(self, ask: Ask) -> Ask:
        """How many brokers there are."""
        return {"count": len(_admin(ask).list_topics(timeout=DEADLINE).brokers)}


_ADMINS: list[tuple[str, AdminClient]] = []
"""The last one: what an admin was asked for is lost as soon as nobody holds it."""


def _admin(ask: Ask) -> AdminClient:
    if not _ADMINS or _ADMINS[0][0] != ask["bootstrap"]:
        admin = AdminClient({"bootstrap.servers": ask["bootstrap"]})
        _ADMINS[:] = [(ask["bootstrap"], admin)]
    return _ADMINS[0][1]


if __name__ == "__main__":
    serve(Calls(), name_of)

"""What tests of whole programs do with topics: make, write, count, wait until all is committed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from partstream.aio import Admin
from tests.foreign.groups import SOON
from tests.waiting import until

_PATIENCE = 30.0


class Topics:
    """The topics of one broker, seen by librdkafka; every call blocks."""

    def __init__(self, bootstrap: str) -> None:
        self._settings: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self._admin = AdminClient(self._settings)

    def create(self, *names: str, partitions: int, **configs: str) -> None:
        """Make topics."""
        wanted = {name.replace("_", "."): value for name, value in configs.items()}
        topics = [NewTopic(name, partitions, 1, config=wanted) for name in names]
        for done in self._admin.create_topics(topics).values():
            done.result(_PATIENCE)

    def configs(self, name: str) -> Mapping[str, str | None]:
        """The configs of a topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        (told,) = self._admin.describe_configs([resource]).values()
        return {one.name: one.value for one in told.result(_PATIENCE).values()}

    def write(self, name: str, records: Iterable[tuple[str | None, str, int]]) -> None:
        """Write keys, values and timestamps; 0 stands for now."""
        producer = Producer(self._settings)
        for key, value, timestamp in records:
            producer.produce(name, value, key, timestamp=timestamp)
            producer.poll(0)
        assert producer.flush(_PATIENCE) == 0

    def ends(self, name: str) -> dict[int, int]:
        """The end of each partition that has records."""
        consumer = Consumer({**self._settings, "group.id": "ends"})
        try:
            found = consumer.list_topics(name, timeout=_PATIENCE).topics[name].partitions
            ends = {
                number: consumer.get_watermark_offsets(
                    TopicPartition(name, number), timeout=_PATIENCE
                )[1]
                for number in found
            }
            return {number: end for number, end in ends.items() if end}
        finally:
            consumer.close()

    def records(self, name: str) -> list[Message]:
        """All that a topic holds, up to where it ends now."""
        ends = self.ends(name)
        consumer = Consumer({**self._settings, "group.id": "reader", "enable.partition.eof": True})
        found = []
        try:
            consumer.assign([TopicPartition(name, number, 0) for number in ends])
            left, deadline = set(ends), time.monotonic() + _PATIENCE
            while left:
                assert time.monotonic() < deadline, f"no end of {name} {left}"
                for message in consumer.consume(500, 0.1):
                    fault = message.error()
                    if fault is None:
                        found.append(message)
                    elif fault.name() == "_PARTITION_EOF":
                        left.discard(message.partition() or 0)
                    else:
                        raise KafkaException(fault)
        finally:
            consumer.close()
        return found

    def has_committed(self, group: str, *names: str) -> bool:
        """Whether a group has committed the ends of topics."""
        asked = [ConsumerGroupTopicPartitions(group)]
        (told,) = self._admin.list_consumer_group_offsets(asked).values()
        offsets = {
            (one.topic, one.partition): one.offset
            for one in told.result(_PATIENCE).topic_partitions
        }
        return all(
            offsets.get((name, number)) == end
            for name in names
            for number, end in self.ends(name).items()
        )


async def compacted(topics: Topics, url: str, namespace: str, *names: str) -> None:
    """Clean topics until nothing is left of them but the last record of every key."""

    async def is_small(name: str) -> bool:
        await admin.compact_topic(name)
        records = await asyncio.to_thread(topics.records, name)
        return len(records) == len({(record.partition(), record.key()) for record in records})

    async with Admin(url, namespace=namespace) as admin:
        for name in names:
            await admin.alter_config(name, {"segment.ms": 100})  # or the last one is left alone
            await until(functools.partial(is_small, name), within=SOON, every=0.2)

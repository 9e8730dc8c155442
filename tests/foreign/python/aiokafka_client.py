"""Does what each line of its input says with aiokafka, old or new."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka import admin as api  # the old one lacks some of it
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, for_code

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

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}

LOOP = asyncio.new_event_loop()


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    """Run something on the loop, which lives in a thread of its own."""
    return asyncio.run_coroutine_threadsafe(work, LOOP).result()


def row_of(record: Any) -> Ask:
    """A record as it is told."""
    position = (record.partition, record.offset, record.timestamp)
    return shown(position, record.key, record.value, record.headers)


def where(ask: Ask) -> TopicPartition:
    """The partition that a line speaks of."""
    return TopicPartition(ask["topic"], ask["partition"])


class AiokafkaMember(Member):
    """A member of a group."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._consumer = wait(self._join(ask))

    async def _join(self, ask: Ask) -> AIOKafkaConsumer:
        config: Ask = {
            "bootstrap_servers": ask["bootstrap"],
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
        consumer = AIOKafkaConsumer(**config)
        listener = _listener(self)
        if "pattern" in ask:
            consumer.subscribe(pattern=ask["pattern"], listener=listener)
        else:
            consumer.subscribe([ask["topic"]], listener=listener)
        await consumer.start()
        return consumer

    def poll(self) -> None:
        """Read for a moment, and commit."""
        wait(self._poll())

    async def _poll(self) -> None:
        polled = await self._consumer.getmany(timeout_ms=100)
        self.records += [row_of(record) for records in polled.values() for record in records]
        self.assigned = [(one.topic, one.partition) for one in self._consumer.assignment()]
        if polled:
            try:
                await self._consumer.commit()
            except CommitFailedError as error:
                # The partitions are another member's, which reads these records again.
                self.note(type(error).__name__, ())

    def close(self) -> None:
        """Leave the group."""
        wait(self._consumer.stop())

    def note(self, what: str, partitions: Iterable[TopicPartition]) -> None:
        """Remember what happened."""
        self.events.append((what, [(one.topic, one.partition) for one in partitions]))


def _listener(member: AiokafkaMember) -> ConsumerRebalanceListener:
    class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the client is not typed
        def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            member.note("assigned", assigned)

        def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            member.note("revoked", revoked)

    return Listener()


class Calls(Members):
    """A method for each call."""

    def __init__(self) -> None:
        super().__init__(AiokafkaMember)

    def produce(self, ask: Ask) -> Ask:
        """Write records."""
        return wait(_produce(ask))  # type: ignore[no-any-return] # what a coroutine gives

    def consume(self, ask: Ask) -> Ask:
        """Read records of one partition."""
        return wait(_consume(ask))  # type: ignore[no-any-return] # what a coroutine gives

    def offsets(self, ask: Ask) -> Ask:
        """The first and the last offset, and that of a time."""
        return wait(_offsets(ask))  # type: ignore[no-any-return] # what a coroutine gives

    def create_topic(self, ask: Ask) -> None:
        """A new topic."""
        topic = NewTopic(ask["topic"], ask["partitions"], 1, topic_configs=ask["configs"])
        told = _with_admin(ask, lambda admin: admin.create_topics([topic]))
        _raise(told.topic_errors[0][1])

    def topic(self, ask: Ask) -> Ask:
        """Its partitions and their leaders."""
        told = _with_admin(ask, lambda admin: admin.describe_topics())
        found = [one for one in told if one["topic"] == ask["topic"]]
        if not found:
            raise Refused("UnknownTopicOrPartitionError")
        partitions = found[0]["partitions"]
        return {"partitions": len(partitions), "leaders": [one["leader"] for one in partitions]}

    def delete_topic(self, ask: Ask) -> None:
        """Its end."""
        told = _with_admin(ask, lambda admin: admin.delete_topics([ask["topic"]]))
        _raise(told.topic_error_codes[0][1])

    def grow(self, ask: Ask) -> None:
        """More partitions."""
        wanted = {ask["topic"]: NewPartitions(ask["partitions"])}
        told = _with_admin(ask, lambda admin: admin.create_partitions(wanted))
        _raise(told.topic_errors[0][1])

    def configs(self, ask: Ask) -> Ask:
        """The topic's configs."""
        resource = ConfigResource(ConfigResourceType.TOPIC, ask["topic"])
        (told,) = _with_admin(ask, lambda admin: admin.describe_configs([resource]))
        ((code, _, _, _, rows),) = told.resources
        _raise(code)
        return {"configs": {row[0]: row[1] for row in rows}}

    def set_config(self, ask: Ask) -> None:
        """Set one config, and by the old call reset all others."""
        set_to = {ask["name"]: ask["value"]}
        resource = ConfigResource(ConfigResourceType.TOPIC, ask["topic"], set_to)
        (told,) = _with_admin(ask, lambda admin: admin.alter_configs([resource]))
        ((code, *_),) = told.resources
        _raise(code)

    def delete_records(self, ask: Ask) -> None:
        """Drop what stands before an offset."""
        before = {where(ask): api.RecordsToDelete(ask["before"])}
        _with_admin(ask, lambda admin: admin.delete_records(before))

    def groups(self, ask: Ask) -> Ask:
        """All groups."""
        told = _with_admin(ask, lambda admin: admin.list_consumer_groups())
        return {"groups": [row[0] for row in told]}

    def group(self, ask: Ask) -> Ask:
        """One group, without what its members own: they are bytes here."""
        (told,) = _with_admin(ask, lambda admin: admin.describe_consumer_groups([ask["group"]]))
        row = told.groups[0]
        return {"state": row[2], "members": [0 for _ in row[5]], "assignor": row[4]}

    def committed(self, ask: Ask) -> Ask:
        """What the group has committed."""
        told = _with_admin(ask, lambda admin: admin.list_consumer_group_offsets(ask["group"]))
        return {"offset": told[where(ask)].offset if where(ask) in told else None}

    def set_committed(self, ask: Ask) -> None:
        """Commit for a group."""
        wait(_set_committed(ask))

    def nodes(self, ask: Ask) -> Ask:
        """How many brokers there are."""
        return {"count": len(_with_admin(ask, lambda admin: admin.describe_cluster())["brokers"])}


async def _produce(ask: Ask) -> Ask:
    codec, acks = ask.get("codec", "none"), ask.get("acks", "all")
    producer = AIOKafkaProducer(
        bootstrap_servers=ask["bootstrap"],
        compression_type=None if codec == "none" else codec,
        acks=acks,
        enable_idempotence=ask.get("idempotent", False),
        linger_ms=20,
    )
    await producer.start()
    try:
        futures = [
            await producer.send(
                ask["topic"],
                encoded(record.get("value")),
                key=encoded(record.get("key")),
                headers=headers_of(record),
                partition=record.get("partition"),
                timestamp_ms=record.get("timestamp"),
            )
            for record in ask["records"]
        ]
        told = await asyncio.wait_for(asyncio.gather(*futures), DEADLINE)
    finally:
        await producer.stop()
    if acks == 0:
        return {"sent": []}
    return {"sent": [{"partition": row.partition, "offset": row.offset} for row in told]}


async def _consume(ask: Ask) -> Ask:
    consumer = AIOKafkaConsumer(bootstrap_servers=ask["bootstrap"])
    await consumer.start()
    try:
        consumer.assign([where(ask)])
        if ask["offset"] == "earliest":
            await consumer.seek_to_beginning(where(ask))
        else:
            consumer.seek(where(ask), ask["offset"])
        rows: list[Ask] = []
        async with asyncio.timeout(DEADLINE):
            while len(rows) < ask["count"]:
                rows.append(row_of(await consumer.getone()))
    finally:
        await consumer.stop()
    return {"records": rows}


async def _offsets(ask: Ask) -> Ask:
    consumer = AIOKafkaConsumer(bootstrap_servers=ask["bootstrap"])
    await consumer.start()
    try:
        partition = where(ask)
        found = (await consumer.offsets_for_times({partition: ask["time"]}))[partition]
        return {
            "earliest": (await consumer.beginning_offsets([partition]))[partition],
            "latest": (await consumer.end_offsets([partition]))[partition],
            "at": None if found is None else found.offset,
        }
    finally:
        await consumer.stop()


async def _set_committed(ask: Ask) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=ask["bootstrap"], group_id=ask["group"], enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([where(ask)])
        await consumer.commit({where(ask): ask["offset"]})
    finally:
        await consumer.stop()


def _with_admin(ask: Ask, call: Any) -> Any:
    async def work() -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=ask["bootstrap"])
        await admin.start()
        try:
            return await call(admin)
        finally:
            await admin.close()

    return wait(work())


def _raise(code: int) -> None:
    if code:
        raise Refused(for_code(code).__name__)


def name_of(error: BaseException) -> str:
    """The name of an error."""
    return type(error).__name__


if __name__ == "__main__":
    threading.Thread(target=LOOP.run_forever, daemon=True).start()
    serve(Calls(), name_of)

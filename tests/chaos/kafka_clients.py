"""Users of librdkafka's clients, each in a thread of its own: they come through a gateway."""

from __future__ import annotations

import logging
import random
import sys
import time
from dataclasses import dataclass
from threading import Event
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from tests.chaos.history import (
    Acked,
    Assigned,
    Began,
    Closed,
    CommitBegun,
    CommitEnded,
    Crashed,
    Failed,
    Gone,
    Journal,
    Moved,
    Owning,
    Read,
    Rewound,
    Sent,
    Trouble,
    now,
)
from tests.chaos.names import GROUP, TOPIC
from tests.chaos.plan import Client

_ANY = -1
"""RD_KAFKA_PARTITION_UA: the partitioner chooses."""
_FLUSH_S = 60.0
_ASK_S = 5.0
_METADATA = b"CGMDv2:"
"""What begins librdkafka's consumer group metadata."""
_REFUSED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._NO_OFFSET,
    KafkaError._ASSIGNMENT_LOST,
}
"""Answers to a commit that say that nothing was committed."""
_AT_ONCE = 50
"""So many records a user works on before it looks at anything else."""
_WAITING = 1_000
"""So many records may wait in a producer; without a limit they would grow old there."""
_COMMON = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "topic.metadata.refresh.interval.ms": 2_000,
}


@dataclass(slots=True)
class Stage:
    """What the clients of one worker share."""

    bootstrap: str
    partitions: int
    journal: Journal
    finishing: Event
    """Producers are to send their last records."""
    draining: Event
    """Members are to end."""


class Sender:
    """A producer and its user."""

    def __init__(self, stage: Stage, name: str, client: Client, rng: random.Random) -> None:
        self._stage, self._name, self._rng = stage, name, rng
        self._manner = client.manner
        self.over = Event()
        """This one is to end, whatever the others do."""
        self._sent = 0
        self._producer = Producer(
            {
                **_COMMON,
                "bootstrap.servers": stage.bootstrap,
                "client.id": name,
                "enable.idempotence": True,
                "queue.buffering.max.messages": _WAITING,
                "retry.backoff.ms": 50,
                "error_cb": self._failed,
                "logger": logging.getLogger(name),
                **client.config,
            }
        )

    def run(self) -> None:
        """Send until the end is called; then a last record to each partition."""
        stage = self._stage
        stage.journal.write(Began(now(), self._name, "producer", True))
        try:
            while not (self.over.is_set() or stage.finishing.is_set()):
                for _ in range(self._rng.randint(1, self._manner["burst"])):
                    self._send(f"kafka{self._rng.randrange(self._manner['keys'])}")
                self._producer.poll(self._rng.uniform(0.2, 1.8) * self._manner["pause"])
            if not self.over.is_set():
                for index in range(stage.partitions):
                    self._send(f"kafka-last{index}", index)
            self._producer.flush(_FLUSH_S)
        finally:
            stage.journal.write(Closed(now(), self._name))

    def _send(self, key: str, partition: int = _ANY) -> None:
        self._sent += 1
        value = f"{self._name}/{self._sent}/{'x' * self._rng.randint(0, self._manner['size'])}"
        self._stage.journal.write(Sent(now(), self._name, key, value))
        while True:
            try:
                self._producer.produce(TOPIC, value, key, partition, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        raw = message.value()
        assert raw is not None
        value, journal = raw.decode(), self._stage.journal
        partition, offset = message.partition(), message.offset()
        if error is None:
            assert partition is not None
            # Of a batch that turned out to be there already librdkafka may not know it.
            offset = -1 if offset is None else offset
            journal.write(Acked(now(), self._name, value, partition, offset))
        else:
            journal.write(Failed(now(), self._name, value, error.name(), certain=False))

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._stage.journal.write(Crashed(now(), self._name, str(error)))
        else:
            self._stage.journal.write(Trouble(now(), self._name, "error", str(error)))


class Member:
    """A member of the group (KIP-848) or of the classic one, and its user."""

    def __init__(self, stage: Stage, name: str, client: Client, rng: random.Random) -> None:
        self._stage, self._name, self._rng = stage, name, rng
        self._manner = client.manner
        self.over = Event()
        self._commits = 0
        self._read: dict[int, TopicPartition] = {}
        """Partition -> the place after what was read last. It has the epoch of that, without which
        nobody who goes on from there could tell that it was taken back."""
        self._next: dict[int, int] = {}
        """Partition -> the offset to come, if that is known."""
        self._noted: tuple[int, list[int]] = (-1, [])
        self._group = client.config.get("group.id", GROUP)
        self._instance: str | None = client.config.get("group.instance.id")
        self._consumer = Consumer(
            {
                **_COMMON,
                "bootstrap.servers": stage.bootstrap,
                "client.id": name,
                "group.id": GROUP,
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "error_cb": self._failed,
                "logger": logging.getLogger(name),
                **client.config,
            }
        )

    def run(self) -> None:
        """Read and commit until the end is called."""
        self._stage.journal.write(Began(now(), self._name, "member", group=self._group))
        try:
            self._consumer.subscribe(
                [TOPIC], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            batches = 0
            while not (self.over.is_set() or self._stage.draining.is_set()):
                got = self._turn()
                batches += got
                if batches and (not got or batches >= self._manner["commit_every"]):
                    batches = 0
                    self._commit()
        finally:
            self._consumer.close()
            self._stage.journal.write(Closed(now(), self._name))

    def _turn(self) -> bool:
        # One by one: `consume` may hand out what it had gathered before the partition was given up,
        # or its offset called in question, and is again what comes then.
        message, count = self._consumer.poll(0.2), 0
        while message is not None:
            error = message.error()
            if error is None:
                self._note(message)
            else:
                self._failed(error)
            count += 1
            message = self._consumer.poll(0) if count < _AT_ONCE else None
        self._note_ownership()
        if count and not self._stage.finishing.is_set():
            time.sleep(self._rng.random() * self._manner["work"])
        return bool(count)

    def _note(self, message: Message) -> None:
        value, partition, offset = message.value(), message.partition(), message.offset()
        assert value is not None
        assert partition is not None
        assert offset is not None
        at, journal = now(), self._stage.journal
        if offset < self._next.get(partition, 0):
            journal.write(Rewound(at, self._name, partition, offset))
        journal.write(Read(at, self._name, partition, offset, [value.decode()]))
        self._next[partition] = offset + 1
        epoch = message.leader_epoch()
        self._read[partition] = TopicPartition(TOPIC, partition, offset + 1, leader_epoch=epoch)

    def _note_ownership(self) -> None:
        """What it owns in which generation. It gives partitions up before it takes part in the
        next one, and not while this thread is here.
        """
        generation = generation_of(self._consumer.consumer_group_metadata())
        owned = sorted(row.partition for row in self._consumer.assignment())
        # It has none before it has joined. Fenced (KIP-848) it has the epoch 0 of those who are to
        # join, and still what it owned, until this thread hears that it has lost that.
        if generation <= 0 or self._noted == (generation, owned):
            return
        self._noted = (generation, owned)
        # A static member hands on what it owns to whoever follows it, in the same generation; and
        # one that joins again follows itself.
        member = self._instance or self._consumer.memberid()
        self._stage.journal.write(Owning(now(), self._name, member, generation, owned))

    def _commit(self) -> None:
        if not self._read:
            return
        self._commits += 1
        number, at = self._commits, now()
        offsets = list(self._read.values())
        journal = self._stage.journal
        journal.write(
            *(CommitBegun(at, self._name, number, row.partition, row.offset) for row in offsets)
        )
        outcome, text = "ok", ""
        try:
            rows = self._consumer.commit(offsets=offsets, asynchronous=False)
            errors = [row.error for row in rows or () if row.error is not None]
            if errors:
                outcome, text = _outcome(errors[0]), str(errors[0])
        except KafkaException as error:
            outcome, text = _outcome(error.args[0]), str(error)
        journal.write(CommitEnded(now(), self._name, number, outcome, text))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        journal = self._stage.journal
        for row in partitions:
            try:
                (found,) = consumer.committed([row], timeout=_ASK_S)
            except KafkaException as error:
                journal.write(
                    Trouble(now(), self._name, "committed", str(error)),
                    Moved(now(), self._name, row.partition, -1),
                )
            else:
                at = -1 if found.offset == OFFSET_INVALID else found.offset
                journal.write(Assigned(now(), self._name, row.partition, at))
                self._next[row.partition] = at

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit()
        self._lost(_, partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for row in partitions:
            self._read.pop(row.partition, None)
            self._next.pop(row.partition, None)
            self._stage.journal.write(Gone(now(), self._name, row.partition))

    def _failed(self, error: KafkaError) -> None:
        # What is fatal to a consumer comes as a message of this code, and does not say that it is.
        is_fatal = error.code() == KafkaError._FATAL
        # One that is over stands beside its successor, which fences it if both are one instance.
        if is_fatal and not self.over.is_set():
            self._stage.journal.write(Crashed(now(), self._name, str(error)))
        else:
            self._stage.journal.write(Trouble(now(), self._name, "error", str(error)))


def generation_of(metadata: bytes) -> int:
    """The generation in a consumer's group metadata, or its member epoch (KIP-848).

    Python's binding offers it in no other way. It is an int32 in the machine's byte order, as
    librdkafka writes it for itself to read; -1 before the consumer has joined.
    """
    assert metadata.startswith(_METADATA), metadata
    at = len(_METADATA)
    return int.from_bytes(metadata[at : at + 4], sys.byteorder, signed=True)


def _outcome(error: Any) -> str:
    return "failed" if error.code() in _REFUSED else "unknown"

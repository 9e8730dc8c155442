"""Where the records of one topic go: from key to partition, and into that partition's batch.

`append` is the one function that runs for every record, on the thread that sends: it is written
out flat, since each further call would cost a tenth of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from time import time_ns
from typing import Any

from partstream.client.accumulator import Accumulator, Queue
from partstream.client.delivery import Delivery
from partstream.config.common import INT64_MAX
from partstream.config.numbers import is_whole
from partstream.config.producer import ProducerConfig
from partstream.engine.partition import Topic
from partstream.errors import (
    InvalidRecord,
    InvalidTimestamp,
    SerializationError,
    UnknownTopicOrPartition,
)
from partstream.model import TopicPartition
from partstream.partitioners import KEYLESS_WHEN_EMPTY, Sticky, get_partitioner
from partstream.records.codec import HeaderList, unfit
from partstream.records.compression import codec_of

_KEYS_REMEMBERED = 16_384
_NO_HEADERS: HeaderList = []

Headers = Iterable[tuple[str, bytes | None]]


class Route:
    """The queues of one topic. Used by any thread; changed by the client's loop only."""

    def __init__(
        self,
        topic: Topic,
        config: ProducerConfig,
        accumulator: Accumulator,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self.name = topic.name
        self.queues: list[Queue] = []
        self._accumulator = accumulator
        self._compression = config.compression_type
        self._level = config.compression_level
        self._custom = config.partitioner
        self._key_serializer = config.key_serializer
        self._value_serializer = config.value_serializer
        self._serializes = (config.key_serializer or config.value_serializer) is not None
        self._sticky = Sticky(rng)
        self._by_key: dict[bytes | None, Queue] = {}
        self.follow(topic)

    def append(
        self,
        value: Any,
        key: Any,
        headers: Headers | None,
        partition: int | None,
        timestamp_ms: int | None,
    ) -> Delivery | None:
        """Put a record into its batch; None if the buffer is full.

        `headers` are gone through once for each call: give a list if it may have to be repeated.

        Raises:
            SerializationError, RecordTooLarge, InvalidTimestamp, UnknownTopicOrPartition.
            InvalidRecord: the topic is compacted, and the record has no key.
            ClosedClient: the producer was closed meanwhile.
        """
        if self._serializes:
            key, value = self._serialize(key, value)
        if partition is None:
            try:
                queue = self._by_key[key]
            except (KeyError, TypeError):
                queue = self._choose(key)
        else:
            queue = self._given(partition, key)
        try:
            if timestamp_ms is None:
                timestamp_ms = time_ns() // 1_000_000
            elif type(timestamp_ms) is not int and not is_whole(timestamp_ms):
                raise TypeError(timestamp_ms)  # the C codec would cut a float
            elif not 0 <= timestamp_ms <= INT64_MAX:
                raise InvalidTimestamp(f"timestamp_ms={timestamp_ms}: expected 0 to 2**63 - 1")
            if headers is None:
                headers = _NO_HEADERS
            elif type(headers) is not list:
                headers = header_list(headers)
            with queue.lock:
                batch = queue.open
                if batch is not None:
                    index = batch.count
                    if batch.append(index, timestamp_ms, key, value, headers) is not None:
                        batch.count = index + 1
                        return Delivery(batch.outcome, index, timestamp_ms)
            return self._accumulator.begin_batch(queue, timestamp_ms, key, value, headers)
        except (TypeError, ValueError, OverflowError, BufferError) as error:
            raise unfit(timestamp_ms, key, value, headers, error) from error

    def queue(self, partition: int) -> Queue:
        """The queue of one partition.

        Raises:
            UnknownTopicOrPartition: there is none of that number.
        """
        if (type(partition) is not int and not is_whole(partition)) or not (
            0 <= partition < len(self.queues)
        ):
            raise UnknownTopicOrPartition(
                f"topic {self.name!r} has no partition {partition!r}, it has {len(self.queues)}"
            )
        return self.queues[partition]

    def _given(self, partition: int, key: Any) -> Queue:
        if key is None and self._compacts:
            raise self._keyless()
        return self.queue(partition)

    def follow(self, topic: Topic) -> None:
        """Take in new partitions, and what the topic's configs say of batches.

        A topic that was deleted and made again may have another hash, and fewer partitions.
        """
        self._hash = get_partitioner(topic.partitioner)
        self._compacts = topic.config.compacts
        self._empty_is_none = topic.partitioner in KEYLESS_WHEN_EMPTY
        stored = topic.config.compression_type
        name = {"producer": self._compression, "uncompressed": "none"}.get(stored, stored)
        codec, limit = codec_of(name), topic.config.max_message_bytes
        # A broker leaves alone what comes in the codec that the topic asks for.
        level = self._level if name == self._compression else topic.config.compression_level
        queues = self.queues[: len(topic.partitions)]
        for queue in queues:
            queue.follow(codec, level, limit)
        for index in range(len(queues), len(topic.partitions)):
            where = TopicPartition(topic.name, index)
            queues.append(Queue(where, codec=codec, level=level, limit=limit))
        # Replaced whole: a thread that is choosing a partition sees the old list or the new one.
        self.queues = queues
        self._by_key = {}

    def batch_ended(self, queue: Queue) -> None:
        """Records without a key move on to another partition, if that was theirs."""
        if queue.where.partition == self._sticky.partition(len(self.queues)):
            self._sticky.on_new_batch(len(self.queues))

    def _choose(self, key: Any) -> Queue:
        """The queue of a key that was not seen lately, or of a record without one."""
        queues = self.queues
        if key is None and self._compacts:
            raise self._keyless()
        if self._custom is not None:
            return self.queue(self._custom(key, len(queues)))
        if key is None or (not key and self._empty_is_none):
            return queues[self._sticky.partition(len(queues))]
        if isinstance(key, bytearray | memoryview):
            key = bytes(key)
        elif not isinstance(key, bytes):
            raise SerializationError(
                f"key must be bytes or None, not {type(key).__name__}: {key!r:.100} "
                "(set key_serializer to send other things)"
            )
        queue = queues[self._hash(key, len(queues))]
        remembered = self._by_key
        if len(remembered) >= _KEYS_REMEMBERED:
            remembered.clear()
        if queues is self.queues:
            remembered[key] = queue
        return queue

    def _keyless(self) -> InvalidRecord:
        return InvalidRecord(f"topic {self.name!r} is compacted: each of its records needs a key")

    def _serialize(self, key: Any, value: Any) -> tuple[Any, Any]:
        """None stays None, as it does where it is read: no serializer sees it."""
        if self._key_serializer is not None and key is not None:
            key = _serialize(self._key_serializer, key, "key", self.name)
        if self._value_serializer is not None and value is not None:
            value = _serialize(self._value_serializer, value, "value", self.name)
        return key, value


def header_list(headers: Any) -> HeaderList:
    """Headers as a list, which can be gone through again if the record has to wait.

    Raises:
        SerializationError: they are no pairs at all.
    """
    try:
        return list(headers)
    except TypeError as error:
        raise SerializationError(
            f"headers must be a list of pairs, not {type(headers).__name__}: {headers!r:.100}"
        ) from error


def _serialize(serializer: Callable[[Any], bytes | None], given: Any, what: str, topic: str) -> Any:
    try:
        return serializer(given)
    except Exception as error:
        raise SerializationError(
            f"the {what} {given!r:.100} for topic {topic!r} cannot be serialized: {error!r}"
        ) from error

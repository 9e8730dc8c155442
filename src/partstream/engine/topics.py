"""Topics: made, known, changed and deleted.

What is known of all topics is one hash in one slot; their partitions are everywhere. So a topic is
made in three steps: a note of what is going to be, the partitions, then the row that makes them
reachable. Deletion goes the other way round. Whoever sweeps finishes what a crash left half done.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from partstream.config.names import validate_partitions, validate_topic_name
from partstream.config.topic import TopicConfig
from partstream.engine.partition import (
    Partition,
    Topic,
    decode_topic,
    encode_topic,
    make_partition,
)
from partstream.errors import (
    InvalidPartitions,
    TopicAlreadyExists,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from partstream.store.bells import Watch
from partstream.store.scripts import Script
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_CREATE = Script("log/create")
_CONFIGURE = Script("log/configure")
_DELETE = Script("log/delete")
_PUBLISH = Script("topic/publish")
_UNPUBLISH = Script("topic/unpublish")

_AT_ONCE = 64
"""Partitions that are made, changed or deleted at the same time."""
ABANDONED_MS = 300_000
"""A topic that has been in the making for this long is undone by the sweep."""


class Topics:
    """The topics of a namespace, with a memory of those that were asked for.

    The memory is dropped when the metadata bell rings, and after `max_age_ms` in any case.
    """

    def __init__(self, store: Store, *, max_age_ms: int = 300_000) -> None:
        self._store = store
        self._max_age = max_age_ms / 1000
        self._known: dict[str, Topic] = {}
        self._known_since = 0.0
        self._generation = 0
        self._watch: Watch | None = None
        self._opening: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[], None]] = []

    async def get(self, name: str, *, fresh: bool = False) -> Topic:
        """One topic; `fresh` reads it again.

        Raises:
            InvalidTopic: Kafka would refuse the name.
            UnknownTopicOrPartition: there is no such topic.
        """
        validate_topic_name(name)
        await self._listen()
        self._age()
        topic = None if fresh else self._known.get(name)
        if topic is None:
            generation = self._generation
            meta = self._store.keys.meta
            row = await self._store.execute("HGET", meta.topics, name, key=meta.topics)
            if row is None:
                self._known.pop(name, None)
                raise UnknownTopicOrPartition(f"topic {name!r} does not exist")
            topic = decode_topic(self._store.keys, name, row)
            if generation == self._generation:
                self._known[name] = topic
        return topic

    def known(self, name: str) -> Topic | None:
        """The topic if it is in memory and not too old, without asking."""
        self._age()
        return self._known.get(name)

    async def all(self) -> dict[str, Topic]:
        """Every topic by name, in order."""
        await self._listen()
        meta = self._store.keys.meta
        generation = self._generation
        rows = await self._store.execute("HGETALL", meta.topics, key=meta.topics)
        pairs = zip(rows[::2], rows[1::2], strict=True)
        topics = {
            name.decode(): self._decode(name.decode(), row)
            for name, row in sorted(pairs, key=lambda pair: bytes(pair[0]))
        }
        if generation == self._generation:
            self._known = dict(topics)
        return topics

    async def by_id(self, topic_id: str) -> Topic:
        """The topic of that id.

        Raises:
            UnknownTopicId: there is none (any more).
        """
        self._age()
        for topics in (self._known, await self.all()):
            for topic in topics.values():
                if topic.id == topic_id:
                    return topic
        raise UnknownTopicId(f"no topic has the id {topic_id}")

    async def create(
        self, name: str, partitions: int, config: Mapping[str, object] | TopicConfig | None = None
    ) -> Topic:
        """Make a topic.

        Raises:
            InvalidTopic, InvalidPartitions, InvalidConfig: as they say; nothing was made.
            TopicAlreadyExists: there is one of that name.
        """
        validate_topic_name(name)
        validate_partitions(partitions)
        if not isinstance(config, TopicConfig):
            config = TopicConfig.from_overrides(config or {})
        meta = self._store.keys.meta
        if await self._store.execute("HEXISTS", meta.topics, name, key=meta.topics):
            raise TopicAlreadyExists(f"Topic {name!r} already exists.")
        topic_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        made = [make_partition(self._store.keys, name, topic_id, i) for i in range(partitions)]
        note = await self._note("making", name, made)
        await self._store.execute("HSET", meta.pending, topic_id, note, key=meta.pending)
        await _gather(self._make(partition, config) for partition in made)
        row = encode_topic(topic_id, partitions, config, 1)
        try:
            await self._publish(name, topic_id, row, b"")
        except TopicAlreadyExists:
            await self._unmake(topic_id, made)
            raise
        return decode_topic(self._store.keys, name, row)

    async def grow(self, name: str, partitions: int) -> Topic:
        """Add partitions until there are `partitions` (CreatePartitions).

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidPartitions: it has as many or more already.
        """
        validate_partitions(partitions)
        while True:
            topic = await self.get(name, fresh=True)
            count = len(topic.partitions)
            if partitions <= count:
                raise InvalidPartitions(
                    f"partitions={partitions}: topic {name!r} has {count} already, and can only "
                    "grow"
                )
            keys = self._store.keys
            made = [make_partition(keys, name, topic.id, i) for i in range(count, partitions)]
            await _gather(self._make(partition, topic.config) for partition in made)
            row = encode_topic(topic.id, partitions, topic.config, topic.version + 1)
            if await self._publish(name, topic.id, row, topic.row):
                return decode_topic(keys, name, row)
            # Somebody changed it meanwhile: look again. The partitions made are kept.

    async def alter(self, name: str, changes: Mapping[str, object | None]) -> Topic:
        """Change configs; None puts one back to its default (IncrementalAlterConfigs).

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidConfig: a name or value is refused; nothing was changed.
        """
        while True:
            topic = await self.get(name, fresh=True)
            config = topic.config.altered(changes)
            row = encode_topic(topic.id, len(topic.partitions), config, topic.version + 1)
            if await self._publish(name, topic.id, row, topic.row):
                changed = decode_topic(self._store.keys, name, row)
                await self.configure(changed)
                return changed

    async def configure(self, topic: Topic) -> None:
        """Give every partition its topic's configs; older ones than it has do no harm."""
        fields = [text for pair in topic.config.partition_fields().items() for text in pair]
        await _gather(
            self._store.run(
                _CONFIGURE,
                [partition.keys.state],
                [topic.id, topic.version, *fields],
                idempotent=True,
            )
            for partition in topic.partitions
        )

    async def delete(self, name: str) -> None:
        """Delete a topic and its records.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
        """
        meta = self._store.keys.meta
        while True:
            topic = await self.get(name, fresh=True)
            note = await self._note("deleting", name, topic.partitions)
            if await self._store.run(
                _UNPUBLISH,
                [meta.topics, meta.pending],
                [name, topic.row, topic.id, note, meta.bell],
            ):
                break
        self._forget()
        await self._store.confirm(meta.topics)
        await self._unmake(topic.id, topic.partitions)

    async def finish_pending(self, *, now_ms: int) -> int:
        """Finish deletions, and undo creations that a crash has left half done; says how many."""
        meta = self._store.keys.meta
        rows = await self._store.execute("HGETALL", meta.pending, key=meta.pending)
        finished = 0
        for topic_id, row in zip(rows[::2], rows[1::2], strict=True):
            note = json.loads(row)
            if note["what"] == "making" and now_ms - note["since"] < ABANDONED_MS:
                continue
            partitions = [
                make_partition(self._store.keys, note["name"], topic_id.decode(), index)
                for index in range(note["partitions"])
            ]
            if note["what"] == "making":
                # From here on it cannot be published any more.
                await self._store.execute("HDEL", meta.pending, topic_id, key=meta.pending)
                await self._store.execute(
                    "HSET",
                    meta.pending,
                    topic_id,
                    json.dumps({**note, "what": "deleting"}),
                    key=meta.pending,
                )
            _logger.info("finishing the deletion of topic %s (%s)", note["name"], topic_id.decode())
            await self._unmake(topic_id.decode(), partitions)
            finished += 1
        return finished

    async def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever topics may have changed; returns what ends it."""
        await self._listen()
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def close(self) -> None:
        """Stop listening."""
        if self._opening is not None:
            self._opening.cancel()
        if self._watch is not None:
            self._watch.cancel()

    async def now_ms(self) -> int:
        """The server's clock."""
        key = self._store.keys.meta.topics
        seconds, micros = await self._store.execute("TIME", key=key)
        return int(seconds) * 1000 + int(micros) // 1000

    async def _make(self, partition: Partition, config: TopicConfig) -> None:
        fields = [text for pair in config.partition_fields().items() for text in pair]
        await self._store.run(
            _CREATE,
            partition.keys.all,
            [partition.topic_id, partition.topic, partition.index, *fields],
            idempotent=True,
        )
        await self._store.confirm(partition.keys.log)

    async def _publish(self, name: str, topic_id: str, row: bytes, old: bytes) -> bool:
        """Replace a topic's row; False if it is not `old` any more."""
        meta = self._store.keys.meta
        published = await self._store.run(
            _PUBLISH, [meta.topics, meta.pending], [name, topic_id, row, old, meta.bell]
        )
        self._forget()
        await self._store.confirm(meta.topics)
        return bool(published)

    async def _unmake(self, topic_id: str, partitions: Iterable[Partition]) -> None:
        await _gather(
            self._store.run(
                _DELETE, partition.keys.all, [topic_id, partition.keys.bell], idempotent=True
            )
            for partition in partitions
        )
        meta = self._store.keys.meta
        await self._store.execute("HDEL", meta.pending, topic_id, key=meta.pending)

    async def _note(self, what: str, name: str, partitions: Iterable[Partition]) -> str:
        return json.dumps(
            {
                "what": what,
                "name": name,
                "partitions": len(tuple(partitions)),
                "since": await self.now_ms(),
            }
        )

    def _decode(self, name: str, row: bytes) -> Topic:
        known = self._known.get(name)
        if known is not None and known.row == row:
            return known
        return decode_topic(self._store.keys, name, row)

    async def _listen(self) -> None:
        """Hear the metadata bell, from the first use on."""
        if self._watch is not None:
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_watch())
        await asyncio.shield(self._opening)

    async def _open_watch(self) -> None:
        if self._watch is None:
            self._watch = await self._store.bells.watch(self._store.keys.meta.bell, self._changed)

    def _changed(self) -> None:
        self._forget()
        for callback in tuple(self._callbacks):
            callback()

    def _forget(self) -> None:
        self._generation += 1
        self._known.clear()

    def _age(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._known_since > self._max_age:
            self._known_since = now
            self._forget()


async def _gather(work: Iterable[Awaitable[Any]]) -> None:
    """Do a lot of things, not too many at the same time; the first error counts."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(step: Awaitable[Any]) -> None:
        async with gate:
            await step

    results = await asyncio.gather(*(one(step) for step in work), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result

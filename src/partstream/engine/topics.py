"""Topics: made, known, changed and deleted.

What is known of all topics is one hash in one slot; their partitions are everywhere. So a topic is
made in three steps: a note of what is going to be, the partitions, then the row that makes them
reachable. Deletion goes the other way round. Whoever sweeps finishes what a crash left half done.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping

from partstream.config.internal import check_made
from partstream.config.names import validate_partitions, validate_topic_name
from partstream.config.topic import TopicConfig
from partstream.engine.durability import check_flush
from partstream.engine.partition import (
    Partition,
    Topic,
    decode_topic,
    encode_topic,
    make_partition,
)
from partstream.engine.pending import Pending, gather
from partstream.errors import (
    ClosedClient,
    InvalidPartitions,
    InvalidTopic,
    StoreUnavailable,
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
_PREPARE = Script("clean/prepare")
_UNPREPARED = 2
"""The script's answer for a partition that is to be compacted for the first time."""
_PUBLISH = Script("topic/publish")
_UNPUBLISH = Script("topic/unpublish")


class Topics:
    """The topics of a namespace, with a memory of those that were asked for.

    The memory is dropped when the metadata bell rings, and after `max_age_ms` in any case.
    """

    def __init__(self, store: Store, *, max_age_ms: int = 300_000) -> None:
        self._store = store
        self._pending = Pending(store)
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

    @property
    def generation(self) -> int:
        """Another number whenever topics may have changed, once the first of them was asked for."""
        return self._generation

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
        self,
        name: str,
        partitions: int,
        config: Mapping[str, object] | TopicConfig | None = None,
        *,
        apart: bool = False,
    ) -> Topic:
        """Make a topic.

        Args:
            apart: refuse a name that differs from another topic's in `.` and `_` only, as Kafka
                does, in whose metrics they are the same.

        Raises:
            InvalidTopic, InvalidPartitions, InvalidConfig: as they say; nothing was made.
            TopicAlreadyExists: there is one of that name, or it is Kafka's own.
            InvalidRequest: it is a name that Kafka has for no ordinary topic.
        """
        validate_topic_name(name)
        check_made(name)
        validate_partitions(partitions)
        if not isinstance(config, TopicConfig):
            config = TopicConfig.from_overrides(config or {})
        await check_flush(self._store, config)
        meta = self._store.keys.meta
        if await self._store.execute("HEXISTS", meta.topics, name, key=meta.topics):
            raise TopicAlreadyExists(f"Topic {name!r} already exists.")
        topic_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        made = [make_partition(self._store.keys, name, topic_id, i) for i in range(partitions)]
        note = await self._pending.note("making", name, topic_id, partitions)
        await gather(self._make(partition, config) for partition in made)
        row = encode_topic(topic_id, partitions, config, 1)
        try:
            await self._publish(name, topic_id, row, b"", note, apart=apart)
        except (TopicAlreadyExists, InvalidTopic):
            await self._pending.unmake(topic_id, made)
            raise
        return decode_topic(self._store.keys, name, row)

    async def grow(self, name: str, partitions: int) -> Topic:
        """Add partitions until there are `partitions` (CreatePartitions).

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidPartitions: it has as many or more already.
        """
        validate_partitions(partitions)
        topic = await self.get(name, fresh=True)
        while True:
            count = len(topic.partitions)
            if partitions <= count:
                raise InvalidPartitions(
                    f"partitions={partitions}: topic {name!r} has {count} already, and can only "
                    "grow"
                )
            grown = await self._grow(topic, partitions)
            if grown is not None:
                return grown
            # Somebody changed it meanwhile, and partitions that were made are kept for the next
            # attempt; or it was deleted, and nobody else knows of them.
            again = await self._now(name)
            if again is None or again.id != topic.id:
                await self._pending.unmake(topic.id, self._numbered(topic, partitions))
            topic = again or await self.get(name, fresh=True)

    async def _grow(self, topic: Topic, partitions: int) -> Topic | None:
        """Add partitions to the topic as it was read; None if it is not so any more."""
        added = self._numbered(topic, partitions)[len(topic.partitions) :]
        note = await self._pending.note("growing", topic.name, topic.id, partitions)
        await gather(self._make(partition, topic.config) for partition in added)
        row = encode_topic(topic.id, partitions, topic.config, topic.version + 1, topic)
        try:
            if not await self._publish(topic.name, topic.id, row, topic.row, note):
                return None
        except UnknownTopicOrPartition:
            return None
        grown = decode_topic(self._store.keys, topic.name, row)
        # They may have been made by an earlier attempt, with configs that were changed since.
        await self._configure(grown, added)
        return grown

    async def _now(self, name: str) -> Topic | None:
        try:
            return await self.get(name, fresh=True)
        except UnknownTopicOrPartition:
            return None

    def _numbered(self, topic: Topic, count: int) -> list[Partition]:
        """The topic's first partitions, whether or not they exist."""
        keys = self._store.keys
        return [make_partition(keys, topic.name, topic.id, index) for index in range(count)]

    async def alter(self, name: str, changes: Mapping[str, object | None]) -> Topic:
        """Change configs; None puts one back to its default (IncrementalAlterConfigs).

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidConfig: a name or value is refused; nothing was changed.
        """
        while True:
            topic = await self.get(name, fresh=True)
            config = topic.config.altered(changes)
            await check_flush(self._store, config)
            row = encode_topic(topic.id, len(topic.partitions), config, topic.version + 1, topic)
            if await self._publish(name, topic.id, row, topic.row):
                changed = decode_topic(self._store.keys, name, row)
                await self.configure(changed)
                return changed

    async def configure(self, topic: Topic) -> None:
        """Give every partition its topic's configs; older ones than it has do no harm."""
        await self._configure(topic, topic.partitions)

    async def _configure(self, topic: Topic, partitions: Iterable[Partition]) -> None:
        fields = [text for pair in topic.config.partition_fields().items() for text in pair]

        async def configure(partition: Partition) -> None:
            taken = await self._store.run(
                _CONFIGURE,
                [partition.keys.state],
                [topic.id, topic.version, *fields],
                idempotent=True,
            )
            if taken == _UNPREPARED:
                await self._prepare(partition)

        await gather(map(configure, partitions))

    async def _prepare(self, partition: Partition) -> None:
        """Make the keys that a compacted partition has beside the others."""
        keys = partition.keys
        await self._store.run(
            _PREPARE,
            [keys.state, *keys.clean],
            [partition.topic_id],
            idempotent=True,
        )

    async def delete(self, name: str) -> None:
        """Delete a topic and its records.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
        """
        meta = self._store.keys.meta
        while True:
            topic = await self.get(name, fresh=True)
            count = max(len(topic.partitions), await self._pending.partitions(topic.id))
            note = await self._pending.text("deleting", name, count)
            written = await self._store.run(
                _UNPUBLISH,
                [meta.topics, meta.pending],
                [name, topic.row, topic.id, note, meta.bell],
            )
            if written:
                break
        self._forget()
        await self._store.confirm(meta.topics, written)
        await self._pending.unmake(topic.id, self._numbered(topic, count))

    async def finish_pending(self, *, now_ms: int) -> int:
        """Finish deletions, and undo creations that a crash has left half done; says how many."""
        live = {topic.id for topic in (await self.all()).values()}
        return await self._pending.finish(live, now_ms=now_ms)

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
        return await self._pending.now_ms()

    async def _make(self, partition: Partition, config: TopicConfig) -> None:
        fields = [text for pair in config.partition_fields().items() for text in pair]
        written = await self._store.run(
            _CREATE,
            partition.keys.all,
            [partition.topic_id, partition.topic, partition.index, *fields],
            idempotent=True,
        )
        if config.compacts:
            await self._prepare(partition)
        await self._store.confirm(partition.keys.log, written)

    async def _publish(
        self,
        name: str,
        topic_id: str,
        row: bytes,
        old: bytes,
        note: str = "",
        *,
        apart: bool = False,
    ) -> bool:
        """Replace a topic's row; False if it is not `old` any more."""
        meta = self._store.keys.meta
        written = await self._store.run(
            _PUBLISH,
            [meta.topics, meta.pending],
            [name, topic_id, row, old, meta.bell, note, int(apart)],
        )
        self._forget()
        if not written:
            return False
        await self._store.confirm(meta.topics, written)
        return True

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
        opening, timeout_ms = self._opening, self._store.request_timeout_ms
        done, _ = await asyncio.wait((opening,), timeout=timeout_ms / 1000)
        if not done:
            raise StoreUnavailable(
                f"the bell of the topics could not be subscribed to within {timeout_ms} ms"
            )
        if opening.cancelled():  # by `close`: it is not this caller who was cancelled
            raise ClosedClient("the store is closed")
        opening.result()

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

"""What no broker is there to do: drop old segments, idle producers, and what crashes left.

Size is enforced by the append script. Everything else is swept by one client at a time, which holds
a lease; every client tries for it, so that a sweep comes as soon as any client is there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.partition import Partition, Topic
from partstream.engine.topics import Topics
from partstream.errors import PartstreamError, StorePermissionDenied, UnknownTopicId
from partstream.metrics.hooks import SILENT
from partstream.store.scripts import Script
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_RETAIN = Script("log/retain")
_FORGET = Script("log/forget")
_LEASE = Script("store/lease")
_SEGMENTS_A_CALL = 4
_UNDECLARED = -1
"""The script's answer where a part of the log is in a key that not every partition has."""
_GIVE_BACK_S = 0.5

PRODUCER_ID_EXPIRATION_MS = 86_400_000
"""How long a silent producer is remembered (producer.id.expiration.ms)."""


@dataclass(slots=True)
class Swept:
    """What one sweep did."""

    partitions: int = 0
    segments: int = 0
    producers: int = 0
    topics_finished: int = 0
    """Creations undone and deletions finished, which a crash had left."""
    offsets: int = 0
    """Committed offsets that had expired."""
    cleaned: int = 0
    """Partitions whose log was compacted."""


OffsetsExpiry = Callable[[], Awaitable[int]]


async def sweep(
    store: Store,
    topics: Topics,
    *,
    producer_id_expiration_ms: int = PRODUCER_ID_EXPIRATION_MS,
    expire_offsets: OffsetsExpiry | None = None,
) -> Swept:
    """Do all the upkeep of a namespace once. Each step is short; what fails is logged and left."""
    done = Swept()
    done.topics_finished = await topics.finish_pending(now_ms=await topics.now_ms())
    compacted = list[tuple[Topic, Partition]]()
    there = (await topics.all()).values()
    store.observer.compacted_known(_compacted(there))
    for topic in there:
        await topics.configure(topic)
        for partition in topic.partitions:
            if await _sweep_partition(store, topic, partition, producer_id_expiration_ms, done):
                compacted.append((topic, partition))
    if expire_offsets is not None:
        done.offsets = await expire_offsets()
    # Last, since it takes longest: what goes by age and by size must not wait for it.
    for topic, partition in compacted:
        done.cleaned += await _clean(store, topic, partition)
    store.observer.looks_after(
        {(topic.name, partition.index) for topic, partition in compacted if topic.config.compacts}
    )
    return done


def _compacted(topics: Iterable[Topic]) -> set[tuple[str, int]]:
    """The partitions of those that are compacted, as observers hear of them."""
    return {
        (topic.name, partition.index)
        for topic in topics
        if topic.config.compacts
        for partition in topic.partitions
    }


async def _sweep_partition(
    store: Store, topic: Topic, partition: Partition, producers_ms: int, done: Swept
) -> bool:
    """Drop what is old; says whether the partition is (or was) compacted."""
    keys = partition.keys
    held, compacted = [keys.log, keys.state, keys.index], topic.config.compacts
    try:
        while True:
            gone, _ = await store.run(_RETAIN, held, [topic.id, _SEGMENTS_A_CALL])
            if gone == _UNDECLARED:
                held, compacted = [keys.log, keys.state, keys.index, *keys.clean], True
                continue
            done.segments += gone
            if gone < _SEGMENTS_A_CALL:
                break
        cursor = b"0"
        while True:
            cursor, forgotten = await store.run(_FORGET, [keys.producers], [producers_ms, cursor])
            done.producers += forgotten
            if cursor == b"0":
                break
    except UnknownTopicId:
        return False
    except StorePermissionDenied:
        raise  # whoever sweeps must be allowed to: the next partition would say the same
    except PartstreamError as error:
        _logger.warning("upkeep of %s failed, it will be tried again: %s", partition, error)
        return False
    done.partitions += 1
    return compacted


async def _clean(store: Store, topic: Topic, partition: Partition) -> bool:
    try:
        return await upkeep(store, topic, partition) is not None
    except UnknownTopicId:
        return False
    except PartstreamError as error:
        _logger.warning("cleaning %s failed, it will be tried again: %s", partition, error)
        return False


class Sweeper:
    """Sweeps every `interval_ms` while this client lives, if no other client does."""

    def __init__(
        self,
        store: Store,
        topics: Topics,
        *,
        interval_ms: int,
        producer_id_expiration_ms: int = PRODUCER_ID_EXPIRATION_MS,
        expire_offsets: OffsetsExpiry | None = None,
    ) -> None:
        self._store = store
        self._topics = topics
        self._interval_ms = interval_ms
        self._producers_ms = producer_id_expiration_ms
        self._expire_offsets = expire_offsets
        self._me = uuid.uuid4().hex
        self._leads = False
        self._generation = topics.generation
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first sweep comes soon, in case nobody was there for long."""
        self._task = asyncio.create_task(self._run(), name="retention sweep")

    async def close(self) -> None:
        """Stop, and let another client have the lease."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._give_back()

    async def _give_back(self) -> None:
        """Let another client have the lease."""
        self._store.observer.looks_after(())
        if not self._leads:
            return
        self._leads = False
        key = self._store.keys.meta.sweep
        try:
            # A server that does not answer must not hold up a client that closes.
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._store.run(_LEASE, [key], [self._me, 0])
        except (PartstreamError, TimeoutError) as error:
            _logger.debug("the sweep's lease stays until it ends: %s", error)

    async def _tell_compacted(self) -> None:
        """Have the observer hear which topics are gone, as it does where this client sweeps."""
        generation = self._topics.generation
        if generation == self._generation or self._store.observer is SILENT:
            return
        self._store.observer.compacted_known(_compacted((await self._topics.all()).values()))
        self._generation = generation

    async def _run(self) -> None:
        interval = self._interval_ms / 1000
        delay = min(1.0, interval)
        key = self._store.keys.meta.sweep
        while True:
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = interval
            try:
                # Unknown until it is answered: then it is given back rather than kept.
                self._leads = True
                self._leads = bool(
                    await self._store.run(_LEASE, [key], [self._me, 2 * self._interval_ms])
                )
                if self._leads:
                    await sweep(
                        self._store,
                        self._topics,
                        producer_id_expiration_ms=self._producers_ms,
                        expire_offsets=self._expire_offsets,
                    )
                else:
                    self._store.observer.looks_after(())
                    await self._tell_compacted()
            except StorePermissionDenied as error:
                # Others must have the lease, and a log needs no line a minute for it.
                _logger.info("this client takes no part in the retention sweep: %s", error)
                await self._give_back()
                return
            except PartstreamError as error:
                _logger.warning("the retention sweep failed, it will be tried again: %s", error)

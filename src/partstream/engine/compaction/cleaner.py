"""When a partition is cleaned, in how many rounds, and what is cleared away after a dead cleaner.

What one round does is in `cleaning`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from partstream.engine.compaction.cleaning import Cleaning, finish, trim
from partstream.engine.compaction.output import Overtaken, empty
from partstream.engine.compaction.pace import Watcher
from partstream.engine.compaction.plan import Look, is_due, plan
from partstream.engine.compaction.state import first_dirty, look_at, segments_of
from partstream.engine.partition import Partition, Topic
from partstream.engine.reading import read_entries
from partstream.errors import InvalidConfig, PartstreamError
from partstream.model import Compacted, CompactionProgress
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_LEFT_ENTRIES = 4

OnProgress = Callable[[int, CompactionProgress], None]
"""Called with the number of a partition and how far its cleaning is."""


async def upkeep(
    store: Store,
    topic: Topic,
    partition: Partition,
    *,
    force: bool = False,
    watcher: Watcher | None = None,
) -> Compacted | None:
    """Clean a partition if it is due, and clear away what a dead cleaner has left.

    Args:
        store: where it is.
        topic: its topic, as it is configured now.
        partition: the partition.
        force: clean whatever can be cleaned, due or not.
        watcher: told how far it is.

    Returns:
        What was done; None if nothing was due, or another cleaner is at it.

    Raises:
        UnknownTopicId: the topic was deleted.
        CorruptRecord, RecordTooLarge, UnsupportedCompressionType: a batch cannot be read; it
            has to go before the partition can be cleaned, as in Kafka.
        PartstreamError: the store failed; nothing is lost.
    """
    whole: Compacted | None = None
    while True:
        done, more = await _round(store, topic, partition, watcher, force=force)
        whole = _sum(whole, done)
        if not more:
            return whole
        force = True


async def _round(
    store: Store, topic: Topic, partition: Partition, watcher: Watcher | None, *, force: bool
) -> tuple[Compacted | None, bool]:
    """Clean as much as can be cleaned in one go; what was done, and whether there is more."""
    look = await look_at(store, partition)
    if look.is_being_cleaned:
        return None, False
    if look.cleaner:
        await _clear(store, partition, look)
    if not topic.config.compacts:
        return None, False
    segments = await segments_of(store, partition)
    if not segments or segments[0].end != look.start:
        return None, False  # retention was quicker; the next sweep sees how things are
    intended = plan(look, segments, topic.config)
    store.observer.dirty_known(partition.topic, partition.index, intended.ratio)
    due = force and bool(intended.dirty_bytes)
    if not due:
        first = await first_dirty(store, partition, intended, topic)
        due = is_due(intended, look, topic.config, first)
    if not due:
        return None, False
    work = Cleaning(store, topic, partition, look, intended, watcher=watcher)
    done = await _done(store, partition, work)
    return done, done is not None and done.boundary < intended.reach


async def _done(store: Store, partition: Partition, work: Cleaning) -> Compacted | None:
    """Clean it, and tell the observer; None if somebody or something came in between."""
    began = time.monotonic()
    try:
        done = await work.run()
    except Overtaken:
        _logger.info("cleaning %s was given up: another cleaner or a failover came", partition)
        return None
    except PartstreamError as error:
        store.observer.cleaning_failed(partition.topic, partition.index, type(error).__name__)
        raise
    if done is not None:
        store.observer.cleaned(
            partition.topic,
            partition.index,
            before=done.bytes_before,
            after=done.bytes_after,
            took=time.monotonic() - began,
        )
    return done


def _sum(before: Compacted | None, done: Compacted | None) -> Compacted | None:
    """Two rounds as one."""
    if before is None or done is None:
        return done or before
    # What the first has left, the second has read again.
    return done._replace(
        records_read=before.records_read + done.records_read - before.records_kept,
        bytes_before=before.bytes_before + done.bytes_before - before.bytes_after,
        dirty_ratio=before.dirty_ratio,
    )


async def compact(
    store: Store, topic: Topic, on_progress: OnProgress | None
) -> dict[int, Compacted | None]:
    """Clean every partition of a topic, due or not; partition -> what was done.

    Raises:
        InvalidConfig: the topic is not compacted.
        PartstreamError: as `upkeep`.
    """
    if not topic.config.compacts:
        raise InvalidConfig(
            f"topic {topic.name!r} is not compacted: its cleanup.policy is "
            f"{topic.config.cleanup_policy!r}"
        )
    done: dict[int, Compacted | None] = {}
    for partition in topic.partitions:
        number = partition.index
        watcher = None if on_progress is None else partial(on_progress, number)
        done[number] = await upkeep(store, topic, partition, force=True, watcher=watcher)
    return done


async def _clear(store: Store, partition: Partition, look: Look) -> None:
    """Remove what a cleaner that died has left: half of a result, or entries that it replaced."""
    log = partition.keys.log
    while left := await read_entries(store, log, 0, _LEFT_ENTRIES, until=look.boundary):
        await trim(store, partition, left[-1].next_offset)
    await empty(store, partition, look.cleanings, "")
    await finish(store, partition, "")

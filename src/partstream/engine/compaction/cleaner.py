"""When a partition is cleaned, in how many rounds, and what is cleared away after a dead cleaner.

What one round does is in `cleaning`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from partstream.engine.compaction.cleaning import Cleaning
from partstream.engine.compaction.output import NOBODY, Overtaken, finish
from partstream.engine.compaction.pace import Watcher
from partstream.engine.compaction.plan import Plan, is_due, plan, rows_to_read
from partstream.engine.compaction.state import earliest_dirty, look_at, segments_of
from partstream.engine.partition import Partition, Topic
from partstream.errors import InvalidConfig, PartstreamError
from partstream.model import Compacted, CompactionProgress
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_BUSY_S = 0.1
"""How often to look whether another cleaner has ended: its token tells it, and nothing rings."""

OnProgress = Callable[[int, CompactionProgress], None]
"""Called with the number of a partition and how far its cleaning is."""


class _Then(Enum):
    """What there is to do for a partition after a round."""

    NOTHING = auto()
    MORE = auto()
    """There was more than one round can do."""
    WAIT = auto()
    """Another cleaner is at it, or something came in between: it has to be looked at again."""


class _Round(NamedTuple):
    """What one round did."""

    then: _Then
    cleanings: int
    """How often the partition had been cleaned before."""
    plan: Plan | None = None
    """What there was to do, as far as it was looked for."""
    done: Compacted | None = None


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
    return (await _rounds(store, topic, partition, watcher, force=force)).done


async def _rounds(
    store: Store, topic: Topic, partition: Partition, watcher: Watcher | None, *, force: bool
) -> _Round:
    """As many rounds as it takes; what they did together, and what came after the last."""
    whole: Compacted | None = None
    while True:
        last = await _round(store, topic, partition, watcher, force=force)
        whole = _sum(whole, last.done)
        if last.then is not _Then.MORE:
            return last._replace(done=whole)
        force = True


async def _round(
    store: Store, topic: Topic, partition: Partition, watcher: Watcher | None, *, force: bool
) -> _Round:
    """Clean as much as can be cleaned in one go."""
    look = await look_at(store, partition, topic.config.min_compaction_lag_ms)
    nothing = _Round(_Then.NOTHING, look.cleanings)
    if look.is_being_cleaned:
        return nothing._replace(then=_Then.WAIT)
    if look.cleaner:
        # It has died, and may have left half of a result, or entries that it replaced.
        await finish(store, partition, NOBODY)
    if not topic.config.compacts:
        return nothing
    segments = await segments_of(store, partition, rows_to_read())
    if not segments or segments[0].end != look.start:
        return nothing._replace(then=_Then.WAIT)  # retention was quicker
    intended = plan(look, segments)
    store.observer.dirty_known(partition.topic, partition.index, intended.ratio)
    due = force and bool(intended.dirty_bytes)
    if not due:
        earliest = await earliest_dirty(store, partition, intended, look, topic.config)
        due = is_due(intended, look, topic.config, earliest)
    if not due:
        return nothing._replace(plan=intended)
    work = Cleaning(store, topic, partition, look, intended, watcher=watcher)
    done = await _done(store, partition, work)
    if done is None:
        return nothing._replace(then=_Then.WAIT)
    then = _Then.MORE if done.boundary < intended.reach else _Then.NOTHING
    return _Round(then, look.cleanings, intended, done)


async def _done(store: Store, partition: Partition, work: Cleaning) -> Compacted | None:
    """Clean it, and tell the observer; None if somebody or something came in between."""
    began = time.monotonic()
    try:
        done = await work.run()
    except Overtaken as reason:
        _logger.info("cleaning %s was given up: %s", partition, reason)
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

    Where another cleaner is at it, it is waited for, and what it leaves is done then; one that has
    died is waited for as long as its lease lasts. None: there was nothing to clean.

    Raises:
        InvalidConfig: the topic is not compacted.
        PartstreamError: as `upkeep`.
    """
    if not topic.config.compacts:
        raise InvalidConfig(
            f"topic {topic.name!r} is not compacted: its cleanup.policy is "
            f"{topic.config.cleanup_policy!r}"
        )
    done: dict[int, Compacted | None] = {partition.index: None for partition in topic.partitions}
    left, waited = list(topic.partitions), dict[int, int]()
    while left:
        busy = list[Partition]()
        for partition in left:
            number = partition.index
            watcher = None if on_progress is None else partial(on_progress, number)
            last = await _rounds(store, topic, partition, watcher, force=True)
            done[number] = _sum(done[number], last.done)
            if last.then is _Then.WAIT:
                busy.append(partition)
                waited.setdefault(number, last.cleanings)
                if watcher is not None:
                    watcher(CompactionProgress("waiting", 0, 0))
            elif done[number] is None and last.cleanings > waited.get(number, last.cleanings):
                done[number] = _by_another(last.plan)
        if len(busy) == len(left):
            await asyncio.sleep(_BUSY_S)
        left = busy
    return done


def _by_another(found: Plan | None) -> Compacted | None:
    """What another cleaner has left, if nothing more can be cleaned now."""
    if found is None:
        return None
    size = found.clean_bytes
    return Compacted(found.begin, 0, 0, size, size, found.ratio, by_another=True)

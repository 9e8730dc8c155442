"""Offsets by time: the first record at or after a timestamp (ListOffsets)."""

from __future__ import annotations

from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, StoredBatch, fetch
from partstream.errors import UnknownTopicId
from partstream.model import OffsetAndTimestamp
from partstream.records.codec import decode
from partstream.records.header import parse
from partstream.store.store import Store

_BUDGET = 1 << 20
"""Bytes that are asked for at a time."""


async def offset_for_time(
    store: Store, partition: Partition, timestamp: int
) -> OffsetAndTimestamp | None:
    """The first record whose timestamp is at or after `timestamp` (ms); None if there is none.

    The index leads to the segment, the batches' headers to the batch; only that one is decoded.

    Raises:
        UnknownTopicId: the topic was deleted.
        CorruptRecord: the batch that should hold the record is damaged.
    """
    index = partition.keys.index
    # The last row whose timestamps are all too early; the row of the log start is always there.
    rows = await store.execute(
        "ZREVRANGEBYSCORE", index, f"({timestamp}", "-inf", "LIMIT", 0, 1, key=index
    )
    cursor = Cursor(partition, max((int(row.split(b":")[0]) for row in rows), default=0))
    while True:
        fetched = await fetch(store, cursor, _BUDGET)
        for batch in fetched.batches:
            found = _first_in(partition, batch, timestamp, fetched.log_start)
            if found is not None:
                return found
        if fetched.batches:
            cursor.offset = fetched.batches[-1].next_offset
        elif cursor.offset < fetched.log_start:
            cursor.offset = fetched.log_start  # retention took what was to be looked at
        else:
            return None
        if cursor.offset >= fetched.log_end:
            return None


def _first_in(
    partition: Partition, batch: StoredBatch, timestamp: int, log_start: int
) -> OffsetAndTimestamp | None:
    if _latest_of(batch) < timestamp:
        return None
    for record in decode(
        batch.payload,
        partition.topic,
        partition.index,
        batch.base_offset,
        from_offset=log_start,
        append_time=batch.append_time,
    ):
        if record.timestamp >= timestamp:
            return OffsetAndTimestamp(record.offset, record.timestamp, batch.leader_epoch)
    return None


async def offset_of_latest(store: Store, partition: Partition) -> OffsetAndTimestamp | None:
    """The first of the records with the largest timestamp; None if there is no record (KIP-734).

    Raises:
        UnknownTopicId: the topic was deleted.
        CorruptRecord: the batch that should hold the record is damaged.
    """
    latest = await latest_timestamp(store, partition)
    found = await offset_for_time(store, partition, latest) if latest >= 0 else None
    if found is None and latest >= 0:
        # Compaction has removed the record that was the latest: look at what is left.
        latest, cursor = -1, Cursor(partition, 0)
        while True:
            fetched = await fetch(store, cursor, _BUDGET)
            for batch in fetched.batches:
                if parse(batch.payload).record_count:
                    latest = max(latest, _latest_of(batch))
            if fetched.batches:
                cursor.offset = fetched.batches[-1].next_offset
            elif cursor.offset < fetched.log_start:
                cursor.offset = fetched.log_start
            else:
                break
        found = await offset_for_time(store, partition, latest) if latest >= 0 else None
    return found


def _latest_of(batch: StoredBatch) -> int:
    """The largest timestamp of a batch, ms."""
    return parse(batch.payload).max_timestamp if batch.append_time is None else batch.append_time


async def latest_timestamp(store: Store, partition: Partition) -> int:
    """The largest timestamp that the log has seen, in ms; -1 if it has no record (KIP-734).

    Raises:
        UnknownTopicId: the topic was deleted.
    """
    key = partition.keys.state
    latest, start, end = await store.execute("HMGET", key, "max_timestamp", "start", "end", key=key)
    if latest is None:
        raise UnknownTopicId(f"partition {partition} was deleted")
    return -1 if start == end else int(latest)

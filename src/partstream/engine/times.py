"""Offsets by time: the first record at or after a timestamp (ListOffsets)."""

from __future__ import annotations

from partstream.engine.partition import Partition
from partstream.engine.reading import StoredBatch, read_entries
from partstream.errors import UnknownTopicId
from partstream.model import OffsetAndTimestamp
from partstream.records.codec import decode
from partstream.records.header import parse
from partstream.store.store import Store

_CHUNK = 16


async def offset_for_time(
    store: Store, partition: Partition, timestamp: int
) -> OffsetAndTimestamp | None:
    """The first record whose timestamp is at or after `timestamp` (ms); None if there is none.

    The index leads to the segment, the batches' headers to the batch; only that one is decoded.

    Raises:
        UnknownTopicId: the topic was deleted.
        CorruptRecord: the batch that should hold the record is damaged.
    """
    keys = partition.keys
    start = await store.execute("HGET", keys.state, "start", key=keys.state)
    if start is None:
        raise UnknownTopicId(f"partition {partition} was deleted")
    position = int(start)
    # The last row whose timestamps are all too early; the row of the log start is always there.
    rows = await store.execute(
        "ZREVRANGEBYSCORE", keys.index, f"({timestamp}", "-inf", "LIMIT", 0, 1, key=keys.index
    )
    for row in rows:
        position = max(position, int(row.split(b":")[0]))
    while True:
        batches = await read_entries(store, partition, position, _CHUNK)
        for batch in batches:
            found = _first_in(partition, batch, timestamp, int(start))
            if found is not None:
                return found
        if len(batches) < _CHUNK:
            return None
        position = batches[-1].next_offset


def _first_in(
    partition: Partition, batch: StoredBatch, timestamp: int, log_start: int
) -> OffsetAndTimestamp | None:
    latest = batch.append_time
    if latest is None:
        latest = parse(batch.payload).max_timestamp
    if latest < timestamp:
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

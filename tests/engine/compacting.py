"""What tests of log compaction share: histories of keys, and what must be left of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.partition import Partition
from partstream.model import Compacted
from partstream.records import header
from partstream.records.codec import encode
from partstream.store.store import Store
from tests.engine.logs import NOW, Engine, Inside, Producer, inside, read

Update = tuple[bytes, bytes | None]
"""A key and its new value; None is a tombstone."""


class Left(NamedTuple):
    """A record as it was read, without what does not matter here."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


def updates(*pairs: Update, at: int = NOW, codec: int = 0, by: Producer | None = None) -> bytes:
    """A batch of them, a millisecond apart."""
    records = [(at + place, key, value, ()) for place, (key, value) in enumerate(pairs)]
    if by is None:
        return encode(records, codec)
    return encode(
        records,
        codec,
        producer_id=by.id,
        producer_epoch=by.epoch,
        base_sequence=by.sequence,
    )


async def write(own: Engine, partition: Partition, history: Sequence[Sequence[Update]]) -> None:
    """Append batches of updates."""
    for batch in history:
        await own.log.append(partition, updates(*batch))


async def half_cleaned(own: Engine, name: str) -> Partition:
    """A partition with a clean part and a dirty one, tombstones in both; half a megabyte each."""
    partition = await own.partition(
        name, cleanup_policy="compact", segment_bytes=262_144, delete_retention_ms=0
    )
    for part in range(2):
        history: list[list[Update]] = []
        for batch in range(20):
            value = b"%d:%d" % (part, batch) + b"x" * 700
            keys = [b"k%d" % ((batch * 30 + place) % 500) for place in range(40)]
            history.append([(keys[0], None), *((key, value) for key in keys[1:])])
        await write(own, partition, history)
        if part == 0:
            assert await clean_now(own, partition) is not None
    return partition


async def lease_over(own: Engine, partition: Partition) -> bool:
    """Whether nobody cleans it, or somebody who has not been heard of for the time of his lease."""
    seen = await inside(own.store, partition)
    if "cleaner" not in seen.state:
        return True
    return await own.topics.now_ms() > seen.number("cleaner_until")


async def clean_now(own: Engine, partition: Partition) -> Compacted | None:
    """Clean what can be cleaned."""
    topic = await own.topics.get(partition.topic, fresh=True)
    return await upkeep(own.store, topic, partition, force=True)


async def left_of(own: Engine, partition: Partition) -> list[Left]:
    """Every record that a reader from the start gets."""
    start = (await own.log.bounds(partition)).start
    return [
        Left(record.offset, record.key, record.value, record.timestamp)
        for record in await read(own.store, partition, start)
    ]


def last_of(records: Sequence[Left]) -> dict[bytes | None, bytes | None]:
    """The last value of each key; keys that were deleted are not in it."""
    values = {record.key: record.value for record in records}
    return {key: value for key, value in values.items() if value is not None}


class Streams(NamedTuple):
    """What is in each of a compacted partition's streams: end offset and payload of each entry."""

    clean: list[tuple[int, bytes]]
    spare: list[tuple[int, bytes]]
    log: list[tuple[int, bytes]]


async def streams(store: Store, partition: Partition) -> Streams:
    """Read them."""
    keys, found = partition.keys, []
    cleanings = int(await store.execute("HGET", keys.state, "cleanings", key=keys.state))
    for key in (keys.cleaned(cleanings), keys.spare(cleanings), keys.log):
        rows = await store.execute("XRANGE", key, "-", "+", key=key)
        found.append([(int(row[0].split(b"-")[0]), bytes(row[1][1])) for row in rows])
    return Streams(*found)


async def check_compacted(store: Store, partition: Partition, *, idle: bool = True) -> Inside:
    """Everything that must hold of a compacted partition's keys; `idle`: nobody cleans it."""
    seen, held = await inside(store, partition), await streams(store, partition)
    start, end, boundary = seen.number("start"), seen.number("end"), seen.number("boundary")
    if idle:
        assert held.spare == []
        assert "cleaner" not in seen.state
    assert all(start < entry_end <= boundary for entry_end, _ in held.clean)
    live = [(entry_end, data) for entry_end, data in held.log if entry_end > boundary]
    if idle:
        assert live == held.log, "entries that were cleaned are still there"
    if start < boundary:
        assert held.clean[-1][0] == boundary
    whole = held.clean + live
    if whole:
        assert whole[-1][0] == end
    assert seen.number("total") - seen.number("base") == sum(len(data) for _, data in whole)
    for entry_end, data in whole:
        header.check_crc(data)
        assert header.parse(data).last_offset_delta < entry_end
    firsts = [entry_end - header.parse(data).last_offset_delta - 1 for entry_end, data in whole]
    assert all(below[0] <= above for below, above in zip(whole, firsts[1:], strict=False))
    assert seen.rows[0][:3] == (float("-inf"), start, seen.number("base"))
    for below, above in pairwise(seen.rows):
        assert below.end < above.end
        assert below.timestamp <= above.timestamp
        segment = [data for entry_end, data in whole if below.end < entry_end <= above.end]
        assert segment, "a segment without entries"
        assert above.size - below.size == sum(map(len, segment))
        assert above.largest >= max(map(len, segment))
        assert above.timestamp >= max(header.parse(data).max_timestamp for data in segment)
    assert start >= boundary or boundary in {row.end for row in seen.rows}
    return seen

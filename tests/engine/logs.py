"""What tests of the log share: an engine on a namespace, batches, and a look at the keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from partstream.engine.log import Log, parse_epochs
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, StoredBatch, fetch
from partstream.engine.topics import Topics
from partstream.model import Record
from partstream.records import header
from partstream.records.codec import decode, encode
from partstream.store.store import Store

NOW = 1_700_000_000_000
"""Milliseconds; the timestamp of records that do not care."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A store, and what stands on it."""

    store: Store
    topics: Topics
    log: Log

    async def partition(self, name: str = "t", **config: object) -> Partition:
        """Partition 0 of a new topic; configs by Kafka's names with `_` for `.`."""
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        return (await self.topics.create(name, 1, dotted)).partitions[0]


@asynccontextmanager
async def engine(url: str, namespace: str, **options: Any) -> AsyncIterator[Engine]:
    """An engine on a namespace, closed at the end."""
    store = await Store.connect(url, namespace=namespace, **options)
    topics = Topics(store)
    try:
        yield Engine(store, topics, Log(store))
    finally:
        topics.close()
        await store.close()


def replace(thing: object, method: str, by: Callable[..., Any]) -> None:
    """Put another method in the place of this one object's own."""
    setattr(thing, method, by)


class Producer(NamedTuple):
    """What stands in a batch's header of the one who made it."""

    id: int
    epoch: int
    sequence: int


def batch(*values: bytes | int, at: int = NOW, step: int = 0, by: Producer | None = None) -> bytes:
    """A batch of these values; a number is a value of so many bytes."""
    records = [
        (at + step * number, None, value if isinstance(value, bytes) else b"x" * value, ())
        for number, value in enumerate(values)
    ]
    if by is None:
        return encode(records)
    return encode(records, producer_id=by.id, producer_epoch=by.epoch, base_sequence=by.sequence)


async def read(store: Store, partition: Partition, offset: int = 0) -> list[Record]:
    """Every record from an offset on."""
    return [
        record
        for stored in await stored_from(store, partition, offset)
        for record in records_of(partition, stored, offset)
    ]


def records_of(partition: Partition, stored: StoredBatch, offset: int = 0) -> list[Record]:
    """The records of a batch as a reader at `offset` sees them."""
    return decode(
        stored.payload,
        partition.topic,
        partition.index,
        stored.base_offset,
        from_offset=offset,
        append_time=stored.append_time,
    )


async def stored_from(
    store: Store, partition: Partition, offset: int, *, budget: int = 1 << 20
) -> list[StoredBatch]:
    """Every batch from an offset on, fetched as a consumer would."""
    cursor = Cursor(partition, offset)
    found: list[StoredBatch] = []
    while True:
        fetched = await fetch(store, cursor, budget)
        found += fetched.batches
        if not fetched.batches:
            return found
        cursor.offset = fetched.batches[-1].next_offset


class Row(NamedTuple):
    """A row of the sparse index."""

    timestamp: float
    end: int
    size: int
    largest: int


@dataclass(frozen=True, slots=True)
class Inside:
    """A partition's keys, as they are."""

    state: dict[str, str]
    entries: list[tuple[int, int, bytes]]
    """End offset, leader epoch and payload of each."""
    rows: list[Row]

    def number(self, field: str) -> int:
        """A field of the state."""
        return int(self.state[field])


async def inside(store: Store, partition: Partition) -> Inside:
    """Read all that the keys of a partition hold."""
    keys = partition.keys
    flat = await store.execute("HGETALL", keys.state, key=keys.state)
    entries = await store.execute("XRANGE", keys.log, "-", "+", key=keys.log)
    rows = await store.execute("ZRANGE", keys.index, 0, -1, "WITHSCORES", key=keys.index)
    return Inside(
        state={k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)},
        entries=[
            (*(int(part) for part in entry_id.split(b"-")), fields[1])
            for entry_id, fields in entries
        ],
        rows=[
            Row(float(score), *(int(part) for part in row.split(b":")))
            for row, score in zip(rows[::2], rows[1::2], strict=True)
        ],
    )


async def check(store: Store, partition: Partition) -> Inside:
    """Everything that must hold of a partition's keys, whatever was done to it."""
    seen = await inside(store, partition)
    start, end = seen.number("start"), seen.number("end")
    total, base = seen.number("total"), seen.number("base")
    heads = [header.parse(payload) for _, _, payload in seen.entries]
    firsts = [
        entry[0] - head.last_offset_delta - 1
        for entry, head in zip(seen.entries, heads, strict=True)
    ]
    if seen.entries:
        assert firsts[0] <= start < seen.entries[0][0]
        assert seen.entries[-1][0] == end
        assert firsts[1:] == [entry[0] for entry in seen.entries[:-1]], "offsets are not dense"
        epochs = [epoch for _, epoch, _ in seen.entries]
        assert epochs == sorted(epochs)
    else:
        assert start == end
    assert total - base == sum(len(payload) for _, _, payload in seen.entries)

    assert seen.rows[0][:3] == (float("-inf"), start, base)
    for below, above in pairwise(seen.rows):
        assert below.end < above.end
        assert below.size < above.size
        assert below.timestamp <= above.timestamp
        segment = [
            (payload, head.max_timestamp)
            for (entry_end, _, payload), head in zip(seen.entries, heads, strict=True)
            if below.end < entry_end <= above.end
        ]
        assert above.size - below.size == sum(len(payload) for payload, _ in segment)
        assert above.largest >= max(len(payload) for payload, _ in segment)
        assert above.timestamp >= max(timestamp for _, timestamp in segment)
    rest = [payload for entry_end, _, payload in seen.entries if entry_end > seen.rows[-1].end]
    assert seen.number("segment_max") >= max(map(len, rest), default=0)
    assert sum(map(len, rest)) == total - max(base, seen.number("segment_base"))

    history = parse_epochs(seen.state["epochs"].encode())
    assert history == sorted(history)
    assert history[-1][0] == seen.number("epoch")
    for entry_end, epoch, _ in seen.entries:
        mine = [at for at, (own, _) in enumerate(history) if own == epoch]
        assert mine, f"epoch {epoch} of the entry {entry_end} is not in {history}"
        assert history[mine[0]][1] < entry_end
    return seen

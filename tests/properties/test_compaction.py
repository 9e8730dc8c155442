"""A compacted log beside a plain model of it: whatever is done in whatever order, and wherever a
cleaner is killed, nothing is lost and nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from partstream.engine import index, log
from partstream.engine.compaction import cleaning
from partstream.engine.compaction.cleaner import upkeep
from partstream.engine.log import ANY, Log
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, fetch
from partstream.engine.retention import sweep
from partstream.engine.times import offset_for_time
from partstream.engine.topics import Topics
from partstream.store.store import Store
from tests.engine.compacting import Left, check_compacted, last_of, streams, updates
from tests.engine.logs import Producer, records_of
from tests.engine.mortal import Killed, Mortal, Watched

T = TypeVar("T")

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
UPDATES = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 600)), min_size=1, max_size=6)


class CompactionMachine(RuleBasedStateMachine):
    """Steps of clients and cleaners on one partition, and after each the comparison."""

    url = ""
    namespace = ""
    number = 0
    room = cleaning._MOST_BYTES
    """What a cleaner may remember; with little of it a partition takes several rounds."""
    step = 200
    """Segments that are deleted, or looked at, in a call."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = self.run(Store.connect(self.url, namespace=self.namespace))
        self.topics = Topics(self.store)
        self.log = Log(self.store)
        self.partition: Partition
        self.cursor: Cursor
        self.written: list[Left] = []
        """Every record that was ever appended, by offset."""
        self.start = 0
        self.idle = True
        self.sequences = {1: 0, 2: 0}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cleaning, "_MOST_BYTES", self.room)
            patch.setattr(log, "_MOST_SEGMENTS", self.step)
            patch.setattr(index, "PAGE", self.step)
            return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        if hasattr(self, "partition"):
            await self.topics.delete(self.partition.topic)
            keys = self.partition.keys
            for key in (*keys.all, *keys.clean):
                assert not await self.store.execute("EXISTS", key, key=key), "left behind"
        self.topics.close()
        await self.store.close()

    @initialize(
        segment_bytes=st.sampled_from([1_024, 3_000]),
        policy=st.sampled_from(["compact", "compact,delete", "delete"]),
        retention=st.sampled_from([0, 3_600_000]),
        room=st.sampled_from([300, 900, cleaning._MOST_BYTES]),
        step=st.sampled_from([1, 3, 200]),
    )
    def begin(self, segment_bytes: int, policy: str, retention: int, room: int, step: int) -> None:
        CompactionMachine.number += 1
        self.room, self.step = room, step
        config = {
            "cleanup.policy": policy,
            "segment.bytes": segment_bytes,
            "delete.retention.ms": retention,
            "retention.bytes": -1,
        }
        topic = self.run(self.topics.create(f"c{CompactionMachine.number}", 1, config))
        self.partition = topic.partitions[0]
        self.cursor = Cursor(self.partition, 0)

    # What producers do.

    @rule(batch=UPDATES, codec=st.sampled_from([0, 0, 1, 4]), by=st.none() | st.integers(1, 2))
    def append(self, batch: list[tuple[bytes, int | None]], codec: int, by: int | None) -> None:
        base = len(self.written)
        at = self.run(self.topics.now_ms()) - 50
        pairs = [
            (key, None if size is None else b"%d:" % (base + i) + b"x" * size)
            for i, (key, size) in enumerate(batch)
        ]
        producer = None
        if by is not None:
            producer = Producer(by, 0, self.sequences[by])
            self.sequences[by] += len(pairs)
        data = updates(*pairs, at=at, codec=codec, by=producer)
        answer = self.run(self.log.append(self.partition, data, line=ANY))
        assert (answer.base_offset, answer.duplicate) == (base, False)
        self.written += [Left(base + i, key, value, at + i) for i, (key, value) in enumerate(pairs)]
        if by is not None:
            assert self.run(self.log.append(self.partition, data, line=ANY)).duplicate

    # What cleaners do.

    @rule()
    def clean(self) -> None:
        self._live_again()
        topic = self.run(self.topics.get(self.partition.topic, fresh=True))
        done = self.run(upkeep(self.store, topic, self.partition, force=True))
        self.idle = True
        if done is not None:
            held = self.run(streams(self.store, self.partition))
            assert sum(len(data) for _, data in held.clean) == done.bytes_after
            kept = [record.key for record in self._read() if record.offset < done.boundary]
            assert len(set(kept)) == len(kept)

    @rule(calls=st.integers(1, 14), heard=st.booleans())
    def kill_a_cleaner(self, calls: int, heard: bool) -> None:
        self._live_again()
        topic = self.run(self.topics.get(self.partition.topic, fresh=True))
        mortal: Any = Mortal(self.store, calls, heard=heard)
        try:
            self.run(upkeep(mortal, topic, self.partition, force=True))
        except Killed:
            self.idle = False
        else:
            self.idle = True

    @rule(calls=st.integers(3, 12), batch=UPDATES)
    def freeze_a_cleaner(self, calls: int, batch: list[tuple[bytes, int | None]]) -> None:
        """Another one cleans meanwhile; the first wakes up and changes nothing."""
        self._live_again()
        topic = self.run(self.topics.get(self.partition.topic, fresh=True))

        async def frozen() -> None:
            waits, goes = asyncio.Event(), asyncio.Event()
            left = calls

            class Freezing(Watched):
                async def around(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        waits.set()
                        await goes.wait()
                    return await call(*args, **kwargs)

            lame: Any = Freezing(self.store)
            first = asyncio.create_task(upkeep(lame, topic, self.partition, force=True))
            waiting = asyncio.create_task(waits.wait())
            await asyncio.wait((first, waiting), return_when=asyncio.FIRST_COMPLETED)
            key = self.partition.keys.state
            if await self.store.execute("HEXISTS", key, "cleaner", key=key):
                await self.store.execute("HSET", key, "cleaner_until", 0, key=key)
            await upkeep(self.store, topic, self.partition, force=True)
            goes.set()
            waiting.cancel()
            await asyncio.gather(first, waiting, return_exceptions=True)
            assert first.exception() is None

        self.run(frozen())
        self.idle = True
        self.append(batch, 0, None)

    @rule()
    def sweep(self) -> None:
        self._live_again()
        self.run(sweep(self.store, self.topics))
        self.idle = True
        self.start = self.run(self.log.bounds(self.partition)).start

    # What administrators do.

    @rule(policy=st.sampled_from(["compact", "compact,delete", "delete", ""]))
    def alter(self, policy: str) -> None:
        self.run(self.topics.alter(self.partition.topic, {"cleanup.policy": policy}))

    @rule(limit=st.sampled_from([-1, 2_000, 6_000]))
    def limit_size(self, limit: int) -> None:
        self.run(self.topics.alter(self.partition.topic, {"retention.bytes": limit}))

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, len(self.written)))
        now = self.run(self.log.bounds(self.partition)).start
        assert self.run(self.log.delete_records(self.partition, offset)) == max(offset, now)

    @rule()
    def fail_over(self) -> None:
        key = self.partition.keys.state
        self.run(self.store.execute("HSET", key, "token", "0001" * 10, key=key))

    # What consumers do.

    @rule(budget=st.sampled_from([1, 900, 10**6]))
    def read_on(self, budget: int) -> None:
        """With a cursor that may know the log as it was before it was cleaned."""
        self.cursor.offset = max(self.cursor.offset, self.start)
        self._fetch(budget)

    @rule(data=st.data(), budget=st.sampled_from([1, 2_000]))
    def seek(self, data: st.DataObject, budget: int) -> None:
        self.cursor.offset = data.draw(st.integers(self.start, len(self.written)))
        self._fetch(budget)

    @precondition(lambda self: self.written)
    @rule(data=st.data())
    def look_for_a_time(self, data: st.DataObject) -> None:
        timestamp = data.draw(st.sampled_from([record.timestamp for record in self.written]))
        expected = next((r for r in self._read() if r.timestamp >= timestamp), None)
        found = self.run(offset_for_time(self.store, self.partition, timestamp))
        assert (found and found[:2]) == (expected and (expected.offset, expected.timestamp))

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "partition"):
            return
        bounds = self.run(self.log.bounds(self.partition))
        assert bounds.end == len(self.written)
        assert bounds.start >= self.start
        self.start = bounds.start
        if "boundary" in self.run(self._state()):
            self.run(check_compacted(self.store, self.partition, idle=self.idle))
        seen = self._read()
        assert all(self.written[record.offset] == record for record in seen)
        assert [r.offset for r in seen] == sorted({r.offset for r in seen})
        held = self.written[self.start :]
        assert last_of(seen) == last_of(held), "the last value of a key is another one"

    async def _state(self) -> set[str]:
        key = self.partition.keys.state
        return {field.decode() for field in await self.store.execute("HKEYS", key, key=key)}

    def _live_again(self) -> None:
        """The lease of a cleaner that was killed is over."""
        if not self.idle:
            key = self.partition.keys.state
            if self.run(self.store.execute("HEXISTS", key, "cleaner", key=key)):
                self.run(self.store.execute("HSET", key, "cleaner_until", 0, key=key))

    def _read(self) -> list[Left]:
        cursor, found = Cursor(self.partition, self.start), list[Left]()
        while True:
            fetched = self.run(fetch(self.store, cursor, 1 << 20))
            for stored in fetched.batches:
                found += [
                    Left(record.offset, record.key, record.value, record.timestamp)
                    for record in records_of(self.partition, stored, self.start)
                ]
            if not fetched.batches:
                assert cursor.offset == fetched.log_end, "a reader stands still"
                return found
            cursor.offset = fetched.batches[-1].next_offset

    def _fetch(self, budget: int) -> None:
        offset = self.cursor.offset
        fetched = self.run(fetch(self.store, self.cursor, budget))
        assert bool(fetched.batches) == (offset < len(self.written))
        for stored in fetched.batches:
            for record in records_of(self.partition, stored, offset):
                assert self.written[record.offset].value == record.value
        if fetched.batches:
            self.cursor.offset = fetched.batches[-1].next_offset
            between = [r for r in self._read() if offset <= r.offset < self.cursor.offset]
            got = [
                record.offset
                for stored in fetched.batches
                for record in records_of(self.partition, stored, offset)
            ]
            assert got == [record.offset for record in between]


@pytest.mark.every_server
@pytest.mark.parametrize("examples", [12, pytest.param(150, marks=pytest.mark.long)])
def test_the_log_is_as_the_model_says(redis_url: str, namespace: str, examples: int) -> None:
    CompactionMachine.url, CompactionMachine.namespace = redis_url, namespace
    run_state_machine_as_test(
        CompactionMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

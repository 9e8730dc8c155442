"""The whole log beside a plain model of it: whatever is done in whatever order, they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

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
from partstream.engine.log import ANY, Log
from partstream.engine.partition import Partition
from partstream.engine.reading import Cursor, fetch
from partstream.engine.retention import sweep
from partstream.engine.times import offset_for_time
from partstream.engine.topics import Topics
from partstream.errors import OffsetOutOfRange, OutOfOrderSequenceNumber
from partstream.store.store import Store
from tests.engine.logs import Inside, Producer, batch, check, inside, records_of

T = TypeVar("T")

RETENTION_MS = 1_000_000
PRODUCERS = st.integers(0, 2)


class Plain(NamedTuple):
    """A batch, as the model has it."""

    base: int
    end: int
    epoch: int
    size: int
    timestamps: tuple[int, ...]
    values: tuple[bytes, ...]


class LogMachine(RuleBasedStateMachine):
    """Steps of clients on one partition, and after each the comparison."""

    url = ""
    namespace = ""
    number = 0
    step = 200
    """Segments that are deleted, or looked at, in a call."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = self.run(Store.connect(self.url, namespace=self.namespace))
        self.topics = Topics(self.store)
        self.log = Log(self.store)
        self.partition: Partition
        self.batches: list[Plain] = []
        self.start = self.end = 0
        self.history: list[tuple[int, int]] = [(0, 0)]
        self.moved = False
        self.sent: dict[int, list[tuple[bytes, int]]] = {}
        """Producer -> its last five batches and their offsets."""
        self.sequences: dict[int, int] = {}
        self.retention_bytes = -1
        self.cursor: Cursor

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log, "_MOST_SEGMENTS", self.step)
            patch.setattr(index, "PAGE", self.step)
            return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        if hasattr(self, "partition"):
            await self.topics.delete(self.partition.topic)
        self.topics.close()
        await self.store.close()

    @initialize(
        segment_bytes=st.sampled_from([1_024, 2_000, 5_000]), step=st.sampled_from([1, 3, 200])
    )
    def begin(self, segment_bytes: int, step: int) -> None:
        LogMachine.number += 1
        self.step = step
        config = {
            "segment.bytes": segment_bytes,
            "retention.bytes": -1,
            "retention.ms": RETENTION_MS,
        }
        topic = self.run(self.topics.create(f"t{LogMachine.number}", 1, config))
        self.partition = topic.partitions[0]
        self.cursor = Cursor(self.partition, 0)

    # What producers do.

    @rule(
        sizes=st.lists(st.integers(0, 900), min_size=1, max_size=5),
        age=st.sampled_from([0, 0, 1, 77, 5_000, 2 * RETENTION_MS]),
        by=st.none() | PRODUCERS,
    )
    def append(self, sizes: list[int], age: int, by: int | None) -> None:
        at = self.run(self.topics.now_ms()) - age
        values = [b"%d:%d" % (self.end, i) + b"x" * size for i, size in enumerate(sizes)]
        producer = None
        if by is not None:
            # The first producer is about to wrap.
            sequence = self.sequences.setdefault(by, 2**31 - 3 if by == 0 else 0)
            producer = Producer(by, 0, sequence)
            self.sequences[by] = (sequence + len(values)) % 2**31
        data = batch(*values, at=at, step=-7, by=producer)
        before = self.run(inside(self.store, self.partition))
        answer = self.run(self.log.append(self.partition, data, line=ANY))
        assert (answer.base_offset, answer.duplicate) == (self.end, False)
        if self.moved:
            assert answer.leader_epoch > self.history[-1][0]
            self.history.append((answer.leader_epoch, self.end))
            self.moved = False
        assert answer.leader_epoch == self.history[-1][0]
        timestamps = tuple(at - 7 * i for i in range(len(values)))
        self.batches.append(
            Plain(
                self.end,
                self.end + len(values),
                answer.leader_epoch,
                len(data),
                timestamps,
                tuple(values),
            )
        )
        if by is not None:
            self.sent[by] = [*self.sent.get(by, []), (data, self.end)][-5:]
        self.end += len(values)
        self._retained(before, answer.log_start, by_time=False)

    @precondition(lambda self: self.sent)
    @rule(choice=st.randoms(use_true_random=False))
    def send_again(self, choice: Any) -> None:
        data, base = choice.choice(self.sent[choice.choice(sorted(self.sent))])
        answer = self.run(self.log.append(self.partition, data, line=ANY))
        assert (answer.base_offset, answer.duplicate) == (base, True)

    @precondition(lambda self: self.sent)
    @rule(gap=st.integers(1, 50), choice=st.randoms(use_true_random=False))
    def leave_a_gap(self, gap: int, choice: Any) -> None:
        by = choice.choice(sorted(self.sent))
        sequence = (self.sequences[by] + gap) % 2**31
        with pytest.raises(OutOfOrderSequenceNumber):
            self.run(
                self.log.append(self.partition, batch(b"x", by=Producer(by, 0, sequence)), line=ANY)
            )

    # What servers and their keepers do.

    @rule(token=st.text("0123456789abcdef", min_size=8, max_size=8))
    def fail_over(self, token: str) -> None:
        key = self.partition.keys.state
        self.run(self.store.execute("HSET", key, "token", token, key=key))
        self.moved = True

    @rule(limit=st.sampled_from([-1, 0, 1_500, 6_000]))
    def limit_size(self, limit: int) -> None:
        self.retention_bytes = limit
        self.run(self.topics.alter(self.partition.topic, {"retention.bytes": limit}))

    @rule()
    def sweep(self) -> None:
        before = self.run(inside(self.store, self.partition))
        self.run(sweep(self.store, self.topics))
        now = self.run(self.topics.now_ms())
        start = self.run(self.log.bounds(self.partition)).start
        self._retained(before, start, by_time=True)
        after = self.run(inside(self.store, self.partition))
        if len(after.rows) > 1:
            oldest = after.rows[1]
            assert oldest.timestamp >= now - RETENTION_MS - 1_000
            size = after.number("total") - oldest.size
            assert self.retention_bytes < 0 or size < self.retention_bytes

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(-1, self.end + 1))
        if offset > self.end:
            with pytest.raises(OffsetOutOfRange):
                self.run(self.log.delete_records(self.partition, offset))
            return
        low = self.run(self.log.delete_records(self.partition, offset))
        self._drop(max(self.start, self.end if offset < 0 else offset))
        assert low == self.start

    # What consumers do.

    @rule(budget=st.sampled_from([1, 700, 3_000, 10**6]))
    def read_on(self, budget: int) -> None:
        self.cursor.offset = max(self.cursor.offset, self.start)
        self._fetch(budget)

    @rule(data=st.data(), budget=st.sampled_from([1, 3_000]))
    def seek(self, data: st.DataObject, budget: int) -> None:
        self.cursor.offset = data.draw(st.integers(self.start, self.end))
        self._fetch(budget)

    @rule(data=st.data())
    def look_for_a_time(self, data: st.DataObject) -> None:
        seen = [at for each in self.batches for at in each.timestamps]
        timestamp = data.draw(st.sampled_from([0, *seen, 10**15])) + data.draw(st.integers(-8, 8))
        expected = next(
            (
                (each.base + i, at, each.epoch)
                for each in self.batches
                for i, at in enumerate(each.timestamps)
                if each.base + i >= self.start and at >= timestamp
            ),
            None,
        )
        assert self.run(offset_for_time(self.store, self.partition, timestamp)) == expected

    @rule(data=st.data())
    def ask_for_an_epoch(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from([own for own, _ in self.history]))
        epoch += data.draw(st.integers(0, 1))
        ends = [start for own, start in self.history if own > epoch]
        expected = (
            max(own for own, _ in self.history if own <= epoch),
            ends[0] if ends else self.end,
        )
        if epoch > self.history[-1][0]:
            expected = (-1, -1)
        assert self.run(self.log.epoch_end(self.partition, epoch)) == expected

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "partition"):
            return
        seen = self.run(check(self.store, self.partition))
        assert (seen.number("start"), seen.number("end")) == (self.start, self.end)
        assert [entry[:2] for entry in seen.entries] == [
            (each.end, each.epoch) for each in self.batches
        ]

    def _fetch(self, budget: int) -> None:
        offset = self.cursor.offset
        fetched = self.run(fetch(self.store, self.cursor, budget))
        assert (fetched.log_start, fetched.log_end) == (self.start, self.end)
        sizes = [len(stored.payload) for stored in fetched.batches]
        assert len(sizes) <= 1 or sum(sizes) <= budget
        assert bool(sizes) == (offset < self.end)
        got = [
            (record.offset, record.timestamp, record.value)
            for stored in fetched.batches
            for record in records_of(self.partition, stored, offset)
        ]
        plain = [
            (each.base + i, each.timestamps[i], value)
            for each in self.batches
            for i, value in enumerate(each.values)
            if each.base + i >= offset
        ]
        assert got == plain[: len(got)]
        if fetched.batches:
            self.cursor.offset = fetched.batches[-1].next_offset

    def _retained(self, before: Inside, start: int, *, by_time: bool) -> None:
        """Retention took whole segments, and none that had to stay."""
        if start == self.start:
            return
        assert start in {*(row.end for row in before.rows), before.number("end"), self.end}
        gone = [each for each in self.batches if each.end <= start]
        left = sum(each.size for each in self.batches) - sum(each.size for each in gone)
        old = by_time and max(at for each in gone for at in each.timestamps) < (
            self.run(self.topics.now_ms()) - RETENTION_MS
        )
        assert old or 0 <= self.retention_bytes <= left
        self._drop(start)

    def _drop(self, start: int) -> None:
        self.start = start
        self.batches = [each for each in self.batches if each.end > start]


@pytest.mark.every_server
def test_the_log_is_as_the_model_says(redis_url: str, namespace: str) -> None:
    LogMachine.url, LogMachine.namespace = redis_url, namespace
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

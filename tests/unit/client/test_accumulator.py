"""Batches, queues and bounded memory, without a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from partstream.client.accumulator import Accumulator, Queue
from partstream.client.numbering import Numbering
from partstream.errors import ClosedClient, RecordTooLarge
from partstream.model import TopicPartition
from partstream.records import header
from partstream.records.codec import decode


@dataclass
class Bench:
    """An accumulator, and what it has told."""

    batch_size: int = 200
    buffer_memory: int = 1_000
    max_request_size: int = 1_000
    opened: list[Queue] = field(default_factory=list)
    filled: list[Queue] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.accumulator = Accumulator(
            batch_size=self.batch_size,
            buffer_memory=self.buffer_memory,
            max_request_size=self.max_request_size,
            on_open=self.opened.append,
            on_full=self.filled.append,
        )
        self.queue = Queue(TopicPartition("t", 0), codec=0, limit=10_000)

    def put(self, value: bytes = b"x", queue: Queue | None = None) -> bool:
        queue = queue or self.queue
        return self.accumulator.begin_batch(queue, 5, None, value, []) is not None


def test_records_share_a_batch_until_it_is_full() -> None:
    bench = Bench()
    for _ in range(4):
        assert bench.put(b"x" * 50)
    assert bench.opened == [bench.queue]
    assert bench.filled == [bench.queue]
    assert [batch.count for batch in bench.queue.ready] == [2]
    assert bench.queue.open is not None
    assert bench.queue.open.count == 2


def test_memory_is_reserved_by_the_batch_and_comes_back() -> None:
    bench = Bench(buffer_memory=450)
    queues = [Queue(TopicPartition("t", index), codec=0, limit=10_000) for index in range(3)]
    assert bench.put(queue=queues[0])
    assert bench.put(queue=queues[1])
    assert bench.accumulator.free == 50
    assert not bench.put(queue=queues[2])
    assert bench.put(queue=queues[0]), "an open batch has room already"
    first = queues[0].open
    assert first is not None
    bench.accumulator.release(first)
    assert bench.put(queue=queues[2])


def test_a_record_that_is_refused_costs_no_memory() -> None:
    bench = Bench()
    with pytest.raises(TypeError):
        bench.accumulator.begin_batch(bench.queue, 5, None, "text", [])  # type: ignore[arg-type]
    assert bench.accumulator.free == 1_000
    assert bench.queue.open is None
    assert bench.opened == []


def test_limits() -> None:
    bench = Bench(max_request_size=500)
    with pytest.raises(RecordTooLarge, match="max_request_size=500"):
        bench.put(b"x" * 500)
    bench.queue.limit = 300
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes=300"):
        bench.put(b"x" * 300)
    bench.queue.codec = 4
    assert bench.put(b"x" * 300), "compressed it may fit"


def test_a_queue_that_is_closed_begins_no_batch() -> None:
    bench = Bench()
    assert bench.put()
    bench.queue.close()
    with pytest.raises(ClosedClient):
        bench.put()
    assert len(bench.queue.ready) == 1


def test_an_open_batch_takes_records_after_the_last_has_begun() -> None:
    bench = Bench()
    assert bench.put()
    bench.queue.begin_no_more()
    assert bench.put()
    assert bench.queue.seal()
    with pytest.raises(ClosedClient):
        bench.put()


def test_batches_are_put_back_in_front() -> None:
    bench = Bench(batch_size=0)
    for _ in range(4):
        bench.put()
    bench.queue.seal()
    first, second, *_ = ready = list(bench.queue.ready)
    bench.queue.ready.popleft()
    bench.queue.ready.popleft()
    bench.queue.put_back([first, second])
    assert list(bench.queue.ready) == ready
    assert not bench.queue.take_head(second)
    assert bench.queue.take_head(first)
    assert list(bench.queue.ready) == ready[1:]


def test_old_batches_are_taken_out_also_the_open_one() -> None:
    bench = Bench(batch_size=0)
    for _ in range(3):
        bench.put()
    bench.queue.seal()
    bench.put()
    batches = [*bench.queue.ready, bench.queue.open]
    for number, batch in enumerate(batches):
        assert batch is not None
        batch.created = number
    assert bench.queue.take_older(1) == batches[:2]
    assert bench.queue.open is batches[3]
    assert bench.queue.take_older(float("inf")) == batches[2:]
    assert bench.queue.open is None


def test_the_bytes_of_a_batch() -> None:
    bench = Bench()
    bench.put(b"1")
    bench.put(b"2")
    bench.queue.seal()
    (batch,) = bench.queue.ready
    numbering = Numbering(7)
    numbering.number(batch)
    head = header.parse(batch.payload)
    assert (head.producer_id, head.producer_epoch, head.base_sequence) == (7, 0, 0)
    assert [record.value for record in decode(batch.payload, "t", 0, 0)] == [b"1", b"2"]
    numbering.begin_anew()
    numbering.number(batch)
    head = header.parse(batch.payload)
    assert (head.producer_id, head.producer_epoch, head.base_sequence) == (7, 1, 0)
    header.check_crc(batch.payload)
    assert bench.queue.encoded() == [batch]


def test_sequences_go_on_wrap_and_begin_anew() -> None:
    bench = Bench(batch_size=0)

    def sequence_of(numbering: Numbering) -> tuple[int, int, int]:
        bench.put()
        bench.queue.seal()
        batch = bench.queue.ready.pop()
        numbering.number(batch)
        bench.accumulator.release(batch)
        head = header.parse(batch.payload)
        return head.producer_id, head.producer_epoch, head.base_sequence

    numbering = Numbering(7)
    assert [sequence_of(numbering) for _ in range(3)] == [(7, 0, 0), (7, 0, 1), (7, 0, 2)]
    numbering._sequence = 2**31 - 1
    assert [sequence_of(numbering)[2] for _ in range(2)] == [2**31 - 1, 0]
    numbering.begin_elsewhere()
    assert sequence_of(numbering) == (7, 0, 0)
    numbering._epoch = 2**15 - 3
    assert not numbering.used_up
    numbering.begin_anew()
    assert sequence_of(numbering) == (7, 2**15 - 2, 0)
    assert numbering.used_up
    numbering.begin_anew(8)
    assert sequence_of(numbering) == (8, 0, 0)
    assert sequence_of(Numbering(-1)) == (-1, -1, -1)


def test_threads_do_not_share_a_place_in_a_batch() -> None:
    bench = Bench(batch_size=1_000, buffer_memory=1 << 30)
    places: list[list[tuple[int, int]]] = [[] for _ in range(4)]
    start = threading.Barrier(4)

    def fill(mine: list[tuple[int, int]]) -> None:
        start.wait()
        for _ in range(2_000):
            delivery = bench.accumulator.begin_batch(bench.queue, 5, None, b"x", [])
            assert delivery is not None
            mine.append((id(delivery._outcome), delivery._index))

    run_all([partial(fill, mine) for mine in places])
    bench.queue.seal()
    assert len({place for mine in places for place in mine}) == 8_000
    assert sum(batch.count for batch in bench.queue.ready) == 8_000


def run_all(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

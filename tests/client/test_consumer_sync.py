"""The blocking consumer: the same as the asyncio one, on the user's thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from partstream.client.listener import RebalanceListener
from partstream.errors import (
    ClosedClient,
    CommitFailed,
    ForkedClient,
    IllegalState,
    StoreUnavailable,
    Wakeup,
)
from partstream.model import OffsetAndMetadata, OffsetAndTimestamp, Record, TopicPartition
from partstream.sync.consumer import Consumer
from tests.client.consuming import offsets, source, tp, tps, values
from tests.client.interrupting import Interrupt

Names = frozenset[TopicPartition]


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    return Consumer(url, namespace=namespace, **{"auto_offset_reset": "earliest", **config})


def fill(url: str, namespace: str, counts: Sequence[int], batch: int = 100) -> None:
    """A topic with so many records in each of its partitions."""

    async def work() -> None:
        async with source(url, namespace) as logs:
            await logs.topic(partitions=len(counts))
            for partition, count in enumerate(counts):
                await logs.fill(count, partition, batch=batch)

    asyncio.run(work())


def put(url: str, namespace: str, text: str, partition: int = 0) -> None:
    async def work() -> None:
        async with source(url, namespace) as logs:
            await logs.put([text], partition)

    asyncio.run(work())


def take(reader: Consumer, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 15
    while len(records) < count:
        assert time.monotonic() < deadline
        records += reader.poll(timeout=1.0)
    return records


def test_polling_and_positions(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [50, 0])
    with consumer(redis_url, namespace, group_id="g", enable_auto_commit=False) as reader:
        reader.assign(tps(2))
        assert offsets(take(reader, 50)) == list(range(50))
        assert reader.assignment() == set(tps(2))
        assert reader.position(tp(0)) == 50
        assert reader.end_offsets(tp(0)) == {tp(0): 50}
        assert reader.beginning_offsets(tp(0)) == {tp(0): 0}
        assert reader.lag() == {tp(0): 0, tp(1): 0}
        assert reader.partitions_for("t") == 2
        reader.seek(tp(0), 40)
        assert reader.lag(tp(0)) == {tp(0): 10}
        assert reader.poll(max_records=3, timeout=5.0)[0].offset == 40
        reader.commit()
        reader.commit({tp(1): OffsetAndMetadata(0, "why")})
        assert reader.committed() == {
            tp(0): OffsetAndMetadata(reader.position(tp(0)), "", 0),
            tp(1): OffsetAndMetadata(0, "why"),
        }
        reader.pause(tp(0))
        assert reader.paused() == {tp(0)}
        assert reader.poll(timeout=0.05) == []
        reader.resume(tp(0))
        reader.seek_to_beginning()
        assert reader.poll(max_records=1, timeout=5.0)[0].offset == 0
        reader.seek_to_end()
        assert reader.poll(timeout=0.05) == []
        assert reader.position(tp(0)) == 50
        reader.seek_to_timestamp(0, tp(0))
        assert reader.position(tp(0)) == 0
        found = reader.offsets_for_times({tp(0): 0})[tp(0)]
        assert isinstance(found, OffsetAndTimestamp)
        assert found.offset == 0
        reader.unsubscribe()
        assert reader.assignment() == frozenset()


def test_iteration(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [300, 200], batch=70)
    with consumer(
        redis_url, namespace, max_poll_records=90, group_id="g", enable_auto_commit=False
    ) as reader:
        reader.assign(tps(2))
        seen: list[list[int]] = [[], []]
        for record in reader:
            seen[record.partition].append(record.offset)
            if sum(map(len, seen)) % 100 == 0:
                reader.commit()
                assert reader.committed()[tp(record.partition)] == OffsetAndMetadata(
                    record.offset + 1, "", 0
                )
            if sum(map(len, seen)) == 450:
                break
        for record in reader:  # a new iteration goes on where the last one was left
            seen[record.partition].append(record.offset)
            if sum(map(len, seen)) == 500:
                break
        assert seen == [list(range(300)), list(range(200))]


def test_seeking_within_an_iteration(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    with consumer(redis_url, namespace) as reader:
        reader.assign(tp())
        seen = []
        for record in reader:
            seen.append(record.offset)
            if seen == [0, 1]:
                reader.seek(tp(), 8)
            if record.offset == 9:
                break
        assert seen == [0, 1, 8, 9]
        reader.seek(tp(), 3)
        assert offsets(reader.poll(max_records=2, timeout=5.0)) == [3, 4]


class Listener(RebalanceListener):
    """Calls the consumer from within, on the user's thread."""

    def __init__(self, reader: Consumer) -> None:
        self.reader = reader
        self.heard: list[tuple[str, Names]] = []
        self.threads: set[int] = set()
        self.fails: type[BaseException] | None = None

    def _note(self, what: str, partitions: Names) -> None:
        self.heard.append((what, partitions))
        self.threads.add(threading.get_ident())
        if self.fails is not None:
            raise self.fails

    def on_partitions_assigned(self, partitions: Names) -> None:
        self._note("assigned", partitions)
        for name in partitions:
            self.reader.seek(name, 5)
            assert self.reader.position(name) == 5
        with pytest.raises(IllegalState, match="another task or thread"):
            self.reader.poll()

    def on_partitions_revoked(self, partitions: Names) -> None:
        self._note("revoked", partitions)
        self.reader.commit()


def test_a_listener_may_call_the_consumer(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10, 10])
    with consumer(redis_url, namespace, group_id="g", enable_auto_commit=False) as reader:
        listener = Listener(reader)
        reader.subscribe(["t"], listener=listener)
        assert reader.subscription() == {"t"}
        assert sorted(offsets(take(reader, 10))) == sorted([*range(5, 10)] * 2)
    assert listener.heard == [("assigned", frozenset(tps(2))), ("revoked", frozenset(tps(2)))]
    assert listener.threads == {threading.get_ident()}
    with consumer(redis_url, namespace, group_id="g") as reader:
        assert reader.committed(tp(0))[tp(0)] == OffsetAndMetadata(10, "", 0)


def test_what_a_listener_raises_comes_out_of_poll(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    with consumer(redis_url, namespace, group_id="g") as reader:
        listener = Listener(reader)
        listener.fails = ZeroDivisionError
        reader.subscribe(["t"], listener=listener)
        with pytest.raises(ZeroDivisionError):
            take(reader, 1)
        listener.fails = None
        assert len(take(reader, 10)) == 10


def test_an_async_listener_is_refused(redis_url: str, namespace: str) -> None:
    class Wrong(RebalanceListener):
        async def on_partitions_assigned(self, partitions: Names) -> None:
            raise AssertionError

    fill(redis_url, namespace, [1])
    with consumer(redis_url, namespace, group_id="g") as reader:
        reader.subscribe(["t"], listener=Wrong())
        with pytest.raises(IllegalState, match=r"partstream\.aio"):
            take(reader, 1)


def test_callbacks_of_commits_come_on_the_users_thread(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    heard: list[tuple[int, Any, Any]] = []

    def note(named: Any, error: Any) -> None:
        heard.append((threading.get_ident(), named, error))

    with consumer(redis_url, namespace, group_id="g", enable_auto_commit=False) as reader:
        reader.assign(tp())
        take(reader, 10)
        reader.commit_async(callback=note)
        reader.commit_async({tp(): 3}, note)
        deadline = time.monotonic() + 10
        while not heard:
            assert time.monotonic() < deadline
            reader.poll(timeout=0.05)
    me = threading.get_ident()
    assert heard == [
        (me, {tp(): OffsetAndMetadata(10, "", 0)}, None),
        (me, {tp(): OffsetAndMetadata(3)}, None),
    ]


def test_two_members_share(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [100] * 4)
    seen: list[list[tuple[int, int]]] = [[], []]
    enough = threading.Event()

    def consume(number: int) -> None:
        with consumer(redis_url, namespace, group_id="g") as reader:
            reader.subscribe(["t"])
            while not enough.is_set():
                for record in reader.poll(timeout=0.1):
                    seen[number].append((record.partition, record.offset))
                if len(set(seen[0] + seen[1])) == 400:
                    enough.set()

    threads = [threading.Thread(target=consume, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert enough.is_set()
    assert len(seen[0] + seen[1]) == 400


def from_another_thread(call: Callable[[], object], after: float = 0.1) -> threading.Timer:
    timer = threading.Timer(after, call)
    timer.start()
    return timer


def test_one_thread_at_a_time(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [0])
    with consumer(redis_url, namespace) as reader:
        reader.assign(tp())
        refused: list[BaseException] = []

        def intrude() -> None:
            try:
                reader.position(tp())
            except IllegalState as error:
                refused.append(error)
            reader.wakeup()

        timer = from_another_thread(intrude)
        with pytest.raises(Wakeup):
            reader.poll(timeout=None)
        timer.join()
        assert "another thread" in str(refused[0])


def test_closing_from_another_thread_ends_a_poll(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [0])
    reader = consumer(redis_url, namespace, group_id="g")
    reader.subscribe(["t"])
    timer = from_another_thread(reader.close, 0.3)
    with pytest.raises(ClosedClient):
        next(iter(reader))
    timer.join()
    for call in (
        reader.poll,
        reader.assignment,
        reader.commit,
        reader.wakeup,
        lambda: next(iter(reader)),
        lambda: reader.subscribe(["t"]),
    ):
        with pytest.raises(ClosedClient):
            call()
    reader.close()


def test_an_interrupt_leaves_it_usable(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [0])
    with consumer(redis_url, namespace) as reader:
        reader.assign(tp())
        for _ in range(3):
            with Interrupt() as interrupt:
                timer = from_another_thread(interrupt.send, 0.1)
                with pytest.raises(KeyboardInterrupt):
                    reader.poll(timeout=None)
                timer.join()
            assert reader.poll() == []
        put(redis_url, namespace, "a")
        assert values(take(reader, 1)) == ["a"]


def test_an_interrupt_in_a_listener_leaves_it_usable(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    with consumer(redis_url, namespace, group_id="g") as reader:
        listener = Listener(reader)
        listener.fails = KeyboardInterrupt
        reader.subscribe(["t"], listener=listener)
        with pytest.raises(KeyboardInterrupt):
            take(reader, 1)
        listener.fails = None
        assert len(take(reader, 10)) == 10


def test_what_failed_in_the_users_hands_is_not_committed(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    with pytest.raises(ZeroDivisionError):
        _fail_at(redis_url, namespace, 4)
    with consumer(redis_url, namespace, group_id="g") as reader:
        assert reader.committed(tp())[tp()] == OffsetAndMetadata(4, "", 0)


def _fail_at(url: str, namespace: str, offset: int) -> None:
    with consumer(url, namespace, group_id="g") as reader:
        reader.assign(tp())
        for record in reader:
            if record.offset == offset:
                raise ZeroDivisionError


def test_what_failed_after_a_commit_does_not_take_it_back(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [10])
    with pytest.raises(ZeroDivisionError):
        _commit_and_fail_at(redis_url, namespace, 4)
    with consumer(redis_url, namespace, group_id="g") as reader:
        assert reader.committed(tp())[tp()] == OffsetAndMetadata(5, "", 0)


def _commit_and_fail_at(url: str, namespace: str, offset: int) -> None:
    with consumer(url, namespace, group_id="g") as reader:
        reader.assign(tp())
        for record in reader:
            if record.offset == offset:
                reader.commit()
                raise ZeroDivisionError


def test_a_commit_that_is_refused(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [1])
    with (
        consumer(redis_url, namespace, group_id="g") as member,
        consumer(redis_url, namespace, group_id="g") as outsider,
    ):
        member.subscribe(["t"])
        take(member, 1)
        with pytest.raises(CommitFailed):
            outsider.commit({tp(): 1})


def test_an_unreachable_redis_is_told_at_once(namespace: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        Consumer("redis://127.0.0.1:1", namespace=namespace, request_timeout_ms=300)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_consumer_says_so(redis_url: str, namespace: str) -> None:
    fill(redis_url, namespace, [1])
    with consumer(redis_url, namespace) as reader:
        reader.assign(tp())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                reader.poll()
            except ForkedClient:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert len(take(reader, 1)) == 1


def test_a_consumer_that_nobody_closes_does_not_keep_the_process(
    redis_url: str, namespace: str
) -> None:
    fill(redis_url, namespace, [1])
    script = f"""
from partstream.sync.consumer import Consumer
reader = Consumer({redis_url!r}, namespace={namespace!r}, auto_offset_reset="earliest")
reader.assign(("t", 0))
print(reader.poll(timeout=10)[0].offset)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "0\n"

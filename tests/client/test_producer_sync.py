"""The blocking producer: many threads, forks, closing, and what is left when nobody closes."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from partstream.client.delivery import Delivery
from partstream.embedded.server import EmbeddedServer
from partstream.errors import (
    BufferExhausted,
    ClientTimeout,
    ClosedClient,
    ConfigError,
    IllegalState,
    InvalidTopic,
    SerializationError,
    StoreUnavailable,
    UnknownTopicOrPartition,
)
from partstream.model import Record
from partstream.sync.producer import Producer
from tests.client import producing
from tests.client.producing import numbered
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def values(url: str, namespace: str, topic: str = "t") -> list[list[bytes | None]]:
    return asyncio.run(producing.values(url, namespace, topic))


def logs(url: str, namespace: str, topic: str = "t") -> list[list[Record]]:
    return asyncio.run(producing.logs(url, namespace, topic))


@pytest.mark.every_server
def test_the_example_of_the_documentation(redis_url: str, namespace: str) -> None:
    with Producer(redis_url, namespace=namespace, acks="all", linger_ms=5) as producer:
        delivery = producer.send("orders", b"...", key=b"customer-42", headers=[("trace", b"1")])
        metadata = delivery.result(timeout=5)
        assert (metadata.topic, metadata.partition, metadata.offset) == ("orders", 0, 0)
        producer.flush()
        assert producer.partitions_for("orders") == 1
        assert producer.config.linger_ms == 5
        assert producer.losses == []
    (log,) = logs(redis_url, namespace, "orders")
    assert log[0][5:] == (b"customer-42", b"...", (("trace", b"1"),))


def test_many_threads(redis_url: str, namespace: str) -> None:
    """Each thread's values keep their order under each key, and the offsets are dense."""
    threads, each = 8, 1_500
    with Producer(
        redis_url, namespace=namespace, num_partitions=3, batch_size=2_000, linger_ms=1,
        buffer_memory=60_000,
    ) as producer:  # fmt: skip

        def send_all(thread: int) -> list[Delivery]:
            rng = random.Random(thread)
            sent = []
            for number in range(each):
                key = b"%d" % rng.randrange(5)
                sent.append(producer.send("t", b"%d:%d" % (thread, number), key=key))
                if rng.random() < 0.002:
                    producer.flush()
            return sent

        with ThreadPoolExecutor(threads) as pool:
            deliveries = [d for sent in pool.map(send_all, range(threads)) for d in sent]
        producer.flush()
        assert all(delivery.done() for delivery in deliveries)
        places = {(d.result().partition, d.result().offset) for d in deliveries}
    found = logs(redis_url, namespace)
    assert len(places) == threads * each == sum(map(len, found))
    last: dict[tuple[bytes, bytes | None], int] = {}
    for log in found:
        assert [record.offset for record in log] == list(range(len(log)))
        for record in log:
            assert record.value is not None
            thread, number = record.value.split(b":")
            assert int(number) > last.get((thread, record.key), -1)
            last[thread, record.key] = int(number)


def test_several_threads_wait_for_one_delivery(redis_url: str, namespace: str) -> None:
    with Producer(redis_url, namespace=namespace, linger_ms=50) as producer:
        delivery = producer.send("t", b"x")
        with ThreadPoolExecutor(5) as pool:
            assert [d.result().offset for d in pool.map(lambda _: delivery, range(5))] == [0] * 5


def test_arguments_are_checked_where_they_are_given(redis_url: str, namespace: str) -> None:
    with Producer(redis_url, namespace=namespace) as producer:
        producer.send("t", b"x")
        with pytest.raises(InvalidTopic):
            producer.send(["t"], b"x")  # type: ignore[arg-type]
        with pytest.raises(SerializationError, match="'text'"):
            producer.send("t", "text")
        with pytest.raises(SerializationError, match="5"):
            producer.send("t", b"x", headers=5)  # type: ignore[arg-type]
        with pytest.raises(UnknownTopicOrPartition, match="7"):
            producer.send("t", b"x", partition=7)
        producer.send("t", b"y", headers=(pair for pair in [("a", b"1")]))
    assert values(redis_url, namespace) == [[b"x", b"y"]]


def test_a_config_that_is_refused_starts_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError, match="linger_ms"):
        Producer("redis://localhost", lingerms=5)
    with pytest.raises(StoreUnavailable):
        Producer("redis://127.0.0.1:1", request_timeout_ms=300)
    assert threading.active_count() == before


def test_a_closed_producer(redis_url: str, namespace: str) -> None:
    producer = Producer(redis_url, namespace=namespace, linger_ms=60_000)
    delivery = producer.send("t", b"x")
    producer.close()
    assert delivery.result(0).offset == 0
    producer.close()
    for call in (
        lambda: producer.send("t", b"x"),
        producer.flush,
        lambda: producer.send("u", b"x"),
    ):
        with pytest.raises(ClosedClient):
            call()
    assert threading.active_count() == 1 or "partstream producer" not in {
        thread.name for thread in threading.enumerate()
    }


def test_a_callback_that_calls_its_producer(redis_url: str, namespace: str) -> None:
    with Producer(redis_url, namespace=namespace, linger_ms=0) as producer:
        producer.send("t", b"x").result()
        outcomes: list[object] = []

        def call_back(_: Delivery) -> None:
            outcomes.append(producer.send("t", b"fine"))
            for call in (producer.flush, producer.close, lambda: producer.send("new", b"x")):
                try:
                    outcomes.append(call())
                except IllegalState as error:
                    outcomes.append(str(error))

        producer.send("t", b"y").add_done_callback(call_back)
        wait_until(lambda: len(outcomes) == 4)
        assert isinstance(outcomes[0], Delivery)
        assert all("callback" in str(outcome) for outcome in outcomes[1:]), outcomes
    assert values(redis_url, namespace) == [[b"x", b"y", b"fine"]]


def test_a_full_buffer_blocks(fresh_server: EmbeddedServer, namespace: str) -> None:
    with Producer(
        fresh_server.url, namespace=namespace, linger_ms=0, batch_size=500, buffer_memory=2_000,
        max_block_ms=100,
    ) as producer:  # fmt: skip
        producer.send("t", b"x").result()
        fresh_server.pause()
        try:
            for _ in range(4):
                producer.send("t", b"x" * 400)
            began = time.monotonic()
            with pytest.raises(BufferExhausted, match="max_block_ms=100"):
                producer.send("t", b"x" * 400)
            assert 0.09 < time.monotonic() - began < 1
            with pytest.raises(ClientTimeout):
                producer.flush(0.05)
        finally:
            fresh_server.resume()
        producer.flush()


def test_close_while_threads_send(redis_url: str, namespace: str) -> None:
    """A send either raises ClosedClient, or its delivery has an end, acknowledged or not."""
    for _ in range(10):
        producer = Producer(
            redis_url, namespace=namespace, linger_ms=1, batch_size=500, buffer_memory=20_000
        )
        accepted: list[list[Delivery]] = [[] for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            sending = [pool.submit(send_until_closed, producer, sent) for sent in accepted]
            wait_until(partial(all_have_sent, accepted))
            producer.close()
            for thread in sending:
                assert isinstance(thread.exception(5), ClosedClient)
        for delivery in (d for sent in accepted for d in sent):
            assert isinstance(delivery.exception(0), ClosedClient | None)


def send_until_closed(producer: Producer, sent: list[Delivery]) -> None:
    while True:
        sent.append(producer.send("t", b"x" * 50))


def all_have_sent(accepted: list[list[Delivery]]) -> bool:
    return all(len(sent) > 20 for sent in accepted)


def test_close_by_several_threads(redis_url: str, namespace: str) -> None:
    for _ in range(10):
        producer = Producer(redis_url, namespace=namespace, linger_ms=0)
        producer.send("t", b"x")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Producer.close, [producer] * 4))


@pytest.mark.filterwarnings("error")
def test_a_producer_that_is_dropped_ends_its_thread(redis_url: str, namespace: str) -> None:
    producer = Producer(redis_url, namespace=namespace)
    producer.send("t", b"x").result()
    name = producer._portal._thread.name
    thread = producer._portal._thread
    del producer
    gc.collect()
    thread.join(5)
    assert not thread.is_alive(), name
    gc.collect()


def run_script(script: str, *args: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run it in development mode; what asyncio says there of steps that took long is left out: it
    speaks of the machine.
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c",
         textwrap.dedent(script), *args],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(line for line in lines if not line.startswith("Executing <"))
    return done


def test_fork(redis_url: str, namespace: str) -> None:
    """The child is told, and ends; the parent's producer is none the worse."""
    done = run_script(
        """
        import os, sys
        from partstream.errors import ForkedClient
        from partstream.sync.producer import Producer

        producer = Producer(sys.argv[1], namespace=sys.argv[2], linger_ms=20)
        producer.send("t", b"before").result()
        pending = producer.send("t", b"pending")
        for way in ("exit", "with", "_exit"):
            pid = os.fork()
            if pid == 0:
                for call in (
                    lambda: producer.send("t", b"child"),
                    lambda: producer.send("new", b"child"),
                    producer.flush,
                ):
                    try:
                        call()
                    except ForkedClient as error:
                        assert str(os.getppid()) in str(error), error
                    else:
                        os._exit(3)
                producer.close()
                with Producer(sys.argv[1], namespace=sys.argv[2]) as own:
                    own.send("t", b"own").result(5)
                if way == "_exit":
                    os._exit(0)
                sys.exit(0)
            _, status = os.waitpid(pid, 0)
            assert status == 0, (way, status)
            assert producer.send("t", b"parent").result(5).offset > 0
        assert pending.result(5).offset == 1
        producer.close()
        print("parent is fine")
        """,
        redis_url,
        namespace,
    )
    assert (done.returncode, done.stdout) == (0, "parent is fine\n"), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    (log,) = values(redis_url, namespace)
    assert sorted(value for value in log if value) == sorted(
        [b"before", b"pending", *[b"own"] * 3, *[b"parent"] * 3]
    )


def test_an_interpreter_that_ends_without_close_does_not_hang(
    redis_url: str, namespace: str
) -> None:
    done = run_script(
        """
        import sys
        from partstream.sync.producer import Producer

        producer = Producer(sys.argv[1], namespace=sys.argv[2], linger_ms=60_000)
        producer.send("t", b"flushed")
        producer.flush()
        producer.send("t", b"on its way")
        """,
        redis_url,
        namespace,
    )
    assert done.returncode == 0
    # It is tried, but not waited for.
    warning = "the producer was closed; records not delivered: 1\n"
    assert done.stderr in ("", warning)
    (log,) = values(redis_url, namespace)
    assert log[0] == b"flushed"
    assert len(log) == 2 or done.stderr == warning


def test_an_interpreter_that_ends_without_close_ends_an_embedded_server() -> None:
    done = run_script(
        """
        from partstream.sync.producer import Producer

        producer = Producer("embedded:")
        producer.send("t", b"flushed")
        producer.flush()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.faults
def test_a_producer_that_is_killed(redis_url: str, namespace: str, tmp_path: Path) -> None:
    """What was acknowledged to it is there, and all that is there is in order without a gap."""
    noted = tmp_path / "acknowledged"
    script = textwrap.dedent(
        """
        import os, sys
        from partstream.sync.producer import Producer

        note = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        producer = Producer(
            sys.argv[1], namespace=sys.argv[2], linger_ms=1, batch_size=2_000, num_partitions=2
        )

        def acknowledged(number):
            def write(delivery):
                placed = delivery.result()
                os.write(note, b"%d %d %d\\n" % (number, placed.partition, placed.offset))
            return write

        number = 0
        while True:
            key = b"%d" % (number % 10)
            producer.send("t", b"%d" % number, key=key).add_done_callback(acknowledged(number))
            number += 1
            if number % 5_000 == 0:
                producer.flush()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, redis_url, namespace, str(noted)], cwd=ROOT
    ) as child:
        wait_until(lambda: noted.exists() and noted.stat().st_size > 100_000, within=20)
        child.kill()
    found = logs(redis_url, namespace)
    whole = noted.read_text().rpartition("\n")[0].splitlines()
    assert len(whole) > 5_000
    for line in whole:
        number, partition, offset = map(int, line.split())
        assert found[partition][offset].value == b"%d" % number
    by_key: dict[bytes | None, list[int]] = {}
    for log in found:
        assert [record.offset for record in log] == list(range(len(log)))
        for record in log:
            by_key.setdefault(record.key, []).append(int(record.value or b""))
    assert len(by_key) == 10
    for numbers in by_key.values():
        assert numbers == list(range(numbers[0], numbers[-1] + 1, 10))
        assert numbers[0] < 10


def test_other_threads_go_on_while_one_waits(fresh_server: EmbeddedServer, namespace: str) -> None:
    with Producer(fresh_server.url, namespace=namespace, linger_ms=0) as producer:
        producer.send("t", b"x").result()
        fresh_server.pause()
        waiting = producer.send("t", b"y")
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(waiting.result)
            for value in numbered(100):
                producer.send("t", value)
            assert not result.done()
            fresh_server.resume()
            assert result.result(5).offset == 1
    assert os.getpid() == producer._portal._pid

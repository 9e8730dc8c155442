"""Clients behind Sentinels: a primary dies, real sentinels promote its replica, work goes on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from partstream import aio
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, PartstreamError, StoreUnavailable
from partstream.model import Record
from tests.servers.targets import Target
from tests.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.deadline(120)]

KEYS = 8


class Traffic:
    """One producer that never stops, one consumer of a group; both write down what they saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: list[int] = []
        self.failed: list[tuple[int, PartstreamError]] = []
        self.read: list[Record] = []
        self.stopping = asyncio.Event()
        self.produced = asyncio.Event()

    async def produce(self) -> None:
        """Numbers in order, some dozens at a time."""
        async with aio.Producer(self.url, acks="all", request_timeout_ms=5_000) as producer:
            for first in itertools.count(0, 50):
                numbers = range(first, first + 50)
                sent = [
                    await producer.send("t", b"%d" % number, key=b"%d" % (number % KEYS))
                    for number in numbers
                ]
                for number, delivery in zip(numbers, sent, strict=True):
                    try:
                        await delivery
                    except PartstreamError as error:
                        self.failed.append((number, error))
                    else:
                        self.acknowledged.append(number)
                if self.stopping.is_set():
                    self.produced.set()
                    return

    async def consume(self) -> None:
        """Read and commit, until all is produced, and what was acknowledged is read."""
        async with aio.Consumer(
            self.url, group_id="g", auto_offset_reset="earliest", request_timeout_ms=5_000
        ) as consumer:
            await consumer.subscribe(["t"])
            while not (self.produced.is_set() and self.has_read_all()):
                self.read += await consumer.poll(timeout=0.5)

    def has_read_all(self) -> bool:
        return set(self.acknowledged) <= {int(record.value or b"") for record in self.read}

    def judge(self) -> None:
        """Nothing acknowledged is lost, nothing is there twice, each key is in order."""
        assert not self.failed
        assert self.has_read_all()
        stored = {
            (record.partition, record.offset): int(record.value or b"") for record in self.read
        }
        numbers = sorted(stored.values())
        assert numbers == sorted(set(numbers)), "a record is in the log twice"
        for key in range(KEYS):
            of_key = [number for _, number in sorted(stored.items()) if number % KEYS == key]
            assert of_key == sorted(of_key)


@pytest.mark.every_server
async def test_a_failover_loses_nothing_acknowledged(fresh_sentinel: EmbeddedSentinel) -> None:
    traffic = Traffic(fresh_sentinel.url)
    async with aio.Admin(fresh_sentinel.url) as admin:
        await admin.create_topic("t", 4)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.produce())
        tasks.create_task(traffic.consume())
        await until(lambda: len(traffic.acknowledged) > 500 and len(traffic.read) > 500)

        old = fresh_sentinel.primary()
        old.kill()
        new = await asyncio.to_thread(fresh_sentinel.wait_taken_over, old)
        assert new is not old

        acknowledged, read = len(traffic.acknowledged), len(traffic.read)
        await until(lambda: len(traffic.acknowledged) > acknowledged + 500, within=30)
        await until(lambda: len(traffic.read) > read + 500, within=30)
        traffic.stopping.set()
    traffic.judge()
    async with aio.Admin(fresh_sentinel.url) as admin:
        cluster = await admin.describe_cluster()
        assert cluster.kind == "sentinel"
        assert cluster.nodes[0].address == f"{new.host}:{new.port}"
        # What was processed is committed, on the server that was promoted.
        assert not any(lag.lag for lag in (await admin.describe_group("g")).lags)


@pytest.fixture
def guarded(target: Target) -> Iterator[EmbeddedSentinel]:
    """Servers that ask for a password; their sentinels do not."""
    assert target.binary is not None
    with EmbeddedSentinel(binary=target.binary.path, password="s3cret/%") as running:
        yield running


async def test_the_password_is_for_the_servers(guarded: EmbeddedSentinel) -> None:
    async with aio.Producer(guarded.url) as producer:
        assert (await (await producer.send("t", b"v"))).offset == 0


async def test_the_name_must_be_one_that_the_sentinels_know(
    fresh_sentinel: EmbeddedSentinel,
) -> None:
    wrong = fresh_sentinel.url.rpartition("/")[0]
    with pytest.raises(StoreUnavailable, match="nobody"):
        await aio.Admin(f"{wrong}/nobody", request_timeout_ms=2_000).start()
    with pytest.raises(ConfigError, match="primary's name"):
        await aio.Admin(wrong).start()


async def test_one_sentinel_that_answers_is_enough(fresh_sentinel: EmbeddedSentinel) -> None:
    for sentinel in fresh_sentinel.sentinels[:2]:
        sentinel.kill()
    async with aio.Producer(fresh_sentinel.url) as producer:
        assert (await (await producer.send("t", b"v"))).offset == 0


async def test_without_sentinels_it_says_so(fresh_sentinel: EmbeddedSentinel) -> None:
    for sentinel in fresh_sentinel.sentinels:
        sentinel.kill()
    with pytest.raises(StoreUnavailable, match="sentinels"):
        await aio.Admin(fresh_sentinel.url, request_timeout_ms=2_000).start()


async def test_a_replica_is_never_taken_for_the_primary(fresh_sentinel: EmbeddedSentinel) -> None:
    primary: EmbeddedServer = fresh_sentinel.primary()
    async with aio.Producer(fresh_sentinel.url, acks="all") as producer:
        await (await producer.send("t", b"before"))
        sentinel = fresh_sentinel.sentinels[0]
        sentinel.command("SENTINEL", "FAILOVER", fresh_sentinel.name)
        new = await asyncio.to_thread(fresh_sentinel.wait_taken_over, primary)
        # The old primary lives on as a replica, its connections too: it answers READONLY.
        assert (await (await producer.send("t", b"after"))).offset == 1
        assert new.info("keyspace")

"""Random cuts while several producers send: every acknowledged value is there once, in order."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from partstream.client.delivery import Delivery
from partstream.client.producer import Producer
from tests.client.producing import logs, make_topic
from tests.servers.pool import Server
from tests.servers.proxy import Fate, Proxy

pytestmark = pytest.mark.faults

PRODUCERS = 3
KEYS = 4
EACH = 400
SEEDS = int(os.environ.get("PARTSTREAM_TEST_SEEDS", "4"))


def judge(rng: random.Random) -> Fate:
    if rng.random() < 0.9:
        return Fate.PASS
    return rng.choice([Fate.CUT, Fate.PASS_AND_CUT])


def producer(url: str, namespace: str, rng: random.Random) -> Producer:
    return Producer(
        url,
        namespace=namespace,
        linger_ms=rng.choice([0, 0, 1, 3]),
        batch_size=rng.choice([100, 200, 1_000]),
        max_in_flight_requests_per_connection=rng.choice([1, 2, 5, 5]),
        compression_type=rng.choice(["none", "lz4"]),
        request_timeout_ms=5_000,
        delivery_timeout_ms=30_000,
        retry_backoff_ms=1,
        retry_backoff_max_ms=5,
    )


async def send_all(
    producer: Producer, number: int, rng: random.Random
) -> dict[bytes, list[tuple[bytes, Delivery]]]:
    """Send numbered values under some keys of this producer's own, and close it."""
    sent: dict[bytes, list[tuple[bytes, Delivery]]] = {}
    async with producer:
        for index in range(EACH):
            key = b"%d-%d" % (number, rng.randrange(KEYS))
            value = b"%d" % index
            sent.setdefault(key, []).append((value, await producer.send("t", value, key=key)))
            if rng.random() < 0.05:
                await asyncio.sleep(rng.random() * 0.01)
            if rng.random() < 0.01:
                await producer.flush()
    return sent


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_cuts(server: Server, namespace: str, seed: int) -> None:
    rng = random.Random(seed)
    await make_topic(server.url, namespace, "t", 3)
    async with Proxy(server.url) as proxy:
        rngs = [random.Random(seed * 10 + number) for number in range(PRODUCERS)]
        # They connect in peace: a producer that cannot connect says so at once.
        producers = [await producer(proxy.url, namespace, own).start() for own in rngs]
        proxy.judge_request = proxy.judge_answer = lambda _: judge(rng)
        parts = await asyncio.gather(
            *(
                send_all(each, number, own)
                for number, (each, own) in enumerate(zip(producers, rngs, strict=True))
            )
        )
        assert proxy.cuts > 3
    sent = {key: pairs for part in parts for key, pairs in part.items()}

    found: dict[bytes, list[bytes]] = {}
    where: dict[bytes, list[tuple[int, int]]] = {}
    for index, log in enumerate(await logs(server.url, namespace, "t")):
        assert [record.offset for record in log] == list(range(len(log)))
        for record in log:
            assert record.key is not None
            assert record.value is not None
            found.setdefault(record.key, []).append(record.value)
            where.setdefault(record.key, []).append((index, record.offset))
    for key, pairs in sent.items():
        assert all(delivery.exception() is None for _, delivery in pairs)
        assert found[key] == [value for value, _ in pairs], f"key {key!r}, seed {seed}"
        places = [delivery.result() for _, delivery in pairs]
        assert where[key] == [(place.partition, place.offset) for place in places]

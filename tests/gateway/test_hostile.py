"""Bytes that no client would send: whoever sends them is cut off, the others notice nothing."""

from __future__ import annotations

import asyncio
import random

from tests.fuzz.frames import Spoiler, good
from tests.gateway.gateways import Client, create, gateway, request
from tests.waiting import until


async def test_spoilt_requests_by_the_thousand(redis_url: str, namespace: str) -> None:
    spoiler = Spoiler(7, good())
    async with (
        gateway(redis_url, namespace, num_partitions=1) as running,
        await Client.connect(running) as other,
    ):
        await create(other, "t")
        for _ in range(60):
            async with await Client.connect(running) as client:
                client.send(b"".join(spoiler.next() for _ in range(25)))
                client.writer.write_eof()
                async with asyncio.timeout(20):
                    while await client.frame():
                        pass
            assert (await other.ask(18, 0)).error_code == 0
        await until(lambda: len(running._connections) == 1)
        assert running._room.held == 0


async def test_random_bytes(redis_url: str, namespace: str) -> None:
    chance = random.Random(11)
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as other:
        for size in range(1, 200):
            async with await Client.connect(running) as client:
                client.send(chance.randbytes(size))
                client.writer.write_eof()
                while await client.frame():
                    pass
        assert (await other.ask(18, 0)).error_code == 0


async def test_connections_that_send_nothing_or_half_a_frame(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace) as running:
        silent = [await Client.connect(running) for _ in range(150)]
        for number, client in enumerate(silent):
            client.send(request(3, 9, {"topics": None})[: number % 20])
        async with await Client.connect(running) as client:
            assert (await client.ask(18, 0)).error_code == 0
        for client in silent:
            client.writer.transport.abort()
        await until(lambda: not running._connections)

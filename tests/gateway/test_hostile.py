"""Bytes that no client would send: whoever sends them is cut off, the others notice nothing."""

from __future__ import annotations

import asyncio
import random
import struct

from partstream.gateway.table import TABLE
from tests.gateway.gateways import Client, create, fetch_values, gateway, request
from tests.gateway.records import batch
from tests.waiting import until


def _recorded() -> list[bytes]:
    """Good requests of many kinds, to be spoilt."""
    topic = {"name": "t", "partition_data": [{"index": 0, "records": batch(b"v" * 50)}]}
    made = [
        request(0, 9, {"acks": 1, "timeout": 100, "topic_data": [topic]}),
        request(0, 3, {"acks": 1, "timeout": 100, "topic_data": [topic]}),
        request(1, 12, fetch_values("t", 0)),
        request(1, 4, fetch_values("t", 0)),
        request(3, 12, {"topics": [{"name": "t"}]}),
        request(8, 8, {"group_id": "g", "generation_id_or_member_epoch": -1, "topics": []}),
        request(68, 1, {"group_id": "g", "member_id": "m", "topic_partitions": []}),
    ]
    empty = {0, 1}
    return made + [
        request(api.key, version, {})
        for api in TABLE
        if api.key not in empty
        for version in (api.least, api.most)
    ]


def _spoilt(chance: random.Random, whole: bytes) -> bytes:
    """The same frame with some of its bytes changed, cut out or put in; its length is true."""
    body = bytearray(whole[4:])
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(8, len(body)) if len(body) > 8 else 0
        match chance.randrange(4):
            case 0:
                body[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del body[at : at + chance.randint(1, 8)]
            case 2:
                body[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                body[at : at + 4] = struct.pack(">i", chance.choice((-1, -2, 2**31 - 1, 1 << 20)))
    return struct.pack(">i", len(body)) + bytes(body)


async def test_spoilt_requests_by_the_thousand(redis_url: str, namespace: str) -> None:
    chance = random.Random(7)
    good = _recorded()
    async with (
        gateway(redis_url, namespace, num_partitions=1) as running,
        await Client.connect(running) as other,
    ):
        await create(other, "t")
        for _ in range(60):
            async with await Client.connect(running) as client:
                client.send(b"".join(_spoilt(chance, chance.choice(good)) for _ in range(25)))
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

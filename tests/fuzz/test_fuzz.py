"""Clients that mean harm, or do it: the gateway stays up and small, and the others notice nothing.

`make fuzz` does the same for a million frames.
"""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.fuzz.crowd import crowd
from tests.fuzz.frames import good
from tests.fuzz.run import Attack
from tests.fuzz.target import Target, target
from tests.gateway.gateways import Client, create, fetch, produce, request
from tests.gateway.greedy import ask_for_all
from tests.gateway.records import batch, values
from tests.waiting import until

MIB = 1 << 20


async def _client(running: Target) -> Client:
    return Client(*await asyncio.open_connection(*running.address))


async def test_good_frames_of_real_clients_are_answered(redis_url: str, namespace: str) -> None:
    # If they were not, spoiling them would try out nothing.
    async with target(redis_url, namespace) as running:
        for frame in good():
            async with await _client(running) as client:
                client.send(struct.pack(">i", len(frame)) + frame)
                async with asyncio.timeout(20):
                    assert await client.frame(), frame


async def test_thousands_of_spoilt_frames(redis_url: str, namespace: str) -> None:
    async with target(redis_url, namespace) as running:
        report = await Attack(running, good(), seed=11, lines=8).run(3_000)
        assert running.is_up
        assert report.frames == 3_000
        assert report.outcomes["answered"] > 300
        assert report.outcomes["disconnected"] > 300
        assert report.others > 3


async def test_a_frame_that_claims_too_much_ends_its_connection(
    redis_url: str, namespace: str
) -> None:
    async with target(redis_url, namespace) as running:
        for claim in (2**31 - 1, -1, -(2**31), 104_857_601):
            async with await _client(running) as client:
                client.send(struct.pack(">i", claim) + bytes(100))
                async with asyncio.timeout(20):
                    assert await client.frame() == b""


async def test_a_length_is_no_reason_to_take_memory(redis_url: str, namespace: str) -> None:
    async with target(redis_url, namespace) as running, await _client(running) as other:
        await other.ask(18, 0)
        before = running.resident()
        clients = [await _client(running) for _ in range(100)]
        for client in clients:
            client.send(struct.pack(">i", 104_857_600) + bytes(100))
        # Whoever connects last is served last: all the others were heard before.
        assert (await other.ask(18, 0)).error_code == 0
        assert running.resident() - before < 50 * MIB
        for client in clients:
            client.writer.transport.abort()


async def test_a_slow_sender_is_served_and_holds_nobody_up(redis_url: str, namespace: str) -> None:
    async with (
        target(redis_url, namespace) as running,
        await _client(running) as slow,
        await _client(running) as other,
    ):
        await create(other, "t")
        for byte in request(3, 9, {"topics": [{"name": "t"}]}):
            slow.send(bytes((byte,)))
            await slow.writer.drain()
            assert (await other.ask(18, 0)).error_code == 0
        assert await slow.frame()


async def test_clients_that_take_no_answers(redis_url: str, namespace: str) -> None:
    async with target(redis_url, namespace) as running, await _client(running) as other:
        for number in range(30):
            await create(other, f"topic-with-a-long-name-{number}", 30)
        before = running.resident()
        question = request(3, 9, {"topics": None})
        greedy = [await _client(running) for _ in range(10)]
        for client in greedy:
            client.send(question * 500)  # and whoever reads nothing soon takes nothing more
        for _ in range(50):
            assert (await other.ask(18, 0)).error_code == 0
        # Each question is answered by some 30 KiB: 150 MiB, if they were all kept.
        assert running.resident() - before < 100 * MIB
        for client in greedy:
            client.writer.transport.abort()


async def test_large_answers_that_nobody_takes(redis_url: str, namespace: str) -> None:
    limits = {"queued_max_response_bytes": 24 * MIB}
    async with target(redis_url, namespace, **limits) as running, await _client(running) as other:
        await create(other, "t")
        for number in range(40):
            row = await produce(other, "t", batch(b"%d" % number + b"x" * 900_000))
            assert row.error_code == 0
        before = running.resident()
        greedy = [await _client(running) for _ in range(24)]
        for client in greedy:
            client.send(ask_for_all() * 40)  # ten megabytes are read for each, if there is room
        for number in range(20):
            row = await produce(other, "t", batch(b"%d" % number))
            assert row.error_code == 0
        read: list[bytes] = []
        async with asyncio.timeout(30):
            while len(read) < 20:
                row = await fetch(other, "t", 40 + len(read))
                read += [value for _, value in values(row)]
        assert read == [b"%d" % number for number in range(20)]
        held = running.resident() - before
        print(f"{held / MIB:.0f} MiB for {len(greedy)} clients")
        assert held < 72 * MIB
        for client in greedy:
            client.writer.transport.abort()


@pytest.mark.deadline(300)
@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_a_crowd_that_does_little(redis_url: str, namespace: str, count: int) -> None:
    async with target(redis_url, namespace) as running, await _client(running) as other:
        before = running.resident()
        async with crowd(running, count) as there:
            count = len(there.silent)
            for _ in range(20):
                assert (await other.ask(18, 0)).error_code == 0
            await until(lambda: there.answers >= 20, within=60)
            held = running.resident() - before
            print(f"{held / count:,.0f} bytes for each of {count} connections")
            assert held < count * 40_000
            assert not any(client.reader.at_eof() for client in there.silent), "all may stay"
        async with await _client(running) as late:
            await until(lambda: _asks(late))
        assert running.is_up


async def _asks(client: Client) -> bool:
    return bool((await client.ask(18, 0)).error_code == 0)

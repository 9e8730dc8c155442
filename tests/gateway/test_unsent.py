"""Bytes of answers are counted, and clients that take none cannot stop the others."""

from __future__ import annotations

import asyncio

import pytest

from partstream.gateway import polls, server
from partstream.gateway.framing import Piece, portions
from partstream.gateway.server import Gateway
from partstream.gateway.unsent import Share, Unsent
from tests.gateway.gateways import Client, create, fetch, gateway, request
from tests.gateway.greedy import MIB, ask_for_all, fill, take_nothing
from tests.gateway.records import values
from tests.waiting import until


def test_room_is_taken_while_there_is_some() -> None:
    unsent = Unsent(16 * MIB)
    one, other = Share(unsent), Share(unsent)
    assert one.take(MIB) == MIB
    one.found(1_000)
    assert unsent.held == 1_000
    assert other.take(50 * MIB) == (16 * MIB - 1_000) // 4, "others are to get some, too"
    other.close()
    one.answered(1_100)
    assert (unsent.held, one.held) == (1_100, 1_100)
    one.sent(1_100)
    assert (unsent.held, one.held) == (0, 0)


def test_a_batch_that_is_larger_than_the_room_is_counted() -> None:
    unsent = Unsent(MIB)
    one, other = Share(unsent), Share(unsent)
    assert one.take(MIB) == MIB
    one.found(3 * MIB)
    assert other.take(1) == 0
    one.close()
    assert unsent.held == 0


async def test_who_waits_is_served_in_turn() -> None:
    unsent = Unsent(2 * MIB)
    full, first, second = Share(unsent), Share(unsent), Share(unsent)
    full.answered(2 * MIB)
    waiting = [asyncio.create_task(one.take_or_wait(5 * MIB, 20)) for one in (first, second)]
    await until(lambda: unsent.is_short)
    assert Share(unsent).take(1) == 0
    full.sent(MIB)
    assert await waiting[0] == MIB
    assert not waiting[1].done()
    assert Share(unsent).take(1) == 0, "not before one who waits"
    first.close()
    assert await waiting[1] == MIB
    assert not unsent.is_short


async def test_nobody_waits_longer_than_he_has_time() -> None:
    unsent = Unsent(MIB)
    full, other = Share(unsent), Share(unsent)
    full.answered(MIB)
    assert await other.take_or_wait(MIB, 0.01) == 0
    hurried = asyncio.create_task(other.take_or_wait(MIB, 20))
    await until(lambda: unsent.is_short)
    other.hurry()
    assert await hurried == 0
    assert not unsent.is_short
    full.close()
    assert unsent.held == 0


async def test_what_comes_after_the_end_counts_no_more() -> None:
    unsent = Unsent(MIB)
    gone = Share(unsent)
    gone.take(1_000)
    gone.close()
    gone.found(500)
    gone.answered(500)
    gone.sent(500)
    assert (unsent.held, gone.held) == (0, 0)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_portions_are_the_pieces(size: int) -> None:
    pieces: list[Piece] = [b"abc", bytearray(b"defghijklm"), memoryview(b"nopqrs"), b"", b"t"]
    found = [b"".join(portion) for portion in portions([*pieces], size)]
    assert b"".join(found) == b"abcdefghijklmnopqrst"
    assert all(len(portion) == size for portion in found[:-1])
    assert len(found[-1]) <= size


# Clients that take nothing.


async def _stuck(running: Gateway) -> Client:
    return await take_nothing(running, await Client.connect(running))


async def test_a_client_that_takes_nothing_is_disconnected(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, connections_max_idle_ms=500) as running:
        await fill(running, 12)
        async with await _stuck(running):
            await until(lambda: not running._connections)
            assert running.meter.problems["idle"] == 1
            assert running.unsent_bytes == 0


async def test_nor_does_asking_for_more_keep_it(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, connections_max_idle_ms=500) as running:
        await fill(running, 12)
        async with await _stuck(running) as client:

            async def asks_again() -> bool:
                client.send(request(18, 0, {}))
                return not running._connections

            await until(asks_again, every=0.05)


async def test_a_client_that_takes_its_time_is_not(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, connections_max_idle_ms=500) as running:
        await fill(running, 12)
        async with await _stuck(running) as client:
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < begun + 1.5:
                assert await client.reader.readexactly(200_000)
                await asyncio.sleep(0.05)
            assert running.unsent_bytes > MIB


async def test_nor_is_one_that_waits_for_an_answer(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, connections_max_idle_ms=200) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        assert (await fetch(client, "t", 0, max_wait=900)).error_code == 0


async def test_answers_that_nobody_takes_are_bounded(redis_url: str, namespace: str) -> None:
    limit = 8 * MIB
    async with gateway(redis_url, namespace, queued_max_response_bytes=limit) as running:
        await fill(running, 12)
        stuck = [await Client.connect(running) for _ in range(12)]
        for client in stuck:
            client.send(ask_for_all() * 10)
        await until(lambda: running._unsent.is_short)
        assert limit - MIB < running.unsent_bytes <= limit + 2 * MIB
        for client in stuck:
            client.writer.transport.abort()
        await until(lambda: not running.unsent_bytes)


async def test_who_waits_in_vain_gets_a_batch_at_a_time(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "_PATIENCE_S", 0.1)
    async with (
        gateway(redis_url, namespace, queued_max_response_bytes=MIB) as running,
        await Client.connect(running) as other,
    ):
        await fill(running, 6)
        async with await _stuck(running):
            for offset in range(6):
                row = await fetch(other, "t", offset, partition_max_bytes=5 * MIB)
                assert [number for number, _ in values(row)] == [offset]


async def test_who_takes_nothing_goes_when_others_wait(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LOOK_S", 0.05)
    monkeypatch.setattr(server, "_STUCK_S", 0.3)
    async with (
        gateway(redis_url, namespace, queued_max_response_bytes=MIB) as running,
        await Client.connect(running) as silent,
        await Client.connect(running) as other,
    ):
        await fill(running, 6)
        assert (await silent.ask(18, 0)).error_code == 0
        async with await _stuck(running):
            assert running.meter.problems["stuck"] == 0, "it bothers nobody"
            row = await fetch(other, "t", 0, partition_max_bytes=5 * MIB)
            assert values(row)
            assert running.meter.problems["stuck"] == 1
            assert (await silent.ask(18, 0)).error_code == 0, "who holds nothing stays"


async def test_a_gateway_that_ends_waits_for_no_room(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, queued_max_response_bytes=MIB) as running,
        await Client.connect(running) as other,
    ):
        await fill(running, 6)
        stuck = await _stuck(running)
        asking = asyncio.create_task(fetch(other, "t", 0))
        await until(lambda: running._unsent.is_short)
        draining = asyncio.create_task(running.drain())
        async with asyncio.timeout(5):
            assert values(await asking)
        stuck.writer.transport.abort()
        await draining

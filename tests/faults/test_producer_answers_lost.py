"""Answers that get lost: what was appended is not appended again, nothing is left out."""

from __future__ import annotations

import asyncio

import pytest

from partstream.client.producer import Producer
from tests.client.producing import assert_once_in_order, make_topic, numbered, values
from tests.servers.asking import ask
from tests.servers.pool import Server
from tests.servers.proxy import Fate, Proxy
from tests.waiting import until

pytestmark = pytest.mark.faults

QUICK = {"retry_backoff_ms": 5, "retry_backoff_max_ms": 20}


@pytest.mark.every_server
async def test_one_lost_answer(server: Server, namespace: str) -> None:
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(proxy.url, namespace=namespace, linger_ms=0, **QUICK) as producer,
    ):
        assert (await (await producer.send("t", b"first"))).offset == 0
        proxy.lose_answers()
        second = await (await producer.send("t", b"second"))
        assert second.offset == 1
        assert proxy.cuts >= 1
        assert (await (await producer.send("t", b"third"))).offset == 2
    assert await values(server.url, namespace, "t") == [[b"first", b"second", b"third"]]


async def test_the_first_answer_of_all_is_lost(server: Server, namespace: str) -> None:
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(proxy.url, namespace=namespace, linger_ms=0, **QUICK) as producer,
    ):
        await producer.partitions_for("t")
        proxy.lose_answers()
        assert (await (await producer.send("t", b"first"))).offset == 0
    assert await values(server.url, namespace, "t") == [[b"first"]]


async def test_without_idempotence_a_lost_answer_makes_a_duplicate(
    server: Server, namespace: str
) -> None:
    """So this test can tell: what the others assert is not so by itself."""
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(
            proxy.url, namespace=namespace, linger_ms=0, enable_idempotence=False, **QUICK
        ) as producer,
    ):
        await (await producer.send("t", b"first"))
        proxy.lose_answers()
        await (await producer.send("t", b"second"))
    assert await values(server.url, namespace, "t") == [[b"first", b"second", b"second"]]


async def test_a_request_that_never_arrives_leaves_no_gap(server: Server, namespace: str) -> None:
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(proxy.url, namespace=namespace, linger_ms=0, **QUICK) as producer,
    ):
        await (await producer.send("t", b"first"))
        lost = 0

        def lose_three(data: bytes) -> Fate:
            nonlocal lost
            if b"EVALSHA" not in data or lost == 3:
                return Fate.PASS
            lost += 1
            return Fate.CUT

        proxy.judge_request = lose_three
        assert (await (await producer.send("t", b"second"))).offset == 1
        assert lost == 3
    assert await values(server.url, namespace, "t") == [[b"first", b"second"]]


@pytest.mark.parametrize("executed", [True, False])
async def test_five_in_flight(server: Server, namespace: str, executed: bool) -> None:
    """Many small batches under way, and their connection goes, again and again."""
    await make_topic(server.url, namespace, "t")
    wanted = numbered(600)
    async with Proxy(server.url) as proxy:
        seen = 0

        def now_and_then(data: bytes) -> Fate:
            nonlocal seen
            if b"EVALSHA" in data:
                seen += 1
                if seen % 5 == 0:
                    return Fate.PASS_AND_CUT if executed else Fate.CUT
            return Fate.PASS

        async with Producer(
            proxy.url, namespace=namespace, linger_ms=0, batch_size=100, **QUICK
        ) as producer:
            await producer.partitions_for("t")
            proxy.judge_request = now_and_then
            deliveries = [await producer.send("t", value) for value in wanted]
            offsets = [(await delivery).offset for delivery in deliveries]
            assert offsets == list(range(len(wanted)))
            assert proxy.cuts > 3
    assert_once_in_order((await values(server.url, namespace, "t"))[0], wanted)


async def test_connections_that_are_killed(server: Server, namespace: str) -> None:
    await make_topic(server.url, namespace, "t", 3)
    wanted = numbered(3_000)
    name = f"killed-{namespace}"
    async with Producer(
        server.url, namespace=namespace, client_id=name, linger_ms=1, batch_size=2_000, **QUICK
    ) as producer:
        killed = 0

        async def kill() -> None:
            nonlocal killed
            while True:
                await asyncio.sleep(0.02)
                clients = await asyncio.to_thread(ask, server.url, "CLIENT", "LIST")
                assert isinstance(clients, bytes)
                for line in clients.decode().splitlines():
                    fields = dict(word.partition("=")[::2] for word in line.split())
                    if fields["name"] == name:
                        killed += ask(server.url, "CLIENT", "KILL", "ID", fields["id"]) == 1

        killing = asyncio.create_task(kill())
        deliveries = []
        for number, value in enumerate(wanted):
            deliveries.append(await producer.send("t", value, partition=number % 3))
            if number % 30 == 0:
                await asyncio.sleep(0.005)
        await producer.flush()
        killing.cancel()
        assert killed > 3
        assert all(delivery.exception() is None for delivery in deliveries)
    for index, log in enumerate(await values(server.url, namespace, "t")):
        assert_once_in_order(log, wanted[index::3])


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_script_flush_under_traffic(server: Server, namespace: str, acks: object) -> None:
    await make_topic(server.url, namespace, "t")
    async with Producer(
        server.url, namespace=namespace, linger_ms=0, acks=acks, batch_size=500, **QUICK
    ) as producer:
        wanted = numbered(1_000)
        for number, value in enumerate(wanted):
            await producer.send("t", value)
            if number % 250 == 125:
                await asyncio.to_thread(ask, server.url, "SCRIPT", "FLUSH")
        await producer.flush()
        # With acks=0 what was under way is lost, but not all that comes after it.
        last = await producer.send("t", b"last")
        await producer.flush()
        assert last.exception() is None
    (log,) = await values(server.url, namespace, "t")
    if acks == "all":
        assert_once_in_order(log, [*wanted, b"last"])
    elif acks == 1:
        assert sorted(filter(None, log)) == [*wanted, b"last"], "refused, so sent again: once"
    else:
        assert log[-1] == b"last"


async def test_acks_0_goes_on_after_a_cut(server: Server, namespace: str) -> None:
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(proxy.url, namespace=namespace, linger_ms=0, acks=0, **QUICK) as producer,
    ):
        assert (await (await producer.send("t", b"first"))).offset == -1
        await producer.flush()
        proxy.cut()
        await until(lambda: producer.store.router.node(0).ready is None)
        await producer.send("t", b"second")
    assert await values(server.url, namespace, "t") == [[b"first", b"second"]]


async def test_a_request_that_comes_late_is_not_carried_out(server: Server, namespace: str) -> None:
    """The server hears no more of a connection that was given up. Without idempotence it shows."""
    await make_topic(server.url, namespace, "t")
    async with (
        Proxy(server.url) as proxy,
        Producer(
            proxy.url, namespace=namespace, linger_ms=0, enable_idempotence=False, **QUICK
        ) as producer,
    ):
        await (await producer.send("t", b"first"))
        proxy.judge_request = lambda data: Fate.HOLD if b"EVALSHA" in data else Fate.PASS
        second = await producer.send("t", b"second")
        await until(lambda: proxy.holding)
        proxy.judge_request = lambda _: Fate.PASS
        proxy.cut()
        assert (await second).offset == 1
        proxy.release()
        await until(lambda: not proxy.holding)
        assert (await (await producer.send("t", b"third"))).offset == 2
    assert await values(server.url, namespace, "t") == [[b"first", b"second", b"third"]]

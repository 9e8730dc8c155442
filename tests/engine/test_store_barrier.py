"""The replica barrier: what it waits for, and what it says when that does not come."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import closing
from typing import cast

import pytest
from hiredis import pack_command

from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.errors import (
    NotEnoughReplicas,
    NotEnoughReplicasAfterAppend,
    PartstreamError,
    StoreUnavailable,
)
from partstream.store.scripts import Script
from tests.engine.logs import Engine, batch, engine
from tests.waiting import until

pytestmark = pytest.mark.faults

# Its stub takes only tuples of one.
_pack = cast("Callable[[tuple[str | int, ...]], bytes]", pack_command)

_BUSY = "local n = 0 for i = 1, 5e7 do n = n + i end return 1"
"""A few tenths of a second."""


def _calls(server: EmbeddedServer, command: str) -> int:
    stats = server.info("commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(stats.split("calls=")[1].split(",")[0])


@pytest.mark.every_server
async def test_alone_there_is_nothing_to_wait_for(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition()
        for _ in range(20):
            await own.store.confirm(partition.keys.log)
        assert _calls(fresh_server, "wait") == 0
        barrier = own.log.barrier(partition)
        assert (await barrier.confirm()).replicas == 0
        with pytest.raises(NotEnoughReplicasAfterAppend, match=r"0 replicas.*asks for 1"):
            await barrier.confirm(least_replicas=1)
        with pytest.raises(NotEnoughReplicas, match="asks for 1"):
            await own.log.append(partition, batch(b"a"), least_replicas=1)
        assert (await own.log.bounds(partition)).end == 0


@pytest.mark.every_server
async def test_a_flush_of_scripts_does_not_stop_it(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        barrier = own.store.barrier("x")
        for _ in range(3):
            await barrier.confirm()
            fresh_server.command("SCRIPT", "FLUSH")


@pytest.mark.every_server
async def test_it_reconnects(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        barrier = own.store.barrier("x")
        before = await barrier.confirm()
        await asyncio.to_thread(fresh_server.kill)
        with pytest.raises(StoreUnavailable):
            await barrier.confirm()
        await asyncio.to_thread(fresh_server.start)
        with pytest.raises(NotEnoughReplicasAfterAppend, match="restarted or demoted"):
            await barrier.confirm(token=before.token)
        after = await barrier.confirm()
        assert after.token != before.token


@pytest.mark.every_server
async def test_writes_to_the_append_only_file(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        barrier = own.store.barrier("x")
        with pytest.raises(PartstreamError, match="WAITAOF"):
            await barrier.confirm(fsync=True)
        await barrier.confirm()
        if fresh_server.binary.version.startswith("7.0"):
            return
        fresh_server.command("CONFIG", "SET", "appendonly", "yes")
        await until(lambda: fresh_server.info("persistence")["aof_rewrite_in_progress"] == "0")
        await barrier.confirm(fsync=True)


async def _replicated(own: Engine, sentinel: EmbeddedSentinel) -> None:
    """Until the barrier counts the replica: it must have acknowledged something."""
    barrier = own.store.barrier("x")

    async def counted() -> bool:
        return (await barrier.confirm()).replicas == len(sentinel.servers) - 1

    await until(counted)


@pytest.mark.every_server
async def test_replicas_confirm(fresh_sentinel: EmbeddedSentinel) -> None:
    primary, replica = fresh_sentinel.servers
    async with engine(fresh_sentinel.url, "ps", request_timeout_ms=1_600) as own:
        partition = await own.partition()
        await _replicated(own, fresh_sentinel)
        answer = await own.log.append(partition, batch(b"a"), least_replicas=1)
        assert answer.replicas == 1
        barrier = own.log.barrier(partition)
        confirmed = await barrier.confirm(token=answer.token, least_replicas=1)
        assert (confirmed.replicas, confirmed.token) == (1, answer.token)
        assert replica.command("XLEN", partition.keys.log) == 1

        # Many at once share rounds.
        before = _calls(primary, "wait")
        await asyncio.gather(*(barrier.confirm() for _ in range(100)))
        assert _calls(primary, "wait") - before <= 2

        # A frozen replica holds up who waits for it, and nobody else.
        await asyncio.to_thread(replica.pause)
        try:
            began = time.monotonic()
            await own.log.append(partition, batch(b"b"))
            waiting = asyncio.ensure_future(barrier.confirm())
            await own.log.append(partition, batch(b"c"))
            assert time.monotonic() - began < 0.4
            with pytest.raises(NotEnoughReplicasAfterAppend, match=r"0 of 1 replicas.*800 ms"):
                await waiting
            with pytest.raises(NotEnoughReplicasAfterAppend):
                await own.store.confirm(partition.keys.log)
        finally:
            await asyncio.to_thread(replica.resume)
        await until(lambda: _confirms(own, partition.keys.log))
        assert replica.command("XLEN", partition.keys.log) == 3


async def _confirms(own: Engine, key: str) -> bool:
    try:
        await own.store.confirm(key)
    except NotEnoughReplicasAfterAppend:
        return False
    return True


async def test_who_waits_for_a_node_that_is_replaced_is_told(
    fresh_sentinel: EmbeddedSentinel,
) -> None:
    _, replica = fresh_sentinel.servers
    async with engine(fresh_sentinel.url, "ps") as own:
        await _replicated(own, fresh_sentinel)
        barrier, router = own.store.barrier("x"), own.store.router
        await asyncio.to_thread(replica.pause)
        try:
            waiting = [asyncio.ensure_future(barrier.confirm()) for _ in range(2)]
            await asyncio.sleep(0.1)
            waiting.append(asyncio.ensure_future(barrier.confirm()))  # for the next round
            await asyncio.sleep(0)
            assert router.on_leave is not None
            await router.on_leave(router.node(0))
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(outcome, NotEnoughReplicasAfterAppend)
                assert "was replaced before" in str(outcome)
            with pytest.raises(NotEnoughReplicasAfterAppend, match="was replaced before"):
                await barrier.confirm()
            assert own.store.barrier("x") is not barrier
        finally:
            await asyncio.to_thread(replica.resume)


async def test_a_silent_replica_is_in_sync_no_more(fresh_sentinel: EmbeddedSentinel) -> None:
    _, replica = fresh_sentinel.servers
    async with engine(
        fresh_sentinel.url, "ps", request_timeout_ms=1_000, replica_lag_time_max_ms=1_000
    ) as own:
        partition = await own.partition()
        await _replicated(own, fresh_sentinel)
        await asyncio.to_thread(replica.pause)
        try:
            await until(lambda: _confirms(own, partition.keys.log))
            with pytest.raises(NotEnoughReplicasAfterAppend, match="asks for 1"):
                await own.log.barrier(partition).confirm(least_replicas=1)
        finally:
            await asyncio.to_thread(replica.resume)


@pytest.mark.every_server
async def test_where_a_replica_is_asked_for_one_has_to_confirm_however_silent(
    fresh_server: EmbeddedServer,
) -> None:
    async with engine(
        fresh_server.url, "ps", request_timeout_ms=1_000, replica_lag_time_max_ms=1_000
    ) as own:
        with closing(await _stand_in(fresh_server)):
            await until(lambda: _confirms(own, "x"))  # it is silent, and in sync no more
            fresh_server.command("CONFIG", "SET", "min-replicas-to-write", 1)
            with pytest.raises(NotEnoughReplicasAfterAppend, match="0 of 1 replicas"):
                await own.store.confirm("x")


@pytest.mark.every_server
async def test_a_replica_that_has_hung_up_is_waited_for_until_the_server_knows(
    fresh_server: EmbeddedServer,
) -> None:
    """A primary that wakes, and was replaced, answers what had come before it notices."""
    async with engine(fresh_server.url, "ps") as own:
        await own.store.confirm("x")  # the script is known

        async def counted() -> bool:
            replica = await _stand_in(fresh_server)
            return await asyncio.to_thread(_ask_while_it_hangs_up, fresh_server, replica) == 1

        await until(counted)
        await until(lambda: fresh_server.info("replication")["connected_slaves"] == "0")
        await own.store.confirm("x")


def _ask_while_it_hangs_up(server: EmbeddedServer, replica: socket.socket) -> int:
    """How many replicas are in sync, by a server that was at work when one hung up.

    0 if it was not at it yet: then it has heard of it.
    """
    barrier = ("EVALSHA", Script("store/barrier").sha, 1, "ps:{a}:barrier", 10)
    with closing(socket.create_connection(server.address)) as asker:
        asker.sendall(_pack(("EVAL", _BUSY, 0)) + _pack(barrier))
        select.select([asker], [], [], 0.05)
        replica.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        replica.close()
        with asker.makefile("rb") as answers:
            *_, token, in_sync = (answers.readline() for _ in range(5))
    assert len(token) == 42, token
    return int(in_sync[1:])


async def _stand_in(server: EmbeddedServer) -> socket.socket:
    """Somebody who follows a server like a replica, and then says nothing more."""
    server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    replica = socket.create_connection(server.address)
    replica.sendall(b"PSYNC ? -1\r\n")

    def followed() -> bool:
        replica.sendall(b"REPLCONF ACK 0\r\n")
        return "state=online" in server.info("replication").get("slave0", "")

    await until(followed)
    return replica


async def test_a_failover_before_the_confirmation_is_noticed(
    fresh_sentinel: EmbeddedSentinel,
) -> None:
    old, new = fresh_sentinel.servers
    async with engine(fresh_sentinel.url, "ps") as own:
        partition = await own.partition()
        await _replicated(own, fresh_sentinel)
        answer = await own.log.append(partition, batch(b"a"))
        await asyncio.to_thread(old.kill)
        await asyncio.to_thread(fresh_sentinel.wait_taken_over, old)

        async def refused() -> str:
            try:
                await own.store.router.refresh()
                await own.log.barrier(partition).confirm(token=answer.token)
            except NotEnoughReplicasAfterAppend as error:
                return str(error)
            except StoreUnavailable:
                return ""
            raise AssertionError("confirmed under another history")

        assert "restarted or demoted" in await until(refused)
        assert new.info("replication")["role"] == "master"

"""The store: who answers, what is refused, and what is done about a server that fails."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.engine.log import Appended
from partstream.engine.partition import Partition
from partstream.errors import (
    ClosedClient,
    ConfigError,
    ForeignKey,
    NewerLayout,
    OutcomeUnknown,
    StoreAuthenticationFailed,
    StoreOutOfMemory,
    StorePermissionDenied,
    StoreTooOld,
    StoreUnavailable,
)
from partstream.store.admission import LAYOUT
from partstream.store.link import Link
from partstream.store.scripts import Script
from partstream.store.store import Store
from tests.engine.logs import Engine, Producer, batch, engine, read
from tests.servers.listening import listening
from tests.servers.pool import Server

_LEASE = Script("store/lease")


@asynccontextmanager
async def _fake(replies: dict[str, bytes]) -> AsyncIterator[str]:
    """A server that answers what it is told to, and +OK to all else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            writer.write(replies.get(words[0].upper(), b"+OK\r\n"))

    async with listening(serve) as (host, port):
        yield f"redis://{host}:{port}"


def _hello(server: str, version: str) -> bytes:
    fields = {"server": server, "version": version, "proto": "2", "mode": "standalone"}
    fields["role"] = "master"
    flat = [word for pair in fields.items() for word in pair]
    return f"*{len(flat)}\r\n".encode() + b"".join(
        f"${len(word)}\r\n{word}\r\n".encode() for word in flat
    )


# Connecting.


async def test_nobody_there() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1\b"):
        await Store.connect("redis://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match=r"(?s)127\.0\.0\.1:1\b.*127\.0\.0\.1:2\b"):
        await Store.connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    with pytest.raises(StoreUnavailable, match="sentinel"):
        await Store.connect("redis+sentinel://127.0.0.1:1/main")
    with pytest.raises(StoreUnavailable, match=r"unix:///nowhere\.sock"):
        await Store.connect("unix:///nowhere.sock")
    with pytest.raises(ConfigError, match="http"):
        await Store.connect("http://127.0.0.1")


@pytest.mark.every_server
async def test_a_database_that_is_not_there(redis_url: str) -> None:
    with pytest.raises(ConfigError, match=r"database 99: Redis at 127\.0\.0\.1:\d+ has none"):
        await Store.connect(f"{redis_url}/99")


async def test_a_cluster_has_one_database(cluster_url: str) -> None:
    node = cluster_url.partition("//")[2].partition(",")[0]
    with pytest.raises(ConfigError, match=rf"database 1: Redis at {node} .* a cluster has only 0"):
        await Store.connect(f"redis://{node}/1")


async def test_sentinels_that_say_nothing(redis_url: str, fresh_sentinel: EmbeddedSentinel) -> None:
    for servers, reason in {
        "127.0.0.1:1,127.0.0.1:2": r"(?s)127\.0\.0\.1:1\b.*; .*127\.0\.0\.1:2\b",
        redis_url.removeprefix("redis://"): r"the server at 127\.0\.0\.1:\d+ is no sentinel",
    }.items():
        with pytest.raises(StoreUnavailable, match="none of the sentinels at") as caught:
            await Store.connect(f"redis+sentinel://{servers}/main")
        assert re.search(reason, str(caught.value))
    real = urlsplit(fresh_sentinel.url)
    with pytest.raises(StoreUnavailable, match=r"No master found for 'other'$"):
        await Store.connect(f"redis+sentinel://{real.netloc}/other")
    partly = f"redis+sentinel://127.0.0.1:1,{redis_url.removeprefix('redis://')},{real.netloc}"
    with pytest.raises(StoreUnavailable, match=r"'other' \(no answer: .*127\.0\.0\.1:1:"):
        await Store.connect(f"{partly}/other")
    store = await Store.connect(f"{partly}{real.path}")
    await store.close()


@pytest.mark.parametrize(
    ("product", "version"), [("redis", "6.2.14"), ("redis", "5.0.7"), ("valkey", "7.1.0")]
)
async def test_too_old(product: str, version: str) -> None:
    async with _fake({"HELLO": _hello(product, version)}) as url:
        with pytest.raises(StoreTooOld, match=rf"{version}.*Redis 7\.0 or Valkey 7\.2"):
            await Store.connect(url)


async def test_so_old_that_it_knows_no_hello() -> None:
    async with _fake({"HELLO": b"-ERR unknown command `HELLO`\r\n"}) as url:
        with pytest.raises(StoreTooOld, match="HELLO"):
            await Store.connect(url)


@pytest.mark.every_server
async def test_no_node_of_a_cluster(redis_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="not a node of a cluster"):
        await Store.connect(redis_url.replace("redis://", "redis+cluster://"))


async def test_a_server_that_never_answers() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as (host, port):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.2 s"):
            await Store.connect(f"redis://{host}:{port}", request_timeout_ms=200)
        assert time.monotonic() - began < 2


@pytest.mark.every_server
async def test_passwords(fresh_server: EmbeddedServer) -> None:
    fresh_server.command("CONFIG", "SET", "requirepass", "s3cret")
    address = f"{fresh_server.host}:{fresh_server.port}"
    for login in ("", ":wrong@", "nobody:s3cret@"):
        with pytest.raises(StoreAuthenticationFailed, match=address) as caught:
            await Store.connect(f"redis://{login}{address}")
        assert "s3cret" not in str(caught.value)
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        (f"redis://:s3cret@{address}", {}),
        (f"redis://{address}", {"password": "s3cret"}),
    )
    for url, options in ways:
        store = await Store.connect(url, options=options)
        await store.close()
    async with engine(f"unix://:s3cret@{fresh_server.socket}", "ps") as own:
        await own.partition()


@pytest.mark.every_server
async def test_a_newer_layout_is_refused(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        key = own.store.keys.meta.layout
        assert await own.store.execute("GET", key, key=key) == b"%d" % LAYOUT
        for layout in (LAYOUT + 1, "experimental"):
            await own.store.execute("SET", key, layout, key=key)
            with pytest.raises(NewerLayout, match=rf"{namespace}.*{layout}.*knows {LAYOUT}"):
                await Store.connect(redis_url, namespace=namespace)
        await own.store.execute("DEL", key, key=key)
        await own.store.execute("LPUSH", key, 1, key=key)
        with pytest.raises(ForeignKey):
            await Store.connect(redis_url, namespace=namespace)


async def test_through_sentinels(fresh_sentinel: EmbeddedSentinel) -> None:
    async with engine(fresh_sentinel.url, "ps") as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"before"))
        await own.store.confirm(partition.keys.log)
        old = fresh_sentinel.primary()
        await asyncio.to_thread(old.kill)
        await asyncio.to_thread(fresh_sentinel.wait_taken_over, old)
        answer = await _append_when_possible(own, partition, b"after")
        assert answer.leader_epoch > 0
        records = await read(own.store, partition)
        assert [record.value for record in records] == [b"before", b"after"]


async def _append_when_possible(own: Engine, partition: Partition, value: bytes) -> Appended:
    one = batch(value, by=Producer(1, 0, 0))
    while True:
        try:
            return await own.log.append(partition, one)
        except OutcomeUnknown:
            continue


# A server that fails.


@pytest.mark.every_server
async def test_scripts_come_back_after_a_flush(
    redis_url: str, namespace: str, server: Server
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for number in range(5):
            server.command("SCRIPT", "FLUSH")
            assert (await own.log.append(partition, batch(b"a"))).base_offset == number
        flushing = [own.log.append(partition, batch(b"b")) for _ in range(50)]
        answers = asyncio.gather(*flushing)
        server.command("SCRIPT", "FLUSH", "ASYNC")
        assert sorted(answer.base_offset for answer in await answers) == list(range(5, 55))


@pytest.mark.every_server
async def test_memory_runs_out(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition()
        fresh_server.command("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StoreOutOfMemory) as caught:
            await own.log.append(partition, batch(b"a"))
        assert caught.value.retriable
        fresh_server.command("CONFIG", "SET", "maxmemory", 0)
        assert (await own.log.append(partition, batch(b"a"))).base_offset == 0


@pytest.mark.every_server
async def test_an_acl_without_a_command(fresh_server: EmbeddedServer) -> None:
    fresh_server.command(
        "ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all", "-xadd", "-xrange", "-script|load"
    )
    async with engine(fresh_server.url, "ps") as own:
        partition = await own.partition()
    url = f"redis://me:pw@{fresh_server.host}:{fresh_server.port}"
    async with engine(url, "ps", request_timeout_ms=2_000) as own:
        with pytest.raises(StorePermissionDenied, match=r"(?i)xrange"):
            await read(own.store, partition)
        with pytest.raises(StorePermissionDenied, match=r"no permissions|can't run"):
            await own.log.append(partition, batch(b"a"))
        # Scripts that nobody may load are no passing trouble: it is said at once.
        fresh_server.command("SCRIPT", "FLUSH")
        began = time.monotonic()
        with pytest.raises(StorePermissionDenied, match=r"(?i)script"):
            await own.log.append(partition, batch(b"a"))
        assert time.monotonic() - began < 1


@pytest.mark.every_server
async def test_an_acl_without_info(fresh_server: EmbeddedServer) -> None:
    fresh_server.command("ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all", "-info")
    url = f"redis://me:pw@{fresh_server.host}:{fresh_server.port}"
    async with engine(url, "ps") as own:
        partition = await own.partition()
        answer = await own.log.append(partition, batch(b"a"))
        assert (answer.token, answer.leader_epoch) == ("", 0)
        await own.store.confirm(partition.keys.log)


@pytest.mark.every_server
async def test_a_frozen_server(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps", request_timeout_ms=600) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a"))
        fresh_server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(OutcomeUnknown, match="no answer for"):
                await own.log.append(partition, batch(b"b"))
            assert 0.4 < time.monotonic() - began < 0.8
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await own.log.bounds(partition)
            assert time.monotonic() - began < 0.9
        finally:
            fresh_server.resume()
        # What was sent is carried out when it wakes up: the outcome was not known indeed.
        assert (await own.log.append(partition, batch(b"c"))).base_offset == 2


@pytest.mark.every_server
async def test_calls_that_break_are_made_again_if_they_may_be(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        key = own.store.keys.meta.topics
        await own.store.execute("HSET", key, "", "", key=key)
        node = own.store.router.node(0)
        for idempotent in (True, False):
            call = asyncio.ensure_future(
                own.store.execute("HGET", key, "", key=key, idempotent=idempotent)
            )
            await asyncio.sleep(0)
            link = await node.link()
            assert isinstance(link, Link)
            link._lose("for the test")
            if idempotent:
                assert await call == b""
            else:
                with pytest.raises(OutcomeUnknown, match="for the test"):
                    await call


@pytest.mark.every_server
async def test_answers_come_in_order(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        link = await own.store.router.node(0).link()
        futures = [link.submit("ECHO", str(number)) for number in range(200)]
        futures[50].cancel()
        answers = await asyncio.gather(*futures, return_exceptions=True)
        for number, answer in enumerate(answers):
            if number == 50:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                assert answer == b"%d" % number


@pytest.mark.every_server
async def test_a_restart_is_gone_through(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        key = own.store.keys.meta.topics
        before = await own.store.router.node(0).link()
        await asyncio.to_thread(fresh_server.restart)
        assert await own.store.execute("HGETALL", key, key=key) == []
        after = await own.store.router.node(0).link()
        assert before.lost
        assert not after.lost


@pytest.mark.every_server
async def test_a_closed_store_answers_at_once(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
    began = time.monotonic()
    for call in (
        own.store.execute("PING", key="x"),
        own.log.bounds(partition),
        own.store.bells.watch("x", lambda: None),
        own.topics.get("other"),
    ):
        with pytest.raises(ClosedClient):
            await call
    assert time.monotonic() - began < 0.5
    await own.store.close()


@pytest.mark.every_server
async def test_calls_under_way_end_with_the_store(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        await own.partition()
        fresh_server.pause()
        calls = [
            asyncio.ensure_future(call)
            for call in (
                own.store.execute("PING", key="x"),
                own.store.bells.watch("x", lambda: None),
                own.store.barrier("x").confirm(),
            )
        ]
        await asyncio.sleep(0.05)
        await own.store.close()
        fresh_server.resume()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, ClosedClient)


@pytest.mark.every_server
async def test_a_lease_has_one_holder(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        key = own.store.keys.meta.sweep

        async def take(who: str, ttl: int) -> int:
            answer: int = await own.store.run(_LEASE, [key], [who, ttl])
            return answer

        assert await take("a", 5_000) == 1
        assert await take("b", 5_000) == 0
        assert await take("a", 5_000) == 1
        assert await take("b", 0) == 0
        assert await take("b", 5_000) == 0
        assert await take("a", 0) == 0
        assert await take("b", 20) == 1
        await asyncio.sleep(0.03)
        assert await take("a", 5_000) == 1

"""Doorbells: rung, and rung again after whatever kept them from being heard."""

from __future__ import annotations

import asyncio

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.engine.log import Log
from partstream.store.keys import Keys
from partstream.store.store import Store
from tests.engine.logs import batch, engine
from tests.servers.pool import Server
from tests.waiting import until

pytestmark = pytest.mark.every_server


class Ear:
    """Counts the rings."""

    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1

    async def more_than(self, rings: int, within: float = 5.0) -> None:
        """Wait for another ring."""
        await until(lambda: self.rings > rings, within=within, every=0.001)


async def test_an_append_rings_who_listens(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        topic = await own.topics.create("t", 2)
        ears = [Ear(), Ear()]
        watches = [
            await own.store.bells.watch(partition.keys.bell, ear)
            for partition, ear in zip(topic.partitions, ears, strict=True)
        ]
        for number in range(3):
            before = ears[0].rings
            await other.log.append(topic.partitions[0], batch(b"%d" % number))
            await ears[0].more_than(before)
        assert ears[1].rings == 0
        watches[0].cancel()
        await until(lambda: _listeners(own.store, topic.partitions[0].keys.bell, 0))
        assert await _listeners(own.store, topic.partitions[1].keys.bell, 1)
        before = ears[0].rings
        await other.log.append(topic.partitions[0], batch(b"unheard"))
        await other.log.append(topic.partitions[1], batch(b"heard"))
        await ears[1].more_than(0)
        assert ears[0].rings == before


async def _listeners(store: Store, channel: str, count: int) -> bool:
    reply = await store.execute("PUBSUB", "SHARDNUMSUB", channel, key=channel)
    return bool(reply[1] == count)


async def test_a_deleted_partition_wakes_its_readers(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        partition = await own.partition()
        ear = Ear()
        await own.store.bells.watch(partition.keys.bell, ear)
        await other.topics.delete("t")
        await ear.more_than(0)


async def test_several_hear_one_bell(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        bell = partition.keys.bell
        one, two = Ear(), Ear()
        first, _ = await asyncio.gather(
            own.store.bells.watch(bell, one), own.store.bells.watch(bell, two)
        )
        await own.log.append(partition, batch(b"a"))
        await one.more_than(0)
        await two.more_than(0)
        first.cancel()
        first.cancel()
        heard = one.rings
        before = two.rings
        await own.log.append(partition, batch(b"b"))
        await two.more_than(before)
        assert one.rings == heard
        assert await _listeners(own.store, bell, 1)


async def test_who_leaves_and_comes_back_hears(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for number in range(30):
            ear = Ear()
            watch = await own.store.bells.watch(partition.keys.bell, ear)
            if number % 3 == 0:
                await asyncio.sleep(0)
            await own.log.append(partition, batch(b"a"))
            await ear.more_than(0)
            watch.cancel()


async def test_who_gives_up_waiting_leaves_nothing(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        ear = Ear()
        waiting = asyncio.ensure_future(own.store.bells.watch(partition.keys.bell, ear))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await own.store.bells.watch(partition.keys.bell, Ear())
        await own.log.append(partition, batch(b"a"))
        assert ear.rings == 0


async def test_a_broken_connection_rings_everybody(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        topic = await own.topics.create("t", 3)
        ears = [Ear() for _ in topic.partitions]
        for partition, ear in zip(topic.partitions, ears, strict=True):
            await own.store.bells.watch(partition.keys.bell, ear)
        for _ in range(6):
            before = [ear.rings for ear in ears]
            assert int(str(fresh_server.command("CLIENT", "KILL", "TYPE", "pubsub"))) >= 1
            # What happens while nobody can hear is told by the ring of the new subscription.
            await own.log.append(topic.partitions[0], batch(b"a"))
            # Each time after the first pause, not after ever longer ones.
            for ear, rings in zip(ears, before, strict=True):
                await ear.more_than(rings, within=1.0)
        before = [ear.rings for ear in ears]
        await own.log.append(topic.partitions[1], batch(b"b"))
        await ears[1].more_than(before[1])


async def test_a_restart_rings_everybody(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps") as own:
        ear = Ear()
        bell = Keys("ps").meta.bell
        await own.store.bells.watch(bell, ear)
        await asyncio.to_thread(fresh_server.kill)
        await asyncio.sleep(0.3)
        assert ear.rings == 0
        await asyncio.to_thread(fresh_server.start)
        await ear.more_than(0)
        before = ear.rings
        fresh_server.command("SPUBLISH", bell, "")
        await ear.more_than(before)


async def test_a_server_that_says_nothing_is_asked(
    fresh_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partstream.store.bells._QUIET_S", 0.1)
    async with engine(fresh_server.url, "ps") as own:
        ear = Ear()
        await own.store.bells.watch("quiet", ear)
        await asyncio.sleep(0.35)
        assert ear.rings == 0, "it answered, and the connection stayed"
        fresh_server.pause()
        await asyncio.sleep(0.35)
        fresh_server.resume()
        await ear.more_than(0)


async def test_a_connection_on_which_nothing_is_heard_any_more_stays(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partstream.store.bells._QUIET_S", 0.02)
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        watch = await own.store.bells.watch(partition.keys.bell, Ear())
        watch.cancel()
        await asyncio.sleep(0.2)  # it is asked whether it is there meanwhile
        ear = Ear()
        async with asyncio.timeout(5):
            await own.store.bells.watch(partition.keys.bell, ear)
        before = ear.rings
        await own.log.append(partition, batch(b"a"))
        await ear.more_than(before)


async def test_an_acl_without_the_channel(fresh_server: EmbeddedServer) -> None:
    fresh_server.command("ACL", "SETUSER", "me", "on", ">pw", "~*", "resetchannels", "+@all")
    url = f"redis://me:pw@{fresh_server.host}:{fresh_server.port}"
    async with engine(url, "ps") as own:
        partition = await own.partition()
        ear = Ear()
        watch = await own.store.bells.watch(partition.keys.bell, ear)
        assert own.store.bells.refusal is not None
        assert "channel" in str(own.store.bells.refusal)
        # The bell is denied, the append is not.
        assert (await own.log.append(partition, batch(b"a"))).base_offset == 0
        watch.cancel()
        other = await Store.connect(fresh_server.url)
        await other.bells.watch(partition.keys.bell, ear)
        before = ear.rings
        assert (await own.log.append(partition, batch(b"b"))).base_offset == 1
        assert (await Log(other).append(partition, batch(b"c"))).base_offset == 2
        await ear.more_than(before)
        await other.close()


async def test_nobody_listens_nobody_publishes(
    redis_url: str, namespace: str, server: Server
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()

        def published() -> int:
            reply = server.command("INFO", "commandstats")
            assert isinstance(reply, bytes)
            for line in reply.decode().splitlines():
                if line.startswith("cmdstat_spublish:"):
                    return int(line.split("calls=")[1].split(",")[0])
            return 0

        before = published()
        for _ in range(5):
            await own.log.append(partition, batch(b"a"))
        assert published() == before

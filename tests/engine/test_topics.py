"""Topics: made, known, grown, changed and deleted, also when somebody dies half way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from partstream.config.topic import TopicConfig
from partstream.embedded.server import EmbeddedServer
from partstream.engine.retention import sweep
from partstream.engine.topics import Topics
from partstream.errors import (
    InvalidConfig,
    InvalidPartitions,
    InvalidTopic,
    StoreUnavailable,
    TopicAlreadyExists,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from partstream.store.slots import SLOTS, partition_slot, slot_of
from tests.engine.logs import batch, check, engine, inside, read
from tests.servers.pool import Server
from tests.waiting import until

pytestmark = pytest.mark.every_server


def _keys(server: Server, namespace: str) -> set[str]:
    reply = server.command("KEYS", f"{namespace}:*")
    assert isinstance(reply, list)
    return {key.decode() for key in reply if isinstance(key, bytes)}


def _partition_keys(server: Server, namespace: str) -> set[str]:
    return {key for key in _keys(server, namespace) if key.count(":") > 3}


async def test_a_topic_is_what_was_asked_for(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        made = await own.topics.create(
            "orders", 3, {"retention.ms": 5_000, "partstream.partitioner": "crc32"}
        )
        found = await other.topics.get("orders")
        assert found == made
        assert [partition.index for partition in found.partitions] == [0, 1, 2]
        assert (found.partitioner, found.config.retention_ms) == ("crc32", 5_000)
        assert await other.topics.by_id(made.id) == made
        assert await other.topics.all() == {"orders": made}
        for partition in made.partitions:
            assert slot_of(partition.keys.log) == partition.slot
            seen = await check(own.store, partition)
            assert seen.state["id"] == made.id
            assert seen.state["topic"] == "orders"
            present = await own.store.execute("EXISTS", *partition.keys.all, key=partition.keys.log)
            assert present == 5, "every key that scripts declare exists from the start"
        with pytest.raises(UnknownTopicOrPartition, match="no partition 3, it has 3"):
            found.partition(3)


async def test_what_is_no_topic(redis_url: str, namespace: str, server: Server) -> None:
    async with engine(redis_url, namespace) as own:
        before = _keys(server, namespace)
        with pytest.raises(InvalidTopic, match="a/b"):
            await own.topics.create("a/b", 1)
        for number in (0, -1):
            with pytest.raises(InvalidPartitions, match=str(number)):
                await own.topics.create("a", number)
        with pytest.raises(InvalidConfig, match=r"retention\.mss"):
            await own.topics.create("a", 1, {"retention.mss": 1})
        for call in (
            own.topics.get("a"),
            own.topics.grow("a", 2),
            own.topics.alter("a", {}),
            own.topics.delete("a"),
        ):
            with pytest.raises(UnknownTopicOrPartition, match="'a'"):
                await call
        with pytest.raises(UnknownTopicId, match="nobody"):
            await own.topics.by_id("nobody")
        assert _keys(server, namespace) == before


async def test_growing(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        old = await own.topics.create("t", 2, {"max.message.bytes": 500})
        await own.log.append(old.partitions[0], batch(b"a"))
        grown = await own.topics.grow("t", 5)
        assert grown.partitions[:2] == old.partitions
        assert len(grown.partitions) == 5
        assert grown.version > old.version
        for partition in grown.partitions:
            assert (await check(own.store, partition)).state["max_message_bytes"] == "500"
        assert len(await read(own.store, grown.partitions[0])) == 1
        for number in (5, 4, 0):
            with pytest.raises(InvalidPartitions, match=str(number)):
                await own.topics.grow("t", number)


async def test_changing_configs(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create("t", 2, {"retention.ms": 5_000})
        changed = await own.topics.alter(
            "t", {"max.message.bytes": 500, "retention.ms": None, "segment.bytes": "2048"}
        )
        assert changed.config.overrides() == {"max.message.bytes": "500", "segment.bytes": "2048"}
        for partition in topic.partitions:
            state = (await inside(own.store, partition)).state
            assert (state["max_message_bytes"], state["segment_bytes"]) == ("500", "2048")
            assert state["retention_ms"] == str(changed.config.retention_ms)
        for bad in ({"segment.bytes": -1}, {"partstream.partitioner": "crc32"}):
            with pytest.raises(InvalidConfig):
                await own.topics.alter("t", bad)
        assert (await own.topics.get("t", fresh=True)).version == changed.version


async def test_configs_of_a_newer_partstream_are_kept(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create("t", 1, {"segment.bytes": 4_096})
        row = json.loads(topic.row)
        row["config"]["tiered.storage"] = "true"
        key = own.store.keys.meta.topics
        await own.store.execute("HSET", key, "t", json.dumps(row), key=key)
        found = (await own.topics.all())["t"]
        assert found.config.overrides() == {"segment.bytes": "4096"}
        changed = await own.topics.alter("t", {"segment.bytes": 2_048})
        assert json.loads(changed.row)["config"] == {
            "segment.bytes": "2048",
            "tiered.storage": "true",
        }


async def test_defaults_of_who_created_a_topic_are_kept(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        defaults = {"retention.bytes": "9999", "segment.bytes": "4096"}
        await own.topics.create("t", 1, TopicConfig.from_overrides({}, defaults))
        row = json.loads((await own.topics.get("t", fresh=True)).row)
        row["defaults"]["tiered.storage"] = "true"
        key = own.store.keys.meta.topics
        await own.store.execute("HSET", key, "t", json.dumps(row), key=key)
        await other.topics.grow("t", 2)
        await other.topics.alter("t", {"retention.bytes": 7, "segment.bytes": 2_048})
        changed = await other.topics.alter("t", {"retention.bytes": None})
        assert changed.config.overrides() == {"segment.bytes": "2048"}
        for partition in changed.partitions:
            state = (await inside(own.store, partition)).state
            assert (state["retention_bytes"], state["segment_bytes"]) == ("9999", "2048")
        assert json.loads(changed.row)["defaults"] == {**defaults, "tiered.storage": "true"}


async def test_a_late_configure_does_not_undo_a_newer_one(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        old = await own.topics.create("t", 1)
        await own.topics.alter("t", {"segment.bytes": 2_048})
        await own.topics.configure(old)
        assert (await inside(own.store, old.partitions[0])).state["segment_bytes"] == "2048"


async def test_deleting_leaves_nothing(redis_url: str, namespace: str, server: Server) -> None:
    async with engine(redis_url, namespace) as own:
        topic = await own.topics.create("t", 20)
        await own.log.append(topic.partitions[3], batch(b"a"))
        assert len(_partition_keys(server, namespace)) == 100
        await own.topics.delete("t")
        assert _partition_keys(server, namespace) == set()
        assert await own.topics.all() == {}
        pending = own.store.keys.meta.pending
        assert await own.store.execute("HLEN", pending, key=pending) == 0


async def test_others_hear_of_changes(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        rings = 0

        def ring() -> None:
            nonlocal rings
            rings += 1

        with pytest.raises(UnknownTopicOrPartition):
            await other.topics.get("t")
        end = await other.topics.watch(ring)
        before = rings
        await own.topics.create("t", 1)
        await until(lambda: rings > before)
        assert len((await other.topics.get("t")).partitions) == 1
        assert other.topics.known("t") is not None
        before = rings
        await own.topics.grow("t", 2)
        await until(lambda: rings > before)
        assert other.topics.known("t") is None
        assert len((await other.topics.get("t")).partitions) == 2
        before = rings
        await own.topics.delete("t")
        await until(lambda: rings > before)
        with pytest.raises(UnknownTopicOrPartition):
            await other.topics.get("t")
        end()
        await own.topics.create("u", 1)
        await until(lambda: other.topics.known("t") is None)


async def test_what_is_known_grows_old(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        topics = Topics(own.store, max_age_ms=30)
        await own.topics.create("t", 1)
        await topics.get("t")
        await until(lambda: topics.known("t") is None, within=2)
        topics.close()


async def test_topics_are_made_once(redis_url: str, namespace: str, server: Server) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        results = await asyncio.gather(
            *(each.topics.create("t", 3) for each in (own, other) for _ in range(5)),
            return_exceptions=True,
        )
        made = [result for result in results if not isinstance(result, BaseException)]
        assert len(made) == 1
        for result in results:
            assert result is made[0] or isinstance(result, TopicAlreadyExists)
        assert (await own.topics.get("t", fresh=True)).id == made[0].id
        assert _partition_keys(server, namespace) == {
            key for partition in made[0].partitions for key in partition.keys.all
        }
        with pytest.raises(TopicAlreadyExists, match="'t'"):
            await other.topics.create("t", 1)


async def test_changes_at_the_same_time_all_count(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        await own.topics.create("t", 1)
        await asyncio.gather(
            own.topics.alter("t", {"segment.bytes": 2_048}),
            other.topics.alter("t", {"retention.ms": 7}),
            other.topics.grow("t", 4),
            own.topics.alter("t", {"max.message.bytes": 999}),
        )
        topic = await own.topics.get("t", fresh=True)
        assert len(topic.partitions) == 4
        assert topic.config.overrides() == {
            "segment.bytes": "2048",
            "retention.ms": "7",
            "max.message.bytes": "999",
        }
        for partition in topic.partitions:
            state = (await inside(own.store, partition)).state
            seen = [state[name] for name in ("segment_bytes", "retention_ms", "max_message_bytes")]
            assert seen == ["2048", "7", "999"]


async def test_growing_while_another_grows(redis_url: str, namespace: str, server: Server) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        await own.topics.create("t", 1)
        results = await asyncio.gather(
            own.topics.grow("t", 3), other.topics.grow("t", 6), return_exceptions=True
        )
        assert all(
            result is None
            or not isinstance(result, BaseException)
            or isinstance(result, InvalidPartitions)
            for result in results
        )
        topic = await own.topics.get("t", fresh=True)
        assert len(topic.partitions) == 6
        for partition in topic.partitions:
            await check(own.store, partition)
        await own.topics.delete("t")
        assert _partition_keys(server, namespace) == set()


async def test_growing_while_another_deletes(
    redis_url: str, namespace: str, server: Server
) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        for _ in range(5):
            await own.topics.create("t", 1)
            await asyncio.gather(
                own.topics.grow("t", 8), other.topics.delete("t"), return_exceptions=True
            )
            if "t" in await own.topics.all():
                await own.topics.delete("t")
            assert _partition_keys(server, namespace) == set()


# Where partitions are.


@pytest.mark.parametrize("primaries", [2, 3, 4, 6])
def test_partitions_spread_over_equal_primaries(primaries: int) -> None:
    """Give or take one or two (2.3) for N up to 48, 3.5 at 1,024; also after N has grown."""
    for name in ("orders", "flights", "a", "t-17"):
        nodes = [partition_slot(name, p) * primaries // SLOTS for p in range(1_024)]
        for count in (*range(1, 49), 1_024):
            held = Counter(nodes[:count])
            bound = 2.5 if count <= 48 else 3.5
            for node in range(primaries):
                assert abs(held[node] - count / primaries) <= bound


async def test_namespaces_never_meet(redis_url: str, namespace: str, server: Server) -> None:
    longer = f"{namespace}.x"
    async with engine(redis_url, namespace) as own, engine(redis_url, longer) as other:
        mine = await own.topics.create("t", 2)
        theirs = await other.topics.create("t", 2)
        await own.log.append(mine.partitions[0], batch(b"mine"))
        assert await read(other.store, theirs.partitions[0]) == []
        assert [mine.id] == [topic.id for topic in (await own.topics.all()).values()]
        before = _keys(server, longer)
        assert before
        assert not before & _keys(server, namespace)
        await own.topics.delete("t")
        await sweep(own.store, own.topics)
        assert _keys(server, longer) == before
        await other.topics.delete("t")
    server.remove(longer)


async def test_databases_never_meet(fresh_server: EmbeddedServer) -> None:
    async with (
        engine(fresh_server.url, "ps") as own,
        engine(fresh_server.url + "/7", "ps") as seven,
    ):
        await own.topics.create("t", 1)
        assert await seven.topics.all() == {}
        made = await seven.topics.create("t", 1)
        await seven.log.append(made.partitions[0], batch(b"seven"))
        assert await read(own.store, (await own.topics.get("t")).partitions[0]) == []
        keys = fresh_server.info("keyspace")
        assert set(keys) == {"db0", "db7"}


async def test_flushing_each_batch_needs_an_append_only_file(
    fresh_server: EmbeddedServer,
) -> None:
    async with engine(fresh_server.url, "ps") as own:
        for call in (
            own.topics.create("t", 1, {"flush.messages": 1}),
            own.topics.alter("u", {"flush.messages": 1}),
        ):
            if "u" not in await own.topics.all():
                await own.topics.create("u", 1)
            with pytest.raises(InvalidConfig, match=r"flush\.messages.*(append-only|WAITAOF)"):
                await call
        fresh_server.command("CONFIG", "SET", "appendonly", "yes")
        # A server that writes its first append-only file does not stop when it is asked to.
        await until(lambda: fresh_server.info("persistence")["aof_rewrite_in_progress"] == "0")
        if fresh_server.binary.version.startswith("7.0"):
            return
        await own.topics.create("t", 1, {"flush.messages": 1})


async def test_a_server_that_is_gone(fresh_server: EmbeddedServer) -> None:
    async with engine(fresh_server.url, "ps", request_timeout_ms=300) as own:
        fresh_server.kill()
        with pytest.raises(StoreUnavailable, match=r"within 300 ms|connect"):
            await own.topics.get("t")

"""What consumers of a group subscribe to, and as whom: patterns, topics that change, instances."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest

from partstream.errors import (
    CommitFailed,
    InvalidTopic,
    UnreleasedInstanceId,
)
from partstream.model import OffsetAndMetadata
from tests.client.consuming import (
    Source,
    nothing_from,
    source,
    take,
    tp,
    tps,
    until_assigned,
    values,
)
from tests.client.grouping import Diary, Member, all_of, consumer, members, share_out
from tests.waiting import until


async def test_a_pattern_follows_topics_that_come_and_go(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic("in-a")
        await logs.topic("out")
        await reader.subscribe(pattern="in-.*")
        assert reader.subscription() == frozenset()
        await until_assigned(reader, tp(0, "in-a"))
        await logs.topic("in-b", partitions=2)
        await until_assigned(reader, tp(0, "in-a"), *tps(2, "in-b"))
        await logs.put(["b"], 1, "in-b")
        assert values(await take(reader, 1)) == ["b"]
        await logs.topics.delete("in-a")
        await until_assigned(reader, *tps(2, "in-b"))


async def test_a_topic_that_grows(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await reader.subscribe(["t"])
        await until_assigned(reader, *tps(1))
        await logs.topics.grow("t", 3)
        await until_assigned(reader, *tps(3))
        await logs.put(["new"], 2)
        assert values(await take(reader, 1)) == ["new"]


async def test_a_topic_that_is_made_again_is_another_one(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.put(["old 1"])
        await logs.put(["old 2"])
        await reader.subscribe(["t"])
        await take(reader, 2)
        await reader.commit()
        await logs.topics.delete("t")
        await logs.topic()
        await logs.put(["new"])
        assert values(await take(reader, 1)) == ["new"]
        await reader.commit()
        assert await reader.committed(tp()) == {tp(): OffsetAndMetadata(1, "", 0)}


async def test_a_changed_subscription(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        for topic in ("a", "b", "c"):
            await logs.topic(topic)
        await reader.subscribe(["a", "b"])
        await until_assigned(reader, tp(0, "a"), tp(0, "b"))
        await reader.subscribe("c")
        await until_assigned(reader, tp(0, "c"))
        await reader.subscribe(pattern="[ab]")
        await until_assigned(reader, tp(0, "a"), tp(0, "b"))
        await reader.subscribe(["b", "c"])
        await until_assigned(reader, tp(0, "b"), tp(0, "c"))
        await reader.subscribe([])
        assert reader.assignment() == frozenset()


async def test_topics_that_do_not_exist(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs:
        async with consumer(redis_url, namespace, num_partitions=2) as reader:
            await reader.subscribe(["made"])
            await until_assigned(reader, *tps(2, "made"))
            with pytest.raises(InvalidTopic, match="not/a/topic"):
                await reader.subscribe(["not/a/topic"])
        config: dict[str, Any] = {"allow_auto_create_topics": False, "group_id": "other"}
        async with consumer(redis_url, namespace, **config) as reader:
            with caplog.at_level(logging.WARNING, "partstream"):
                await reader.subscribe(["later"])
            assert "later" in caplog.text
            await nothing_from(reader)
            await logs.topic("later")
            await until_assigned(reader, *tps(1, "later"))


async def test_the_assignor_can_be_chosen(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic("a", partitions=2)
        await logs.topic("b", partitions=2)
        async with members(
            redis_url, namespace, 2, ["a", "b"], group_remote_assignor="range"
        ) as group:
            names = tps(2, "a") + tps(2, "b")
            await until(lambda: share_out(group, names, [2, 2]))
            # Partitions with the same number are together: that is what `range` is for.
            await until(lambda: all(len({name.partition for name in m.owned}) == 1 for m in group))


async def test_a_static_member_comes_back_to_what_it_had(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=4)
        diary = Diary()
        async with consumer(redis_url, namespace) as reader:
            await reader.subscribe(["t"], listener=diary)
            other = Member(reader)
            await until(lambda: other.owned == all_of(4))
            async with members(redis_url, namespace, 1, group_instance_id="one") as static:
                await until(lambda: share_out([other, *static], tps(4), [2, 2]))
                had = static[0].owned
            await asyncio.sleep(0.2)
            assert other.owned == set(tps(4)) - had
            async with members(redis_url, namespace, 1, group_instance_id="one") as static:
                await until(lambda: static[0].owned == had)
            heard = len(diary.entries)
            assert diary.total("revoked") == had
            assert heard == 2
            await other.stop()


async def test_two_members_cannot_be_the_same_instance(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=4)
        config: dict[str, Any] = {"group_instance_id": "one", "session_timeout_ms": 500}
        async with members(redis_url, namespace, 1, **config) as group:
            await until(lambda: share_out(group, tps(4), [4]))
            async with consumer(redis_url, namespace, **config) as second:
                await second.subscribe(["t"])
                for _ in range(2):
                    with pytest.raises(UnreleasedInstanceId, match="one"):
                        await second.poll(timeout=10.0)


async def test_a_static_member_that_crashed_comes_back_when_it_was_missed(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        config: dict[str, Any] = {"group_instance_id": "one", "session_timeout_ms": 600}
        dead = await consumer(redis_url, namespace, **config).start()
        await dead.subscribe(["t"])
        await until_assigned(dead, *tps(2))
        membership = dead.opened._member
        assert membership is not None
        membership._task.cancel()
        async with consumer(redis_url, namespace, **config) as reader:
            await reader.subscribe(["t"])
            await until_assigned(reader, *tps(2))
        await dead.close()


async def test_groups_do_not_disturb_each_other(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        async with (
            members(redis_url, namespace, 1, group_id="one") as one,
            members(redis_url, namespace, 1, group_id="two") as two,
        ):
            await until(lambda: len(one[0].records) == len(two[0].records) == 10)
            await one[0].reader.commit()
            assert await two[0].reader.committed(tp(0)) == {tp(0): None}


async def test_a_commit_from_outside_is_refused_while_there_are_members(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as outsider:
        await logs.topic(partitions=2)
        await outsider.assign(tp(0))
        async with members(redis_url, namespace, 1) as group:
            await until(lambda: share_out(group, tps(2), [2]))
            with pytest.raises(CommitFailed, match="members"):
                await outsider.commit({tp(0): 5})
        await outsider.commit({tp(0): 5})
        assert await outsider.committed(tp(0)) == {tp(0): OffsetAndMetadata(5)}


async def test_many_members_come_and_go(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=12)
        async with members(redis_url, namespace, 3) as stay:
            for size in (1, 3, 2):
                async with members(redis_url, namespace, size) as come:
                    share, more = divmod(12, 3 + size)
                    sizes = [share + 1] * more + [share] * (3 + size - more)
                    await until(partial(share_out, stay + come, tps(12), sizes))
                    await _put_one_everywhere(logs, 12)
            await until(lambda: share_out(stay, tps(12), [4, 4, 4]))


async def _put_one_everywhere(logs: Source, partitions: int) -> None:
    await asyncio.gather(*(logs.put(["x"], partition) for partition in range(partitions)))


async def test_a_member_whose_last_join_was_taken_back_joins_again(
    redis_url: str, namespace: str
) -> None:
    """Its heartbeats go on in the name of the join before; its commits would fail for ever."""
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=1)
        await logs.fill(5, 0)
        await reader.subscribe(["t"])
        await until_assigned(reader, tp(0))
        assert len(await take(reader, 5)) == 5
        key = logs.store.keys.group("g").current
        member = reader.opened._member
        assert member is not None
        row = await logs.store.execute("HGET", key, member.member_id, key=key)
        words = row.split(b"|")
        words[3] = b"%020d" % (int(words[3]) - 1)
        await logs.store.execute("HSET", key, member.member_id, b"|".join(words), key=key)
        with pytest.raises(CommitFailed, match="joined again since"):
            await reader.commit()
        assert len(await take(reader, 5)) == 5  # as it has lost what it had
        await reader.commit()
        assert await reader.committed(tp(0)) == {tp(0): OffsetAndMetadata(5, "", 0)}

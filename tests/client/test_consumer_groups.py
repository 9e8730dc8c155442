"""Consumers that share topics: joining, leaving, dying, listening, committing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.client.membership import State
from partstream.errors import (
    CommitFailed,
    IllegalState,
    InvalidTopic,
    UnreleasedInstanceId,
)
from partstream.model import OffsetAndMetadata, Record, TopicPartition
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
from tests.waiting import until

Names = frozenset[TopicPartition]


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    fixed = {
        "auto_offset_reset": "earliest",
        "group_id": "g",
        "session_timeout_ms": 3_000,
        "enable_auto_commit": False,
    }
    return Consumer(url, namespace=namespace, **{**fixed, **config})


class Member:
    """A consumer in a task of its own, which polls for ever and notes what it gets."""

    def __init__(self, reader: Consumer) -> None:
        self.reader = reader
        self.records: list[Record] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.records += await self.reader.poll(timeout=None)

    @property
    def owned(self) -> frozenset[TopicPartition]:
        return self.reader.assignment()

    async def stop(self) -> None:
        """Poll no more."""
        self.task.cancel()
        done = await asyncio.gather(self.task, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError), done


@asynccontextmanager
async def members(
    url: str, namespace: str, count: int, topics: Iterable[str] = ("t",), **config: Any
) -> AsyncIterator[list[Member]]:
    """Members of a group, which leave at the end."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            reader = await stack.enter_async_context(consumer(url, namespace, **config))
            await reader.subscribe(topics)
            made.append(Member(reader))
            stack.push_async_callback(made[-1].stop)
        yield made


def share_out(group: list[Member], names: Iterable[TopicPartition], sizes: list[int]) -> bool:
    """Whether the members own all of it, nobody twice, in shares of these sizes."""
    owned = [member.owned for member in group]
    return (
        sorted(map(len, owned)) == sorted(sizes)
        and sum(map(len, owned)) == len(frozenset().union(*owned))
        and frozenset().union(*owned) == set(names)
    )


def all_of(partitions: int) -> Names:
    """The partitions of the topic that tests mostly use."""
    return frozenset(tps(partitions))


class Diary(RebalanceListener):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Names]] = []
        self.on: dict[str, Callable[[Names], Any]] = {}

    async def _note(self, what: str, partitions: Names) -> None:
        self.entries.append((what, partitions))
        if what in self.on:
            await self.on[what](partitions)

    async def on_partitions_assigned(self, partitions: Names) -> None:
        await self._note("assigned", partitions)

    async def on_partitions_revoked(self, partitions: Names) -> None:
        await self._note("revoked", partitions)

    async def on_partitions_lost(self, partitions: Names) -> None:
        await self._note("lost", partitions)

    def total(self, what: str) -> Names:
        """All partitions of one kind of entry."""
        return frozenset().union(*(names for kind, names in self.entries if kind == what))


async def test_one_member_gets_everything(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=3)
        for partition in range(3):
            await logs.fill(10, partition)
        await reader.subscribe(["t"])
        assert reader.subscription() == {"t"}
        records = await take(reader, 30)
        assert reader.assignment() == set(tps(3))
        assert len({(record.partition, record.offset) for record in records}) == 30


async def test_members_share_and_every_record_is_read_once(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=6)
        async with members(redis_url, namespace, 3) as group:
            await until(lambda: share_out(group, tps(6), [2, 2, 2]))
            for partition in range(6):
                await logs.fill(100, partition, batch=10)
            await until(lambda: sum(len(member.records) for member in group) >= 600)
            for member in group:
                assert {record.partition for record in member.records} == {
                    name.partition for name in member.owned
                }
                assert len(member.records) == 200


async def test_a_member_that_joins_and_leaves_moves_only_what_it_must(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=6)
        async with members(redis_url, namespace, 2) as group:
            await until(lambda: share_out(group, tps(6), [3, 3]))
            before = [member.owned for member in group]
            async with members(redis_url, namespace, 1) as late:
                await until(lambda: share_out(group + late, tps(6), [2, 2, 2]))
                for member, owned in zip(group, before, strict=True):
                    assert member.owned < owned
            await until(lambda: share_out(group, tps(6), [3, 3]))


async def test_a_kept_partition_never_stops(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=4)
        diary = Diary()
        async with consumer(redis_url, namespace) as reader:
            await reader.subscribe(["t"], listener=diary)
            first = Member(reader)
            await until(lambda: first.owned == set(tps(4)))
            buffers = {buffer.partition.name: buffer for buffer in reader.opened.fetcher.buffers()}
            async with members(redis_url, namespace, 1) as late:
                await until(lambda: share_out([first, *late], tps(4), [2, 2]))
                for name in first.owned:
                    assert reader.opened.fetcher.buffer(name) is buffers[name]
                assert diary.entries == [
                    ("assigned", frozenset(tps(4))),
                    ("revoked", frozenset(tps(4)) - first.owned),
                ]
            await first.stop()


async def test_a_member_that_dies_is_missed_after_its_session(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=4)
        async with members(redis_url, namespace, 1) as group:
            dead = await consumer(redis_url, namespace, session_timeout_ms=600).start()
            await dead.subscribe(["t"])
            member = Member(dead)
            await until(lambda: share_out([*group, member], tps(4), [2, 2]))
            # It falls silent, without a word to anybody.
            await member.stop()
            membership = dead.opened._member
            assert membership is not None
            membership._task.cancel()
            await until(lambda: share_out(group, tps(4), [4]))
            await dead.close()


async def test_revocation_is_told_before_another_member_has_the_partition(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        await logs.fill(10, 1)
        diary = Diary()
        release = asyncio.Event()

        async def commit_and_linger(_: Names) -> None:
            await reader.commit()
            await release.wait()

        diary.on["revoked"] = commit_and_linger
        await reader.subscribe(["t"], listener=diary)
        first = Member(reader)
        await until(lambda: len(first.records) == 20)
        async with members(redis_url, namespace, 1) as late:
            await until(lambda: len(diary.entries) == 2)
            what, revoked = diary.entries[1]
            assert what == "revoked"
            await asyncio.sleep(0.3)
            assert not late[0].owned
            release.set()
            await until(lambda: late[0].owned == revoked)
            position = {name: await late[0].reader.position(name) for name in revoked}
            assert position == dict.fromkeys(revoked, 10)
            assert late[0].records == []
        await first.stop()


async def test_auto_commit_comes_before_the_partition_goes(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=4)
        for partition in range(4):
            await logs.fill(50, partition)
        config: dict[str, Any] = {
            "enable_auto_commit": True,
            "auto_commit_interval_ms": 60_000,
        }
        async with members(redis_url, namespace, 1, **config) as first:
            await until(lambda: len(first[0].records) == 200)
            async with members(redis_url, namespace, 1, **config) as late:
                await until(lambda: share_out(first + late, tps(4), [2, 2]))
                await logs.put(["new"], next(iter(late[0].owned)).partition)
                await until(lambda: late[0].records)
                assert values(late[0].records) == ["new"]


async def test_the_next_consumer_of_the_group_goes_on(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        await logs.fill(20, 0)
        await logs.fill(20, 1)
        seen: list[Record] = []
        for _ in range(4):
            async with consumer(redis_url, namespace, enable_auto_commit=True) as reader:
                await reader.subscribe(["t"])
                seen += await reader.poll(max_records=10, timeout=10.0)
        assert len(seen) == len({(record.partition, record.offset) for record in seen})
        assert len(seen) > 10


async def test_closing_revokes_and_unsubscribing_too(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        diary = Diary()
        async with consumer(redis_url, namespace) as reader:
            await reader.subscribe(["t"], listener=diary)
            await until_assigned(reader, *tps(2))
            await reader.unsubscribe()
            assert reader.assignment() == frozenset()
            assert diary.entries == [("assigned", all_of(2)), ("revoked", all_of(2))]
            with pytest.raises(IllegalState, match="not subscribed"):
                await reader.poll()
            await reader.assign(tp(0))
            with pytest.raises(IllegalState, match="unsubscribe"):
                await reader.subscribe(["t"])
            await reader.unsubscribe()
            await reader.subscribe(["t"], listener=diary)
            await until_assigned(reader, *tps(2))
            with pytest.raises(IllegalState, match="unsubscribe"):
                await reader.assign(tp(0))
        assert [what for what, _ in diary.entries] == ["assigned", "revoked"] * 2


async def test_what_a_listener_raises_comes_out_of_poll_and_the_change_is_made(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        diary = Diary()

        async def fail(_: Names) -> None:
            raise ZeroDivisionError

        diary.on["assigned"] = fail
        await reader.subscribe(["t"], listener=diary)
        with pytest.raises(ZeroDivisionError):
            await until_assigned(reader, *tps(2))
        assert reader.assignment() == set(tps(2))
        await nothing_from(reader)
        assert len(diary.entries) == 1


async def test_a_listener_may_seek(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(10)
        diary = Diary()

        async def skip(partitions: Names) -> None:
            for name in partitions:
                reader.seek(name, 7)

        diary.on["assigned"] = skip
        await reader.subscribe(["t"], listener=diary)
        assert values(await take(reader, 3)) == ["7", "8", "9"]


class PlainListener(RebalanceListener):
    """Its methods are no coroutines; losing is the same as being revoked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_partitions_assigned(self, partitions: Names) -> None:
        self.heard.append("assigned")

    def on_partitions_revoked(self, partitions: Names) -> None:
        self.heard.append("revoked")


async def _silence(*_: object) -> None:
    await asyncio.Event().wait()


async def test_a_member_whose_session_lapsed_is_told_and_joins_again(
    redis_url: str,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        diary = Diary()
        async with consumer(redis_url, namespace, session_timeout_ms=500) as reader:
            await reader.subscribe(["t"], listener=diary)
            await take(reader, 10)
            member = reader.opened._member
            assert member is not None
            # No heartbeat gets through.
            monkeypatch.setattr(member, "_send", _silence)
            async with members(redis_url, namespace, 1) as other:
                await until(lambda: share_out(other, tps(2), [2]))
                for _ in range(2):
                    with pytest.raises(CommitFailed, match=r"session of 500 ms ended"):
                        await reader.commit()
                monkeypatch.undo()
                await reader.poll(timeout=0.1)
                assert diary.entries[:2] == [("assigned", all_of(2)), ("lost", all_of(2))]
                again = Member(reader)
                await until(lambda: share_out([*other, again], tps(2), [1, 1]))
                await again.stop()
        assert "out of group" in caplog.text


async def test_a_member_that_the_group_has_removed_cannot_commit(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        await logs.fill(10, 0)
        plain = PlainListener()
        await reader.subscribe(["t"], listener=plain)
        await take(reader, 10)
        member = reader.opened._member
        assert member is not None
        # Somebody else sends its farewell.
        await reader.opened.groups.heartbeat("g", member.member_id, -1)
        with pytest.raises(CommitFailed, match="not in the group"):
            await reader.commit()
        assert len(await take(reader, 10)) == 10  # it has joined again, and nothing was committed
        assert plain.heard == ["assigned", "revoked", "assigned"]
        await reader.commit()


async def test_max_poll_interval_ms_gives_the_partitions_to_others(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        diary = Diary()
        async with consumer(redis_url, namespace, max_poll_interval_ms=400) as reader:
            await reader.subscribe(["t"], listener=diary)
            await until_assigned(reader, *tps(2))
            await nothing_from(reader, within=0.8)  # waiting in poll is no lateness
            assert reader.assignment() == set(tps(2))
            await until(lambda: _is_lost(reader))
            async with members(redis_url, namespace, 1) as other:
                await until(lambda: share_out(other, tps(2), [2]))
                with pytest.raises(CommitFailed, match="max_poll_interval_ms=400"):
                    await reader.commit()
                again = Member(reader)
                await until(lambda: share_out([*other, again], tps(2), [1, 1]))
                await again.stop()
            assert [what for what, _ in diary.entries[:3]] == ["assigned", "lost", "assigned"]


def _is_lost(reader: Consumer) -> bool:
    member = reader.opened._member
    return member is not None and member.state is State.LOST


async def test_taking_records_one_by_one_is_no_lateness(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs:
        await logs.topic()
        await logs.fill(20)
        diary = Diary()
        async with consumer(redis_url, namespace, max_poll_interval_ms=300) as reader:
            await reader.subscribe(["t"], listener=diary)
            async for record in reader:
                await asyncio.sleep(0.06)
                if record.offset == 19:
                    break
            await reader.commit()
        assert [what for what, _ in diary.entries] == ["assigned", "revoked"]


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

"""Consumers that share topics: joining, leaving, dying, listening, committing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from partstream.client.admin import Admin
from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.client.membership import State
from partstream.engine.groups import Heartbeat
from partstream.errors import (
    CommitFailed,
    IllegalState,
)
from partstream.model import Record
from tests.client.consuming import (
    nothing_from,
    source,
    take,
    tp,
    tps,
    until_assigned,
    values,
)
from tests.client.grouping import Diary, Member, Names, all_of, consumer, members, share_out
from tests.waiting import until


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


async def test_a_session_that_is_set_for_the_group_goes_before_the_members_own(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"consumer.session.timeout.ms": 400, "consumer.heartbeat.interval.ms": 100}
    async with source(redis_url, namespace) as logs:
        await logs.topic(partitions=2)
        async with (
            Admin(redis_url, namespace=namespace) as admin,
            consumer(redis_url, namespace, session_timeout_ms=60_000) as reader,
        ):
            await reader.subscribe(["t"])
            await until_assigned(reader, *tps(2))
            await admin.alter_group_config("g", changes)
            member = reader.opened._member
            assert member is not None
            member.hurry()
            await until(lambda: member._session_s == 0.4)
            beats = 0
            send = member._send

            async def counted(*given: Any) -> Heartbeat:
                nonlocal beats
                beats += 1
                return await send(*given)

            monkeypatch.setattr(member, "_send", counted)
            await until(lambda: beats >= 5)  # they would be twenty seconds apart
            # It knows when the group gives it up.
            monkeypatch.setattr(member, "_send", _silence)
            await until(lambda: member.state is State.LOST)
            with pytest.raises(CommitFailed, match="session of 400 ms ended"):
                await reader.commit()


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

"""Idempotence: no duplicate and no gap, whatever was lost on the way."""

from __future__ import annotations

import asyncio

import pytest

from partstream.engine.log import ANY, BEGIN, GO_ON
from partstream.engine.producers import new_producer_id
from partstream.engine.retention import sweep
from partstream.errors import (
    InvalidProducerEpoch,
    OutcomeUnknown,
    OutOfOrderSequenceNumber,
    PartstreamError,
    UnknownProducerId,
)
from tests.engine.logs import Producer, batch, check, engine, inside, read

pytestmark = pytest.mark.every_server

WRAP = 2**31


async def test_a_duplicate_is_answered_with_its_first_offset(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        sent = [batch(b"a", b"b", by=Producer(7, 0, 2 * number)) for number in range(5)]
        first = [await own.log.append(partition, each) for each in sent]
        assert [answer.base_offset for answer in first] == [0, 2, 4, 6, 8]
        again = [await own.log.append(partition, each, line=GO_ON) for each in sent]
        assert [answer.base_offset for answer in again] == [0, 2, 4, 6, 8]
        assert not any(answer.duplicate for answer in first)
        assert all(answer.duplicate for answer in again)
        assert len((await check(own.store, partition)).entries) == 5


async def test_the_window_is_five_batches(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for sequence in range(6):
            await own.log.append(partition, batch(b"a", by=Producer(7, 0, sequence)))
        assert (await own.log.append(partition, batch(b"a", by=Producer(7, 0, 1)))).duplicate
        with pytest.raises(OutOfOrderSequenceNumber, match="sequence 0, expected 6"):
            await own.log.append(partition, batch(b"a", by=Producer(7, 0, 0)))
        assert (await own.log.bounds(partition)).end == 6


async def test_a_batch_of_another_length_is_no_duplicate(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", b"b", by=Producer(7, 0, 0)))
        with pytest.raises(OutOfOrderSequenceNumber):
            await own.log.append(partition, batch(b"a", by=Producer(7, 0, 0)))


@pytest.mark.parametrize("sequence", [0, 1, 4, WRAP - 1])
async def test_a_gap_is_refused(redis_url: str, namespace: str, sequence: int) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", b"b", b"c", by=Producer(7, 0, 0)))
        with pytest.raises(OutOfOrderSequenceNumber, match=f"sequence {sequence}, expected 3"):
            await own.log.append(partition, batch(b"d", by=Producer(7, 0, sequence)))
        await own.log.append(partition, batch(b"d", by=Producer(7, 0, 3)))


async def test_epochs_fence(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", by=Producer(7, 3, 0)))
        with pytest.raises(InvalidProducerEpoch, match="epoch 3 here, the batch has 2"):
            await own.log.append(partition, batch(b"b", by=Producer(7, 2, 1)))
        with pytest.raises(OutOfOrderSequenceNumber, match="expected 0"):
            await own.log.append(partition, batch(b"b", by=Producer(7, 4, 1)))
        assert not (await own.log.append(partition, batch(b"b", by=Producer(7, 4, 0)))).duplicate
        with pytest.raises(InvalidProducerEpoch):
            await own.log.append(partition, batch(b"a", by=Producer(7, 3, 0)))
        assert [record.value for record in await read(own.store, partition)] == [b"a", b"b"]


async def test_sequences_wrap(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for first in (WRAP - 2, 1, 2):
            values = [b"a"] * (3 if first == WRAP - 2 else 1)
            await own.log.append(partition, batch(*values, by=Producer(7, 0, first)))
        over = batch(b"a", b"a", b"a", by=Producer(7, 0, WRAP - 2))
        assert (await own.log.append(partition, over)).base_offset == 0
        partition = await own.partition("u")
        await own.log.append(partition, batch(b"a", by=Producer(7, 0, WRAP - 1)))
        await own.log.append(partition, batch(b"a", by=Producer(7, 0, 0)))
        assert (await own.log.bounds(partition)).end == 2


async def test_a_producer_that_begins_must_be_first(redis_url: str, namespace: str) -> None:
    """Or a first batch that failed would be overtaken by the second."""
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        with pytest.raises(OutOfOrderSequenceNumber, match="sequence 1, expected 0"):
            await own.log.append(partition, batch(b"b", by=Producer(7, 0, 1)), line=BEGIN)
        with pytest.raises(UnknownProducerId, match="7"):
            await own.log.append(partition, batch(b"b", by=Producer(7, 0, 1)), line=GO_ON)
        first = batch(b"a", by=Producer(7, 0, 0))
        assert not (await own.log.append(partition, first, line=BEGIN)).duplicate
        assert (await own.log.append(partition, first, line=BEGIN)).duplicate
        with pytest.raises(OutOfOrderSequenceNumber):
            await own.log.append(partition, batch(b"x", b"y", by=Producer(7, 0, 0)), line=BEGIN)
        await own.log.append(partition, batch(b"b", by=Producer(7, 0, 1)), line=GO_ON)


async def test_who_can_not_tell_may_come_with_any_sequence(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        await own.log.append(partition, batch(b"a", by=Producer(7, 0, 41)), line=ANY)
        with pytest.raises(OutOfOrderSequenceNumber, match="expected 42"):
            await own.log.append(partition, batch(b"a", by=Producer(7, 0, 43)), line=ANY)


async def test_batches_without_a_producer_are_not_compared(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for _ in range(2):
            await own.log.append(partition, batch(b"same"))
        assert len(await read(own.store, partition)) == 2
        seen = await own.store.execute(
            "HLEN", partition.keys.producers, key=partition.keys.producers
        )
        assert seen == 1, "only the placeholder"


async def test_a_duplicate_of_a_stamped_batch_has_its_first_time(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(message_timestamp_type="LogAppendTime")
        one = batch(b"a", b"b", by=Producer(7, 0, 0))
        first = await own.log.append(partition, one)
        # A later append, so that the clock has a chance to go on.
        await own.log.append(partition, batch(b"c", by=Producer(7, 0, 2)))
        again = await own.log.append(partition, one)
        assert (again.duplicate, again.append_time) == (True, first.append_time)
        await own.log.delete_records(partition, -1)
        gone = await own.log.append(partition, one)
        assert (gone.duplicate, gone.base_offset, gone.append_time) == (True, 0, -1)


async def test_another_history_keeps_the_producers(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        one = batch(b"a", by=Producer(7, 0, 0))
        first = await own.log.append(partition, one)
        key = partition.keys.state
        await own.store.execute("HSET", key, "token", "another", key=key)
        again = await own.log.append(partition, one)
        assert (again.duplicate, again.base_offset) == (True, 0)
        after = await own.log.append(partition, batch(b"b", by=Producer(7, 0, 1)))
        assert after.leader_epoch > first.leader_epoch
        await check(own.store, partition)


async def test_an_answer_that_is_lost_is_asked_for_again(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for sequence in range(10):
            one = batch(b"%d" % sequence, by=Producer(7, 0, sequence))
            line = GO_ON if sequence else BEGIN
            link = await own.store.router.node(partition.slot).link()
            sending = own.log.submit(partition, one, line)
            assert sending is not None
            await asyncio.sleep(0)  # the link writes it to its socket
            link._lose("for the test")
            with pytest.raises(OutcomeUnknown):
                await sending
            again = await own.log.append(partition, one, line=line)
            assert again.base_offset == sequence
        values = [record.value for record in await read(own.store, partition)]
        assert values == [b"%d" % number for number in range(10)]


async def test_links_that_break_all_the_time_neither_lose_nor_repeat(
    redis_url: str, namespace: str
) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()

        async def cut() -> None:
            while not producing.done():
                await asyncio.sleep(0.003)
                if (link := own.store.router.node(partition.slot).ready) is not None:
                    link._lose("for the test")

        async def produce() -> int:
            unknown = 0
            for sequence in range(120):
                one = batch(b"%d" % sequence, by=Producer(7, 0, sequence))
                while True:
                    try:
                        await own.log.append(partition, one, line=GO_ON if sequence else BEGIN)
                        break
                    except OutcomeUnknown:
                        unknown += 1
            return unknown

        async with asyncio.TaskGroup() as tasks:
            producing = tasks.create_task(produce())
            tasks.create_task(cut())
        assert producing.result() > 0
        values = [record.value for record in await read(own.store, partition)]
        assert values == [b"%d" % number for number in range(120)]


async def test_producer_ids_are_given_out_once(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own, engine(redis_url, namespace) as other:
        ids = await asyncio.gather(
            *(new_producer_id(each.store) for each in (own, other) for _ in range(20))
        )
        assert len(set(ids)) == 40
        assert min(ids) >= 0


async def test_silent_producers_are_forgotten(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for producer in range(300):
            await own.log.append(partition, batch(b"a", by=Producer(producer, 0, 0)))
        key = partition.keys.producers
        rows = await own.store.execute("HGETALL", key, key=key)
        old = {
            name: row for name, row in zip(rows[::2], rows[1::2], strict=True) if name[-1:] == b"7"
        }
        for name, row in old.items():
            used = int.from_bytes(row[2:10], "big") - 86_400_001
            aged = row[:2] + used.to_bytes(8, "big") + row[10:]
            await own.store.execute("HSET", key, name, aged, key=key)
        assert (await sweep(own.store, own.topics)).producers == len(old) == 30
        left = await own.store.execute("HKEYS", key, key=key)
        assert set(left) == set(rows[::2]) - set(old)
        assert b"" in left, "the placeholder stays, or the key would go"
        with pytest.raises(UnknownProducerId):
            await own.log.append(partition, batch(b"b", by=Producer(7, 0, 1)), line=GO_ON)


async def test_what_a_producer_costs(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition()
        for sequence in range(8):
            await own.log.append(partition, batch(b"a", by=Producer(7, 0, sequence)))
        row = await own.store.execute(
            "HGET", partition.keys.producers, "7", key=partition.keys.producers
        )
        assert len(row) == 10 + 5 * 16


async def test_a_refused_batch_leaves_nothing(redis_url: str, namespace: str) -> None:
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(max_message_bytes=200)
        await own.log.append(partition, batch(b"a", by=Producer(7, 1, 0)))
        before = await inside(own.store, partition)
        for bad in (
            batch(500, by=Producer(7, 1, 1)),
            batch(b"a", by=Producer(7, 1, 2)),
            batch(b"a", by=Producer(7, 0, 1)),
            batch(b"a", at=10**14, by=Producer(7, 1, 1)),
        ):
            with pytest.raises(PartstreamError):
                await own.log.append(partition, bad)
        assert await inside(own.store, partition) == before

"""Produce and Fetch at every version: what goes in comes out, and errors are Kafka's."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any

import pytest

from partstream.gateway.codec import Struct
from partstream.gateway.server import Gateway
from partstream.gateway.table import BY_KEY
from partstream.records import header
from partstream.records.codec import encode
from tests.engine.logs import replace
from tests.gateway.gateways import (
    Client,
    create,
    fetch,
    fetch_values,
    gateway,
    produce,
    request,
    response,
)
from tests.gateway.records import batch, values
from tests.servers.proxy import Proxy
from tests.waiting import until

PRODUCE, FETCH = BY_KEY[0], BY_KEY[1]


@pytest.mark.parametrize("version", range(PRODUCE.least, PRODUCE.most + 1))
async def test_every_version_of_produce(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t")
        topic = topic_id if version >= 13 else "t"
        for acks, offset in ((-1, 0), (1, 2)):
            row = await produce(client, topic, batch(b"a", b"b"), version=version, acks=acks)
            assert (row.error_code, row.base_offset, row.log_append_time) == (0, offset, -1)
        assert values(await fetch(client, "t", 0)) == list(enumerate([b"a", b"b"] * 2))


@pytest.mark.parametrize("version", range(FETCH.least, FETCH.most + 1))
async def test_every_version_of_fetch(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t")
        topic = topic_id if version >= 13 else "t"
        for number in range(5):
            await produce(client, "t", batch(b"%d" % number, b"x"))
        row = await fetch(client, topic, 0, version=version)
        assert values(row) == [
            (2 * number + rest, [b"%d" % number, b"x"][rest])
            for number in range(5)
            for rest in (0, 1)
        ]
        assert (row.error_code, row.high_watermark, row.last_stable_offset) == (0, 10, 10)
        assert row.log_start_offset == (0 if version >= 5 else -1)
        # Into the middle of a batch: the whole of it comes.
        assert values(await fetch(client, topic, 9, version=version)) == [(8, b"4"), (9, b"x")]
        assert (await fetch(client, topic, 10, version=version)).records == b""
        assert (await fetch(client, topic, 11, version=version)).error_code == 1


ERRORS = [
    pytest.param({"records": None}, 87, id="null"),
    pytest.param({"records": b""}, 87, id="empty"),
    pytest.param({"records": batch(b"v")[:30]}, 87, id="cut off"),
    pytest.param({"records": batch(b"v") * 2}, 87, id="two batches"),
    pytest.param(
        {"records": b"\0" * 11 + b"\x41" + b"\0" * 4 + b"\1" + b"\0" * 60}, 87, id="old magic"
    ),
    pytest.param({"records": batch(b"v")[:-1] + b"\x7f"}, 2, id="bad CRC"),
    pytest.param({"topic": "nope"}, 3, id="unknown topic"),
    pytest.param({"topic": "b ad"}, 3, id="bad topic"),
    pytest.param({"partition": 1}, 3, id="unknown partition"),
    pytest.param({"partition": -1}, 3, id="negative partition"),
    pytest.param({"acks": 5}, 21, id="acks"),
    pytest.param({"version": 6, "records": batch(b"v" * 100, codec=4)}, 76, id="zstd too early"),
    pytest.param({"records": batch(b"x" * 2_000)}, 10, id="too large"),
    pytest.param({"records": batch(b"v", at=int(time.time() * 1000) + 10**9)}, 32, id="future"),
    pytest.param({"transactional_id": "tx"}, 48, id="transaction"),
    pytest.param({"topic": "A" * 22, "version": 13}, 100, id="unknown topic id"),
]


@pytest.mark.parametrize(("given", "code"), ERRORS)
async def test_errors_of_produce(
    redis_url: str, namespace: str, given: dict[str, object], code: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", max_message_bytes="1000")
        values_ = {"topic": "t", "records": batch(b"v"), **given}
        row = await produce(client, **values_)  # type: ignore[arg-type]
        assert (row.error_code, row.base_offset) == (code, -1)
        assert (await produce(client, "t", batch(b"v"))).base_offset == 0, "nothing was written"


@pytest.mark.parametrize("version", [7, 8, 13])
async def test_a_compacted_topic_takes_no_record_without_a_key(
    redis_url: str, namespace: str, version: int
) -> None:
    keyed = encode([(1, b"k", b"v", ())])
    mixed = encode([(1, b"k" if number % 2 else None, b"v", ()) for number in range(9)], 1)
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t", cleanup_policy="compact")
        topic = topic_id if version >= 13 else "t"
        row = await produce(client, topic, mixed, version=version)
        assert (row.error_code, row.base_offset) == (87, -1)
        if version >= 8:
            why = "Compacted topic cannot accept message without key in topic partition t-0"
            assert [one.batch_index for one in row.record_errors] == [0, 2, 4, 6, 8]
            assert {one.batch_index_error_message for one in row.record_errors} == {why}
            assert row.error_message == (
                "One or more records have been rejected due to 5 record errors in total, and only "
                "showing the first three errors at most: ["
                + ", ".join(f"RecordError(batchIndex={at}, message='{why}')" for at in (0, 2, 4))
                + "]"
            )
        assert (await produce(client, topic, keyed, version=version)).base_offset == 0


@pytest.mark.parametrize("codec", range(5))
async def test_batches_come_out_byte_for_byte(redis_url: str, namespace: str, codec: int) -> None:
    sent = batch(*(b"value %d" % number for number in range(100)), codec=codec)
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        await produce(client, "t", batch(b"before"))
        await produce(client, "t", sent)
        got = (await fetch(client, "t", 1)).records
        assert struct.unpack_from(">q", got) == (1,)
        assert got[16:] == sent[16:]


async def test_a_topic_may_ask_for_its_own_compression(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", compression_type="lz4")
        for codec in (0, 1, 3):
            assert (await produce(client, "t", batch(b"v" * 500, codec=codec))).error_code == 0
        row = await fetch(client, "t", 0)
        assert [header.parse(one).codec for one in header.batches(row.records)] == [3, 3, 3]
        assert values(row) == [(number, b"v" * 500) for number in range(3)]


async def test_a_topic_says_how_hard_its_compression_tries(redis_url: str, namespace: str) -> None:
    text = b" ".join(b"%d" % number for number in range(5_000))
    sizes = []
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        for name, level in (("quick", "-100000"), ("small", "19")):
            await create(client, name, compression_type="zstd", compression_zstd_level=level)
            assert (await produce(client, name, batch(text))).error_code == 0
            row = await fetch(client, name, 0)
            sizes.append(len(row.records))
            assert values(row) == [(0, text)]
    assert 2 * sizes[1] < sizes[0]


async def test_the_log_dates_what_it_takes(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", message_timestamp_type="LogAppendTime")
        row = await produce(client, "t", batch(b"v", at=5))
        got = (await fetch(client, "t", 0)).records
        header.check_crc(got)
        head = header.parse(got)
        assert head.timestamp_type == 1
        assert head.max_timestamp == row.log_append_time > 10**12


async def test_a_batch_that_comes_twice_is_there_once(redis_url: str, namespace: str) -> None:
    def numbered(sequence: int, epoch: int = 0) -> bytes:
        return batch(b"v", producer_id=1000, producer_epoch=epoch, base_sequence=sequence)

    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        answers = [
            await produce(client, "t", numbered(sequence, epoch))
            for sequence, epoch in ((5, 0), (5, 0), (9, 0), (6, 0), (3, 1), (0, 1), (7, 0))
        ]
        assert [(row.error_code, row.base_offset) for row in answers] == [
            (0, 0), (0, 0), (45, -1), (0, 1), (45, -1), (0, 2), (47, -1),
        ]  # fmt: skip


@pytest.mark.parametrize("producer", [-1, 7])
async def test_a_batch_whose_fate_is_unknown_is_not_called_unwritten(
    redis_url: str, namespace: str, producer: int
) -> None:
    """librdkafka takes KAFKA_STORAGE_ERROR for never written, and writes it again as another.

    Nor are those behind it answered, if they are numbered: they would be out of order.
    """

    def numbered(value: bytes, sequence: int) -> bytes:
        if producer < 0:
            return batch(value)
        return batch(value, producer_id=producer, producer_epoch=0, base_sequence=sequence)

    async with (
        Proxy(redis_url) as proxy,
        gateway(proxy.url, namespace, request_timeout_ms=2_000) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        assert (await produce(client, "t", numbered(b"one", 0))).error_code == 0
        proxy.lose_answers()
        # Nor can Redis be asked afterwards what became of it.
        proxy.refusing = True
        if producer < 0:
            assert (await produce(client, "t", numbered(b"two", 1))).error_code == 7
            return
        with pytest.raises(AssertionError, match="has hung up"):
            await produce(client, "t", numbered(b"two", 1))
        proxy.refusing = False
        async with await Client.connect(running) as again:

            async def succeeded() -> Struct | None:
                row = await produce(again, "t", numbered(b"two", 1))
                return row if row.error_code == 0 else None

            assert (await until(succeeded)).base_offset == 1


async def test_without_acks_there_is_no_answer(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        data = {
            "acks": 0,
            "timeout": 1000,
            "topic_data": [{"name": "t", "partition_data": [{"index": 0, "records": batch(b"v")}]}],
        }
        client.send(request(0, 9, data))
        assert (await client.ask(18, 0)).error_code == 0, "the next answer is that of the next"
        assert values(await fetch(client, "t", 0, max_wait=5_000)) == [(0, b"v")]
        data["topic_data"] = [
            {"name": "nope", "partition_data": [{"index": 0, "records": batch(b"v")}]}
        ]
        client.send(request(0, 9, data))
        assert await client.frame() == b"", "an error can only be told by hanging up"


# How a fetch waits, and how much it brings.


async def _loop_time(running: Gateway, client: Client, **given: int) -> tuple[float, bytes]:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    row = await fetch(client, "t", 0, **given)
    return loop.time() - begun, row.records


async def test_a_fetch_waits_for_data_and_is_woken(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t")
        (partition,) = (await running.broker.topics.get("t")).partitions
        for number in range(3):
            waiting = asyncio.create_task(fetch(client, "t", number, max_wait=20_000))
            await until(lambda: partition.keys.bell in running.broker.store.bells._watches)
            assert not waiting.done()
            await produce(writer, "t", batch(b"%d" % number))
            assert values(await waiting) == [(number, b"%d" % number)]


async def test_a_fetch_waits_for_enough(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t")
        waiting = asyncio.create_task(fetch(client, "t", 0, max_wait=20_000, min_bytes=2_500))
        for _ in range(2):
            await produce(writer, "t", batch(b"x" * 1_000))
        done, _ = await asyncio.wait((waiting,), timeout=0.2)
        assert not done
        await produce(writer, "t", batch(b"x" * 1_000))
        assert len(values(await waiting)) == 3


async def test_a_fetch_that_finds_nothing_takes_its_time(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        took, records = await _loop_time(running, client, max_wait=300)
        assert took >= 0.29
        assert records == b""
        took, _ = await _loop_time(running, client, max_wait=0)
        assert took < 0.25


async def test_partitions_that_are_idle_cost_redis_nothing(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace) as running,
        await Client.connect(running) as client,
        await Client.connect(running) as writer,
    ):
        await create(client, "t", partitions=20)
        rows = [
            {"partition": number, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
            for number in range(20)
        ]
        ask = {**fetch_values("t", 0), "topics": [{"topic": "t", "partitions": rows}]}
        for _ in range(5):
            await client.ask(1, 12, **ask)
        store = running.broker.store
        asked: list[object] = []
        submit = store.submit

        def counted(slot: int, *command: Any) -> Any:
            asked.append(command)
            return submit(slot, *command)

        replace(store, "submit", counted)
        answer = await client.ask(1, 12, **ask)
        assert [row.high_watermark for row in answer.responses[0].partitions] == [0] * 20
        assert asked == []
        await produce(writer, "t", batch(b"v"), partition=7)
        asked.clear()
        answer = await client.ask(1, 12, **{**ask, "max_wait": 10_000})
        found = [row.partition_index for row in answer.responses[0].partitions if row.records]
        assert found == [7]
        assert len(asked) <= 4, "only the one that rang was read"


async def test_the_first_batch_comes_whole_and_no_more_than_asked(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", partitions=2)
        for partition in (0, 1):
            for _ in range(10):
                await produce(client, "t", batch(b"x" * 1_000), partition=partition)
        assert len(values(await fetch(client, "t", 0, max_bytes=1))) == 1
        assert len(values(await fetch(client, "t", 0, partition_max_bytes=1))) == 1
        assert len(values(await fetch(client, "t", 0, partition_max_bytes=3_500))) == 3
        both = fetch_values("t", 0, max_bytes=3_500)
        both["topics"][0]["partitions"].append(
            {"partition": 1, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        )
        answer = await client.ask(1, 12, **both)
        rows = answer.responses[0].partitions
        assert [len(values(row)) for row in rows] == [3, 0]
        assert [row.high_watermark for row in rows] == [10, 10]


async def test_all_of_a_long_log_comes_once(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", segment_bytes="4096")
        count = 300
        for number in range(count):
            size = 1_500 if number % 50 == 0 else 20
            await produce(client, "t", batch(b"%d" % number + b"." * size))
        seen: list[int] = []
        polls = 0
        while len(seen) < count:
            row = await fetch(client, "t", len(seen), partition_max_bytes=8_000)
            assert len(row.records) <= 8_000
            seen += [int(value.split(b".")[0]) for _, value in values(row)]
            polls += 1
        assert seen == list(range(count))
        assert polls < 40


# Sessions, epochs, deletions.


@pytest.mark.parametrize(("session_id", "epoch"), [(77, 1), (0, 1)])
async def test_there_are_no_sessions(
    redis_url: str, namespace: str, session_id: int, epoch: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        given = fetch_values("t", 0, session_id=session_id, session_epoch=epoch)
        client.send(request(1, 12, given))
        answer = response(1, 12, await client.frame())
        assert (answer.error_code, answer.session_id, answer.responses) == (70, 0, ())
        given = fetch_values("t", 0, session_epoch=0)
        assert (await client.ask(1, 12, **given)).session_id == 0


async def test_an_epoch_from_the_future_is_refused(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        row = await fetch(client, "t", 0, epoch=50)
        assert (row.error_code, row.high_watermark) == (75, -1)


async def test_an_old_epoch_is_refused_to_who_reads(redis_url: str, namespace: str) -> None:
    """Records of an epoch that it has not heard of would look to it as if they were taken back."""
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        for _ in range(4):
            await produce(client, "t", batch(b"v"))
        (partition,) = (await running.broker.topics.get("t")).partitions
        key = partition.keys.state
        await running.broker.store.execute("HSET", key, "epoch", 9, "epochs", "0:0 9:3", key=key)
        for offset in (0, 3, 4):
            assert (await fetch(client, "t", offset, epoch=0)).error_code == 74
            assert (await fetch(client, "t", offset, epoch=9)).error_code == 0
        # What is asked of the log as it is now is answered, whatever the client has heard of it.
        asked = {"partition_index": 0, "current_leader_epoch": 0, "timestamp": -1}
        listed = await client.ask(
            2, 9, replica_id=-1, topics=[{"name": "t", "partitions": [asked]}]
        )
        assert listed.topics[0].partitions[0].error_code == 0
        assert listed.topics[0].partitions[0].offset == 4
        answer = await client.ask(
            23, 4, topics=[{"topic": "t", "partitions": [{"partition": 0, "leader_epoch": 0}]}]
        )
        (found,) = answer.topics[0].partitions
        assert (found.error_code, found.leader_epoch, found.end_offset) == (0, 0, 3)
        told = await client.ask(3, 9, topics=[{"name": "t"}])
        assert told.topics[0].partitions[0].leader_epoch == 9


async def test_whoever_stands_behind_the_end_learns_of_another_history(
    redis_url: str, namespace: str
) -> None:
    """A failover took back what it had read, and nothing was written since."""
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        for _ in range(4):
            await produce(client, "t", batch(b"v"))
        (partition,) = (await running.broker.topics.get("t")).partitions
        key, store = partition.keys.state, running.broker.store
        epoch = (await running.broker.log.bounds(partition)).leader_epoch
        assert (await fetch(client, "t", 5, epoch=epoch)).error_code == 1
        await store.execute("HSET", key, "token", "another", key=key)
        assert (await fetch(client, "t", 4, epoch=epoch)).error_code == 0
        assert (await fetch(client, "t", 5, epoch=-1)).error_code == 1
        assert (await fetch(client, "t", 5, epoch=epoch)).error_code == 74
        told = await client.ask(3, 9, topics=[{"name": "t"}])
        later = told.topics[0].partitions[0].leader_epoch
        assert later > epoch
        asked = {"partition": 0, "current_leader_epoch": later, "leader_epoch": epoch}
        answer = await client.ask(23, 4, topics=[{"topic": "t", "partitions": [asked]}])
        (found,) = answer.topics[0].partitions
        assert (found.error_code, found.leader_epoch, found.end_offset) == (0, epoch, 4)

        async def is_refused() -> bool:
            code: int = (await fetch(client, "t", 5, epoch=later)).error_code
            return code == 1

        await until(is_refused)  # when the bell has rung: the gateway knows of idle logs


async def test_a_topic_that_was_made_again_is_another(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        old = await create(client, "t")
        await produce(client, "t", batch(b"old"))
        assert len(values(await fetch(client, old, 0, version=13))) == 1
        await client.ask(20, 6, topics=[{"name": "t", "topic_id": None}], timeout=1000)
        new = await create(client, "t")
        assert old != new
        assert (await fetch(client, old, 0, version=13)).error_code == 100
        assert (await produce(client, old, batch(b"v"), version=13)).error_code == 100
        assert values(await fetch(client, "t", 0)) == []


async def test_offsets_by_place_and_time(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", message_timestamp_before_max_ms=str(2**62), retention_ms="-1")
        for at in (1_000, 2_000, 3_000, 2_500):
            await produce(client, "t", batch(b"v", at=at))

        async def offset(timestamp: int, version: int = 11) -> tuple[int, int, int]:
            asked = {"partition_index": 0, "timestamp": timestamp}
            topics = [{"name": "t", "partitions": [asked]}]
            (row,) = (await client.ask(2, version, topics=topics)).topics[0].partitions
            return row.error_code, row.offset, row.timestamp

        for version in range(1, 12):
            assert await offset(-1, version) == (0, 4, -1)
            assert await offset(-2, version) == (0, 0, -1)
            assert await offset(1_500, version) == (0, 1, 2_000)
        assert await offset(-3) == (0, 2, 3_000)
        assert await offset(-4) == (0, 0, -1)
        assert await offset(-5) == (0, -1, -1)
        assert await offset(-7) == (35, -1, -1)
        assert await offset(3_001) == (0, -1, -1)


async def test_the_epoch_of_the_first_record_stays_when_others_begin(
    redis_url: str, namespace: str
) -> None:
    """librdkafka reads all of a log again if it is told of another one later."""
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        (partition,) = (await running.broker.topics.get("t")).partitions
        store, log = running.broker.store, running.broker.log

        async def epoch(timestamp: int) -> int:
            topics = [{"name": "t", "partitions": [{"partition_index": 0, "timestamp": timestamp}]}]
            (row,) = (await client.ask(2, 11, topics=topics)).topics[0].partitions
            found: int = row.leader_epoch
            return found

        async def another_history() -> int:
            key = partition.keys.state
            await store.execute("HSET", key, "token", "another", key=key)
            return await log.begin_epoch(partition)

        first = await another_history()
        assert [await epoch(place) for place in (-1, -2, -4)] == [first] * 3
        for _ in range(3):
            await produce(client, "t", batch(b"v"))
        second = await another_history()
        await produce(client, "t", batch(b"v"))
        assert [await epoch(place) for place in (-1, -2, -4)] == [second, first, first]
        await log.delete_records(partition, 2)
        assert [await epoch(place) for place in (-1, -2, -4)] == [second, first, first]
        await log.delete_records(partition, 3)
        assert [await epoch(place) for place in (-1, -2, -4)] == [second] * 3


async def test_every_producer_gets_an_id_of_its_own(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        ids = set()
        for version in range(6):
            answer = await client.ask(22, version, transactional_id=None)
            assert (answer.error_code, answer.producer_epoch) == (0, 0)
            ids.add(answer.producer_id)
        assert len(ids) == 6
        assert (await client.ask(22, 4, transactional_id="tx")).error_code == 53


@pytest.mark.parametrize("version", [8, 13])
async def test_of_a_request_that_is_cut_off_nothing_is_appended(
    redis_url: str, namespace: str, version: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t", 2)
        named = {"topic_id": topic_id} if version >= 13 else {"name": "t"}
        rows = [{"index": index, "records": batch(b"v")} for index in range(2)]
        data = [{**named, "partition_data": rows}]
        whole = request(0, version, {"acks": -1, "timeout": 1_000, "topic_data": data})
        async with await Client.connect(running) as other:
            other.send(struct.pack(">i", len(whole) - 5) + whole[4:-1])
            assert await other.frame() == b""
        for partition in range(2):
            row = await fetch(client, "t", 0, partition=partition)
            assert (row.error_code, row.high_watermark) == (0, 0)

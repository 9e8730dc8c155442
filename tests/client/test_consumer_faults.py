"""What a consumer does when its log is not what it should be, or Redis is not there."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from partstream.client.consumer import Consumer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import (
    ConfigError,
    CorruptRecord,
    LogTruncation,
    NoOffsetForPartition,
    OffsetOutOfRange,
    SerializationError,
    StoreUnavailable,
    UnknownTopicOrPartition,
)
from partstream.model import OffsetAndMetadata, Record
from partstream.records import codec
from partstream.records.codec import encode
from tests.client.consuming import Source, nothing_from, offsets, source, take, tp, tps, values
from tests.servers.targets import Target
from tests.waiting import until


def consumer(url: str, namespace: str, **config: object) -> Consumer:
    return Consumer(url, namespace=namespace, **{"auto_offset_reset": "earliest", **config})


def fails_on(value: bytes) -> object:
    def deserialize(raw: bytes) -> str:
        if raw == value:
            raise ValueError(raw)
        return raw.decode()

    return deserialize


async def put_damaged(logs: Source, values: list[str]) -> int:
    """Append a batch, then damage its last byte in Redis; returns its first offset."""
    batch = encode([(1, None, value.encode(), ()) for value in values])
    found = (await logs.topics.get("t")).partition(0)
    appended = await logs.log.append(found, batch[:-1] + bytes([batch[-1] ^ 0xFF]))
    return appended.base_offset


async def test_a_damaged_batch_is_named_and_can_be_skipped(redis_url: str, namespace: str) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.put(["a", "b"])
        assert await put_damaged(logs, ["x", "y", "z"]) == 2
        await logs.put(["c"])
        await reader.assign(tp())
        assert values(await take(reader, 2)) == ["a", "b"]
        for _ in range(2):
            with pytest.raises(CorruptRecord, match=r"t-0 at offset 2 .*CRC.* offset 5: seek"):
                await reader.poll(timeout=5.0)
            assert await reader.position(tp()) == 2
        reader.seek(tp(), 5)
        assert values(await take(reader, 1)) == ["c"]


async def test_a_damaged_partition_does_not_hold_up_the_others(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        await put_damaged(logs, ["x"])
        await logs.fill(1000, 1, batch=10)
        await reader.assign(tps(2))
        seen: list[int] = []
        failures = 0
        async with asyncio.timeout(20):
            while len(seen) < 1000:
                try:
                    seen += offsets(await reader.poll(timeout=1.0, max_records=20))
                except CorruptRecord:
                    failures += 1
        assert seen == list(range(1000))
        assert failures > 10


async def test_a_poll_that_fails_for_any_reason_loses_no_record(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(range(2))

    def decode(payload: bytes, topic: str, index: int, *rest: Any, **options: Any) -> list[Record]:
        if index == 1 and next(failures, None) is not None:
            raise MemoryError
        return codec.decode(payload, topic, index, *rest, **options)

    monkeypatch.setattr("partstream.client.buffer.decode", decode)
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic(partitions=2)
        for partition in range(2):
            await logs.fill(100, partition)
        await reader.assign(tps(2))
        await until(lambda: all(buffer.buffered for buffer in reader.opened.fetcher.buffers()))
        seen: list[Record] = []
        failed = 0
        async with asyncio.timeout(10):
            while len(seen) < 200:
                try:
                    seen += await reader.poll(timeout=1.0)
                except MemoryError:
                    failed += 1
        assert failed > 0
        for partition in range(2):
            of_it = [record.offset for record in seen if record.partition == partition]
            assert of_it == list(range(100))


async def test_crcs_are_checked_unless_told_otherwise(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, check_crcs=False) as careless,
    ):
        await logs.topic()
        await put_damaged(logs, ["x", "y"])
        await careless.assign(tp())
        # The last byte is the number of headers; without a checksum it is found out, if at all,
        # by what the records say of themselves.
        with pytest.raises(CorruptRecord) as raised:
            await careless.poll(timeout=5.0)
        assert "CRC" not in str(raised.value)


async def test_a_record_that_cannot_be_deserialized_is_named_and_can_be_skipped(
    redis_url: str, namespace: str
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, value_deserializer=fails_on(b"2")) as reader,
    ):
        await logs.topic()
        await logs.fill(5)
        await reader.assign(tp())
        assert [record.value for record in await take(reader, 2)] == ["0", "1"]
        with pytest.raises(SerializationError, match=r"t-0 at offset 2"):
            await anext(reader)
        assert await reader.position(tp()) == 2
        reader.seek(tp(), 3)
        assert [record.value for record in await take(reader, 2)] == ["3", "4"]


@pytest.mark.parametrize(("policy", "expected"), [("earliest", 30), ("latest", 100)])
async def test_a_position_out_of_range_is_reset(
    redis_url: str, namespace: str, policy: str, expected: int
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, auto_offset_reset=policy) as reader,
    ):
        topic = await logs.topic()
        await logs.fill(100, batch=10)
        await logs.log.delete_records(topic.partition(0), 30)
        await reader.assign(tp())
        for wrong in (5, 1000):
            reader.seek(tp(), wrong)
            await until(lambda: _position_is(reader, expected))


async def _position_is(reader: Consumer, expected: int) -> bool:
    return await reader.position(tp()) == expected


async def test_without_a_policy_it_is_the_user_who_decides(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, auto_offset_reset="none") as reader,
    ):
        topic = await logs.topic()
        await logs.fill(10)
        await logs.log.delete_records(topic.partition(0), 4)
        await reader.assign(tp())
        with pytest.raises(NoOffsetForPartition, match="t-0"):
            await reader.poll(timeout=5.0)
        with pytest.raises(NoOffsetForPartition, match="t-0"):
            await reader.position(tp())
        for wrong in (3, 11):
            reader.seek(tp(), wrong)
            for _ in range(2):
                with pytest.raises(OffsetOutOfRange, match=rf"offset {wrong} .*t-0.* 4 to 10"):
                    await reader.poll(timeout=5.0)
            assert await reader.position(tp()) == wrong
        reader.seek(tp(), 4)
        assert offsets(await take(reader, 6)) == list(range(4, 10))


async def test_records_that_retention_takes_before_they_are_read_are_passed_over(
    redis_url: str, namespace: str
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, max_partition_fetch_bytes=1) as reader,
    ):
        topic = await logs.topic()
        await logs.fill(100, batch=10)
        await reader.assign(tp())
        assert offsets(await reader.poll(timeout=5.0)) == list(range(10))
        await logs.log.delete_records(topic.partition(0), 70)
        # What was fetched ahead before may still come, without a gap; then the log's start.
        rest: list[int] = []
        while rest[-1:] != [99]:
            rest += offsets(await take(reader, 1))
        assert rest[-30:] == list(range(70, 100))
        assert rest[:-30] == list(range(10, 10 + len(rest) - 30))


async def _snapshot(logs: Source) -> dict[str, bytes]:
    """All that Redis has of partition 0."""
    keys = (await logs.topics.get("t")).partition(0).keys.all
    return {key: await logs.store.execute("DUMP", key, key=key) for key in keys}


async def _take_back(logs: Source, snapshot: dict[str, bytes]) -> None:
    """Make partition 0 what it was, as after a crash that lost its last records."""
    for key, dump in snapshot.items():
        await logs.store.execute("RESTORE", key, 0, dump, "REPLACE", key=key)
    # Redis has another replication id then: the next append begins another epoch.
    await logs.raw("HSET", "state", "token", "f" * 40)


async def _some_then_more(logs: Source) -> dict[str, bytes]:
    """Six records, and four more that the snapshot does not have."""
    await logs.topic()
    await logs.fill(6, batch=1)
    snapshot = await _snapshot(logs)
    for number in range(6, 10):
        await logs.put([str(number)])
    return snapshot


async def _begin_a_larger_epoch(logs: Source) -> None:
    """Larger than the one that follows when it is lost, as by a clock that is years ahead."""
    await logs.raw("HSET", "state", "epoch", 2_000_000_000, "token", "f" * 40)


async def test_records_that_were_read_and_are_gone_are_noticed(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        snapshot = await _some_then_more(logs)
        await reader.assign(tp())
        await take(reader, 10)
        await nothing_from(reader)
        await _take_back(logs, snapshot)
        # Others stand in their place, and more than there were.
        for number in range(20):
            await logs.put([f"new {number}"])
        with caplog.at_level(logging.WARNING, "partstream"):
            records = await take(reader, 20)
        assert offsets(records) == list(range(6, 26))
        assert values(records)[0] == "new 0"
        (warning,) = [line for line in caplog.messages if "truncated" in line]
        assert "t-0" in warning
        assert "offset 6" in warning


async def test_records_of_an_epoch_that_is_gone_as_a_whole_are_noticed(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        await logs.topic()
        await logs.fill(6, batch=1)
        snapshot = await _snapshot(logs)
        await _begin_a_larger_epoch(logs)
        for number in range(6, 10):
            await logs.put([str(number)])
        await reader.assign(tp())
        await take(reader, 10)
        await nothing_from(reader)
        await _take_back(logs, snapshot)
        for number in range(20):
            await logs.put([f"new {number}"])
        with caplog.at_level(logging.WARNING, "partstream"):
            records = await take(reader, 20)
        assert offsets(records) == list(range(6, 26))
        assert values(records)[0] == "new 0"
        assert any("truncated" in line for line in caplog.messages)


async def test_without_a_policy_lost_records_are_an_error(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, auto_offset_reset="none") as reader,
    ):
        snapshot = await _some_then_more(logs)
        await reader.assign(tp())
        reader.seek(tp(), 0)
        await take(reader, 10)
        await nothing_from(reader)
        await _take_back(logs, snapshot)
        await logs.put(["new"])
        for _ in range(2):
            with pytest.raises(LogTruncation, match=r"t-0 .*from offset 6 .*offset 10.*seek to 6"):
                await reader.poll(timeout=5.0)
        reader.seek(tp(), 6)
        assert values(await take(reader, 1)) == ["new"]


async def test_records_that_were_only_fetched_ahead_are_fetched_anew(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        snapshot = await _some_then_more(logs)
        await reader.assign(tp())
        await until(lambda: _fetched(reader) == 10)
        assert offsets(await reader.poll(max_records=3, timeout=5.0)) == [0, 1, 2]
        await _take_back(logs, snapshot)
        await logs.put(["new"])
        with caplog.at_level(logging.WARNING, "partstream"):
            await until(lambda: _fetched(reader) == 4)
            assert values(await take(reader, 4)) == ["3", "4", "5", "new"]
        assert not caplog.messages


def _fetched(reader: Consumer) -> int:
    return sum(len(buffer._batches) for buffer in reader.opened.fetcher.buffers())


async def test_a_committed_offset_of_a_lost_history_is_noticed(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs:
        snapshot = await _some_then_more(logs)
        async with consumer(redis_url, namespace, group_id="g") as reader:
            await reader.assign(tp())
            await take(reader, 10)
            await reader.commit()
            assert await reader.committed(tp()) == {tp(): OffsetAndMetadata(10, "", 0)}
        await _take_back(logs, snapshot)
        for _ in range(10):
            await logs.put(["new"])
        with caplog.at_level(logging.WARNING, "partstream"):
            async with consumer(redis_url, namespace, group_id="g") as reader:
                await reader.assign(tp())
                assert offsets(await take(reader, 10)) == list(range(6, 16))
        assert any("truncated" in line for line in caplog.messages)


async def _commit_in_an_epoch_that_gets_lost(logs: Source, url: str, namespace: str) -> None:
    """Offset 10 is committed; the log is then another one from offset 6 on."""
    await logs.topic()
    await logs.fill(6, batch=1)
    snapshot = await _snapshot(logs)
    await _begin_a_larger_epoch(logs)
    for number in range(6, 10):
        await logs.put([str(number)])
    async with consumer(url, namespace, group_id="g") as reader:
        await reader.assign(tp())
        await take(reader, 10)
        await reader.commit()
    await _take_back(logs, snapshot)
    for number in range(20):
        await logs.put([f"new {number}"])


async def test_a_committed_offset_whose_epoch_is_lost_as_a_whole_is_noticed(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with source(redis_url, namespace) as logs:
        await _commit_in_an_epoch_that_gets_lost(logs, redis_url, namespace)
        with caplog.at_level(logging.WARNING, "partstream"):
            async with consumer(redis_url, namespace, group_id="g") as reader:
                await reader.assign(tp())
                assert offsets(await take(reader, 20)) == list(range(6, 26))
        assert any("t-0 was truncated: its log does not know" in line for line in caplog.messages)


async def test_without_a_policy_a_committed_offset_of_a_lost_epoch_is_an_error(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs:
        await _commit_in_an_epoch_that_gets_lost(logs, redis_url, namespace)
        config = {"group_id": "g", "auto_offset_reset": "none"}
        async with consumer(redis_url, namespace, **config) as reader:
            await reader.assign(tp())
            with pytest.raises(LogTruncation, match=r"does not know .* offset 10 .*; seek to 6 to"):
                await reader.poll(timeout=5.0)


async def test_a_loss_that_reaches_back_behind_a_lost_epoch_is_noticed_where_it_begins(
    redis_url: str, namespace: str
) -> None:
    async with source(redis_url, namespace) as logs, consumer(redis_url, namespace) as reader:
        snapshot = await _some_then_more(logs)
        await _begin_a_larger_epoch(logs)
        for number in range(10, 14):
            await logs.put([str(number)])
        await reader.assign(tp())
        await take(reader, 14)
        await nothing_from(reader)
        await _take_back(logs, snapshot)  # to before the lost epoch, within the one before it
        for number in range(20):
            await logs.put([f"new {number}"])
        assert offsets(await take(reader, 20)) == list(range(6, 26))


async def test_a_deleted_topic_is_told_of_and_a_new_one_of_its_name_read(
    redis_url: str, namespace: str
) -> None:
    async with (
        source(redis_url, namespace) as logs,
        consumer(redis_url, namespace, allow_auto_create_topics=False) as reader,
    ):
        await logs.topic()
        await logs.put(["old"])
        await reader.assign(tp())
        assert values(await take(reader, 1)) == ["old"]
        await nothing_from(reader)
        await logs.topics.delete("t")
        with pytest.raises(UnknownTopicOrPartition, match="'t'"):
            await reader.poll(timeout=15.0)
        await logs.topic()
        await logs.put(["new"])
        seen: list[str] = []
        async with asyncio.timeout(15):
            while not seen:
                try:
                    seen += values(await reader.poll(timeout=1.0))
                except UnknownTopicOrPartition:
                    continue
        assert seen == ["new"]
        assert await reader.position(tp()) == 1


async def test_an_unreachable_redis(namespace: str) -> None:
    reader = Consumer("redis://127.0.0.1:1", namespace=namespace, request_timeout_ms=300)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await reader.start()
    await reader.close()


def test_an_unknown_config_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="auto_offset_reset"):
        Consumer(auto_offset_rest="earliest")


@pytest.mark.faults
async def test_a_restart_with_its_data_is_sat_out(
    target: Target, tmp_path: Path, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(
        tmp_path, binary=target.binary.path, config={"appendfsync": "always"}
    ) as server:
        async with source(server.url, namespace) as logs, consumer(server.url, namespace) as reader:
            await logs.topic(partitions=2)
            await logs.fill(100, 0, batch=10)
            await reader.assign(tps(2))
            seen = await reader.poll(timeout=5.0)
            poll = asyncio.create_task(take(reader, 110 - len(seen)))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await logs.put(["after"] * 10, 1)
            assert len(await poll) == 110 - len(seen)
            assert not any("truncated" in line for line in caplog.messages)


@pytest.mark.faults
async def test_a_restart_without_data_is_told_of(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    url = fresh_server.url
    async with source(url, namespace) as logs, consumer(url, namespace) as reader:
        await logs.topic()
        await logs.put(["a"])
        await reader.assign(tp())
        assert values(await take(reader, 1)) == ["a"]
        await asyncio.to_thread(fresh_server.restart)
        with pytest.raises(UnknownTopicOrPartition, match="'t'"):
            await reader.poll(timeout=20.0)

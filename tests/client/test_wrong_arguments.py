"""What is no argument is refused by an error of ours that names it, wherever it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import partstream
from partstream import OffsetAndMetadata, TopicPartition, aio
from partstream.errors import (
    IllegalState,
    InvalidConfig,
    InvalidGroupId,
    InvalidPartitions,
    InvalidRegularExpression,
    InvalidRequest,
    InvalidTopic,
    OffsetOutOfRange,
    PartstreamError,
)

TP: TopicPartition = TopicPartition("t", 0)
NO_NUMBER: Any = TopicPartition("t", "x")  # type: ignore[arg-type]  # it is wrong
TWO = (TP, TopicPartition("t", 1))
LARGE = 2**64
NAN = float("nan")
MAPPING = "expected a mapping"
WHOLE = "expected a whole number"
SECONDS = "expected seconds, or None"
NO_PARTITION = "is no TopicPartition"
TOO_LARGE = f"offset {LARGE} of t-0 is larger than 2**63 - 1"

Call = Callable[[Any], Any]
Case = tuple[Call, type[PartstreamError], str]


def _metadata(given: object) -> Any:
    return {TP: OffsetAndMetadata(1, given)}  # type: ignore[arg-type]  # it is wrong


CONSUMER: list[Case] = [
    (lambda c: c.subscribe(5), InvalidTopic, "topics=5: expected names"),
    (lambda c: c.subscribe([5]), InvalidTopic, "topic name 5"),
    (lambda c: c.subscribe(b"t"), InvalidTopic, "topic name b't'"),
    (lambda c: c.subscribe(pattern=5), InvalidRegularExpression, "5: expected a regular"),
    (lambda c: c.subscribe(pattern=b"t"), InvalidRegularExpression, "b't': expected a regular"),
    (lambda c: c.subscribe(pattern=""), InvalidRegularExpression, "pattern=''"),
    (lambda c: c.subscribe("t", listener=7), IllegalState, "listener=7"),
    (lambda c: c.assign(5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.assign(NO_NUMBER), IllegalState, f"{NO_NUMBER!r} {NO_PARTITION}"),
    (lambda c: c.assign([TP, ("t", True)]), IllegalState, f"('t', True) {NO_PARTITION}"),
    (lambda c: c.poll("5"), IllegalState, f"max_records='5': {WHOLE}"),
    (lambda c: c.poll(2.5), IllegalState, f"max_records=2.5: {WHOLE}"),
    (lambda c: c.poll(True), IllegalState, f"max_records=True: {WHOLE}"),
    (lambda c: c.poll(timeout="x"), IllegalState, f"timeout='x': {SECONDS}"),
    (lambda c: c.poll(timeout=NAN), IllegalState, f"timeout=nan: {SECONDS}"),
    (lambda c: c.position(TWO), IllegalState, f"{TWO!r} {NO_PARTITION}"[:100]),
    (lambda c: c.seek([TP], 5), IllegalState, f"{[TP]!r} {NO_PARTITION}"),
    (lambda c: c.seek(TP, LARGE), IllegalState, TOO_LARGE),
    (lambda c: c.seek(TP, True), IllegalState, f"offset True of t-0: {WHOLE}"),
    (lambda c: c.seek_to_beginning(5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.seek_to_end(NO_NUMBER), IllegalState, f"{NO_NUMBER!r} {NO_PARTITION}"),
    (lambda c: c.seek_to_timestamp(0, 5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.pause("t"), IllegalState, f"'t' {NO_PARTITION}"),
    (lambda c: c.resume(5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.commit([TP]), IllegalState, f"offsets={[TP]!r}: {MAPPING}"),
    (lambda c: c.commit({TWO: 5}), IllegalState, NO_PARTITION),
    (lambda c: c.commit({TP: LARGE}), IllegalState, TOO_LARGE),
    (lambda c: c.commit({TP: True}), IllegalState, f"offset True of t-0: {WHOLE}"),
    (lambda c: c.commit(_metadata(5)), IllegalState, "metadata 5 of an offset of t-0"),
    (
        lambda c: c.commit({TP: OffsetAndMetadata(1, "", 2**31)}),
        IllegalState,
        f"leader epoch {2**31} of an offset of t-0",
    ),
    (lambda c: c.commit_async({NO_NUMBER: 0}), IllegalState, f"{NO_NUMBER!r} {NO_PARTITION}"),
    (lambda c: c.commit_async({TP: LARGE}), IllegalState, TOO_LARGE),
    (lambda c: c.commit_async({TP: 0}, 7), IllegalState, "callback=7"),
    (lambda c: c.committed(5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.beginning_offsets("t"), IllegalState, f"'t' {NO_PARTITION}"),
    (lambda c: c.end_offsets(NO_NUMBER), IllegalState, f"{NO_NUMBER!r} {NO_PARTITION}"),
    (lambda c: c.offsets_for_times([TP]), IllegalState, f"times={[TP]!r}: {MAPPING}"),
    (lambda c: c.offsets_for_times({TP: LARGE}), IllegalState, f"timestamp {LARGE} of t-0"),
    (lambda c: c.offsets_for_times({TP: True}), IllegalState, "timestamp True of t-0"),
    (lambda c: c.lag(5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda c: c.close("x"), IllegalState, f"timeout='x': {SECONDS}"),
]

ADMIN: list[Case] = [
    (lambda a: a.create_topic("q", "3"), InvalidPartitions, "partitions='3'"),
    (lambda a: a.create_topic("q", config={5: 5}), InvalidConfig, "config name: 5"),
    (lambda a: a.create_topic("q", config=[1]), InvalidConfig, f"config=[1]: {MAPPING}"),
    (lambda a: a.alter_config("t", [1]), InvalidConfig, f"config=[1]: {MAPPING}"),
    (lambda a: a.alter_config("t", {5: 5}), InvalidConfig, "config name: 5"),
    (lambda a: a.alter_group_config("g", [1]), InvalidConfig, f"config=[1]: {MAPPING}"),
    (lambda a: a.alter_group_config("g", {5: 5}), InvalidConfig, "config name: 5"),
    (lambda a: a.alter_group_config("", {}), InvalidGroupId, "a group id is a string"),
    (lambda a: a.alter_group_config(5, {}), InvalidGroupId, "5 is not"),
    (lambda a: a.create_partitions("t", "x"), InvalidPartitions, "partitions='x'"),
    (lambda a: a.describe_topics(5), InvalidTopic, "topics=5: expected names"),
    (lambda a: a.delete_records([TP]), IllegalState, f"offsets={[TP]!r}: {MAPPING}"),
    (lambda a: a.delete_records({NO_NUMBER: 0}), IllegalState, f"{NO_NUMBER!r} {NO_PARTITION}"),
    (lambda a: a.delete_records({TP: True}), InvalidRequest, f"offset True of {TP}: {WHOLE}"),
    (lambda a: a.delete_records({TP: LARGE}), OffsetOutOfRange, str(LARGE)),
    (lambda a: a.list_offsets([TP]), IllegalState, f"specs={[TP]!r}: {MAPPING}"),
    (lambda a: a.list_offsets({TP: LARGE}), InvalidRequest, f"offset spec {LARGE}"),
    (lambda a: a.list_offsets({TP: datetime.min}), InvalidRequest, f"spec {datetime.min!r}"),
    (lambda a: a.alter_group_offsets("g", [TP]), IllegalState, f"offsets={[TP]!r}: {MAPPING}"),
    (lambda a: a.alter_group_offsets("g", {TP: LARGE}), IllegalState, TOO_LARGE),
    (lambda a: a.delete_group_offsets("g", 5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda a: a.reset_offsets("g", LARGE), InvalidRequest, f"to={LARGE}"),
    (lambda a: a.reset_offsets("g", -1), InvalidRequest, "to=-1"),
    (lambda a: a.reset_offsets("g", True), InvalidRequest, "to=True"),
    (lambda a: a.reset_offsets("g", "middle"), InvalidRequest, "to='middle'"),
    (lambda a: a.reset_offsets("g", shift_by="x"), InvalidRequest, f"shift_by='x': {WHOLE}"),
    (lambda a: a.reset_offsets("g", "latest", topics=5), InvalidTopic, "topics=5"),
    (lambda a: a.reset_offsets("g", "latest", partitions=5), IllegalState, f"5 {NO_PARTITION}"),
    (lambda a: a.compact_topic("t", on_progress=5), IllegalState, "on_progress=5"),
]

PRODUCER: list[Case] = [
    (lambda p: p.flush("x"), IllegalState, f"timeout='x': {SECONDS}"),
    (lambda p: p.flush(True), IllegalState, f"timeout=True: {SECONDS}"),
    (lambda p: p.close("x"), IllegalState, f"timeout='x': {SECONDS}"),
    (lambda p: p.partitions_for(5), InvalidTopic, "topic name 5"),
]


def _cases(kind: str, cases: list[Case]) -> list[Any]:
    return [
        pytest.param(kind, case, id=f"{kind}-{number}-{case[2][:30]}")
        for number, case in enumerate(cases)
    ]


@pytest.mark.parametrize(
    ("kind", "case"),
    [*_cases("Consumer", CONSUMER), *_cases("Admin", ADMIN), *_cases("Producer", PRODUCER)],
)
async def test_it_is_named(redis_url: str, namespace: str, kind: str, case: Case) -> None:
    call, error, text = case
    config: dict[str, Any] = {"group_id": "g"} if kind == "Consumer" else {}
    async with getattr(aio, kind)(redis_url, namespace=namespace, **config) as client:
        if kind == "Admin":
            await client.create_topic("t")
        with pytest.raises(error) as raised:
            await _waited_for(call(client))
        assert text in str(raised.value)
    with getattr(partstream, kind)(redis_url, namespace=namespace, **config) as client:
        with pytest.raises(error) as raised:
            call(client)
        assert text in str(raised.value)


async def _waited_for(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer


async def test_a_table_names_it_too(redis_url: str, namespace: str) -> None:
    async with aio.Admin(redis_url, namespace=namespace) as admin:
        await admin.create_topic("t")
    wrong: Any = "x"
    with pytest.raises(IllegalState, match="on_change='x'"):
        aio.Table("t", redis_url, namespace=namespace, on_change=wrong)
    async with aio.Table("t", redis_url, namespace=namespace) as table:
        with pytest.raises(IllegalState, match="timeout='x'"):
            await table.catch_up(wrong)
        with pytest.raises(IllegalState, match="timeout='x'"):
            await table.wait_for(0, 0, timeout=wrong)
        with pytest.raises(IllegalState, match="partition='x'"):
            await table.wait_for(wrong, 0)
        with pytest.raises(IllegalState, match="offset='x'"):
            await table.wait_for(0, wrong)


async def test_a_delivery_names_it_too(redis_url: str, namespace: str) -> None:
    wrong: Any = "x"
    async with aio.Producer(redis_url, namespace=namespace) as producer:
        delivery = await producer.send("t", b"x")
        with pytest.raises(IllegalState, match="timeout='x'"):
            delivery.result(wrong)
        with pytest.raises(IllegalState, match="timeout='x'"):
            delivery.exception(wrong)


async def test_a_consumer_goes_on_after_it(redis_url: str, namespace: str) -> None:
    """Nothing of a call that was refused is done."""
    wrong: Any = 2.5
    async with (
        aio.Producer(redis_url, namespace=namespace) as producer,
        aio.Consumer(redis_url, namespace=namespace, auto_offset_reset="earliest") as consumer,
    ):
        for number in range(100):
            await producer.send("t", b"%d" % number)
        await producer.flush()
        await consumer.assign(TP)
        first = await consumer.poll(10, timeout=10.0)
        for _ in range(3):
            with pytest.raises(IllegalState):
                await consumer.poll(wrong)
            with pytest.raises(IllegalState):
                consumer.seek(TP, LARGE)
        rest: list[partstream.Record] = []
        while len(first) + len(rest) < 100:
            rest += await consumer.poll(timeout=10.0)
        assert [record.offset for record in first + rest] == list(range(100))

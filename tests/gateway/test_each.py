"""Many partitions of one request are asked at once: none waits for the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from partstream.engine.partition import Topic
from partstream.engine.retention import Sweeper
from partstream.engine.topics import Topics
from partstream.errors import OffsetOutOfRange, UnknownTopicId
from partstream.gateway import each
from partstream.gateway.each import per_partition, side_by_side
from partstream.store.store import Store
from tests.gateway.gateways import Client, create, fetch_values, gateway

COUNT = 40


def _topic(rows: list[dict[str, int]]) -> dict[str, Any]:
    return {"topics": [{"name": "t", "partitions": rows}]}


async def test_what_comes_is_in_the_order_of_what_was_asked() -> None:
    order: list[int] = []
    turn = asyncio.Event()

    async def work(number: int) -> int:
        if number == 0:
            await turn.wait()
        order.append(number)
        turn.set()
        return number * 10

    assert await side_by_side(work, range(5)) == [0, 10, 20, 30, 40]
    assert order[0] != 0
    assert await side_by_side(work, []) == []
    assert await side_by_side(work, [7]) == [70]


async def test_not_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "_AT_ONCE", 3)
    now = most = 0

    async def work(_: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    await side_by_side(work, range(20))
    assert most == 3


async def test_a_partition_that_fails_has_its_code_and_the_others_their_rows(
    redis_url: str, namespace: str
) -> None:
    async def work(topic: Topic, number: int) -> Mapping[str, Any]:
        if number == 1:
            raise UnknownTopicId("it was deleted")
        return {"number": number, "topic": topic.name}

    def refused(number: int, code: int, error: Exception) -> Mapping[str, Any]:
        return {"number": number, "code": code, "said": str(error)}

    def check(name: str, number: int) -> None:
        if number == 7:
            raise OffsetOutOfRange("too far")

    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        asked = [("t", [0, 1, 2, 7]), ("none", []), ("gone", [7, 0])]
        rows = await per_partition(running.broker, asked, work, refused, check)
        assert rows == [
            [
                {"number": 0, "topic": "t"},
                {"number": 1, "code": 3, "said": "it was deleted"},
                {"number": 2, "topic": "t"},
                {"number": 7, "code": 1, "said": "too far"},
            ],
            [],
            [
                {"number": 7, "code": 1, "said": "too far"},
                {"number": 0, "code": 3, "said": "topic 'gone' does not exist"},
            ],
        ]


async def test_a_topic_is_looked_up_once(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    get = Topics.get

    async def counted(topics: Topics, name: str, *, fresh: bool = False) -> Topic:
        looked_up.append(name)
        return await get(topics, name, fresh=fresh)

    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", COUNT)
        monkeypatch.setattr(Topics, "get", counted)
        for api in ("ListOffsets", "DeleteRecords", "OffsetForLeaderEpoch", "DescribeProducers"):
            running.broker.topics._known.clear()
            looked_up.clear()
            await client.ask(*ASKED[api][:2], **ASKED[api][2])
            assert looked_up == ["t"], api


_NUMBERS = list(range(COUNT))
_BEYOND = fetch_values("t", 1, epoch=0)
_BEYOND["topics"][0]["partitions"] = [
    {**_BEYOND["topics"][0]["partitions"][0], "partition": number} for number in _NUMBERS
]
ASKED: dict[str, tuple[int, int, dict[str, Any]]] = {
    "ListOffsets": (2, 9, _topic([{"partition_index": n, "timestamp": -1} for n in _NUMBERS])),
    "DeleteRecords": (21, 2, _topic([{"partition_index": n, "offset": 0} for n in _NUMBERS])),
    "DescribeLogDirs": (35, 4, {"topics": None}),
    "DescribeProducers": (
        61,
        0,
        {"topics": [{"name": "t", "partition_indexes": _NUMBERS}]},
    ),
    "OffsetForLeaderEpoch": (
        23,
        4,
        {
            "topics": [
                {
                    "topic": "t",
                    "partitions": [{"partition": n, "leader_epoch": 0} for n in _NUMBERS],
                }
            ]
        },
    ),
    "Fetch": (1, 12, _BEYOND),
}


@pytest.mark.parametrize("api", ASKED)
async def test_all_partitions_are_asked_at_once(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    """Redis answers nothing before it has been asked of every partition."""
    monkeypatch.setattr(Sweeper, "start", lambda _: None)  # which asks of all of them, too
    asked: set[str] = set()
    everybody = asyncio.Event()
    call = Store._call

    async def gathered(store: Store, named: str, *rest: Any) -> Any:
        if topic_id in named:
            asked.add(named)
            if len(asked) == COUNT:
                everybody.set()
            await everybody.wait()
        return await call(store, named, *rest)

    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        topic_id = await create(client, "t", COUNT)
        monkeypatch.setattr(Store, "_call", gathered)
        async with asyncio.timeout(20):
            answer = await client.ask(*ASKED[api][:2], **ASKED[api][2])
        assert everybody.is_set()
        rows = _rows(answer)
        assert len(rows) == COUNT
        # What Fetch reads is asked for in another way; who is behind the end is looked at.
        refused = OffsetOutOfRange.code if api == "Fetch" else 0
        assert all(getattr(row, "error_code", 0) == refused for row in rows)


def _rows(answer: Any) -> list[Any]:
    """The rows of the partitions of an answer's only topic."""
    if hasattr(answer, "results"):
        return list(answer.results[0].topics[0].partitions)
    topics = answer.responses if hasattr(answer, "responses") else answer.topics
    return list(topics[0].partitions)

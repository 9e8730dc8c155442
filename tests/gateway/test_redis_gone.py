"""Redis does not answer: clients are told to try again, and never that nothing is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.gateway.codec import Struct
from partstream.gateway.server import Gateway
from tests.engine.logs import replace
from tests.gateway.gateways import Client, create, fetch_values, gateway, produce, request
from tests.gateway.records import batch, values
from tests.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.deadline(120)]

TOPIC = [{"name": "t", "partitions": [{"partition_index": 0, "timestamp": -1}]}]
COMMIT = {"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}
NEW = {"name": "new", "num_partitions": 1, "replication_factor": 1}
JOINING = {"rebalance_timeout": 5_000, "topic_partitions": [], "subscribed_topic_names": ["t"]}
MEMBER = {"group_id": "g", "member_id": "m"}

AGAIN = {7, 15, 56}
"""REQUEST_TIMED_OUT, COORDINATOR_NOT_AVAILABLE, KAFKA_STORAGE_ERROR: clients try again. So they do
after UNKNOWN_TOPIC_OR_PARTITION, but that says what nobody knows now."""

ASKED: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (1, 12, fetch_values("t", 0)),
    (2, 9, {"topics": TOPIC}),
    (3, 12, {"topics": [{"name": "unheard-of"}], "allow_auto_topic_creation": True}),
    (8, 9, {**MEMBER, "topics": [{"name": "t", "partitions": [COMMIT]}]}),
    (9, 7, {"group_id": "g", "topics": [{"name": "t", "partition_indexes": [0]}]}),
    (11, 5, {**MEMBER, "session_timeout": 10_000, "rebalance_timeout": 10_000}),
    (12, 4, {**MEMBER, "generation_id": 1}),
    (14, 5, {**MEMBER, "generation_id": 1, "protocol_type": "x", "protocol_name": "y"}),
    (15, 5, {"groups": ["g"]}),
    (16, 4, {}),
    (19, 7, {"topics": [NEW], "timeout": 5_000}),
    (20, 5, {"topic_names": ["t"], "timeout": 5_000}),
    (22, 4, {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}),
    (23, 4, {"topics": [{"topic": "t", "partitions": [{"partition": 0, "leader_epoch": 0}]}]}),
    (32, 4, {"resources": [{"resource_type": 2, "resource_name": "t"}]}),
    (42, 2, {"groups_names": ["g"]}),
    (68, 1, {**MEMBER, "member_epoch": 0, **JOINING}),
    (69, 1, {"group_ids": ["g"]}),
)
"""A request of each kind: key, version, values."""


def codes(message: Struct) -> Iterator[int]:
    """All error codes in an answer."""
    for name, value in vars(message).items():
        if name == "error_code":
            yield value
        for inner in value if isinstance(value, (list, tuple)) else ():
            if isinstance(inner, Struct):
                yield from codes(inner)


async def test_what_cannot_be_known_is_not_answered(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    async with gateway(
        fresh_server.url, namespace, request_timeout_ms=1_000, group_initial_rebalance_delay_ms=0
    ) as running:
        async with await Client.connect(running) as client:
            await create(client, "t")
            await produce(client, "t", batch(b"before"))
        fresh_server.pause()
        try:
            told = await asyncio.gather(*(_refused(running, *asked) for asked in ASKED))
        finally:
            fresh_server.resume()
        assert [line for line in told if line] == []
        async with await Client.connect(running) as client:
            answer = await client.ask(1, 12, **fetch_values("t", 0))
            (row,) = answer.responses[0].partitions
            assert values(row)[0] == (0, b"before")


async def _refused(running: Gateway, key: int, version: int, asked: dict[str, Any]) -> str:
    """Ask; nothing if the answer is an error that says to try again, or else that answer."""
    async with await Client.connect(running) as client:
        answer = await client.ask(key, version, **asked)
    found = {code for code in codes(answer) if code}
    if found and found <= AGAIN:
        return ""
    return f"API {key}: {found} {answer}"


async def test_batches_behind_one_that_was_not_written_are_to_be_tried_again(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    """Of OUT_OF_ORDER_SEQUENCE_NUMBER librdkafka makes a new numbering of all that it has: what
    was written and not yet acknowledged, on whatever partition, is then there twice."""

    def numbered(sequence: int) -> bytes:
        return batch(b"v" * 5_000, producer_id=7, producer_epoch=0, base_sequence=sequence)

    async def full(*, now: bool) -> None:
        command = ("CONFIG", "SET", "maxmemory", 1 if now else 0)
        await asyncio.to_thread(fresh_server.command, *command)

    async with (
        gateway(fresh_server.url, namespace) as running,
        await Client.connect(running) as client,
    ):

        async def code(sequence: int) -> int:
            answered: int = (await produce(client, "t", numbered(sequence))).error_code
            return answered

        await create(client, "t")
        assert await code(0) == 0
        await full(now=True)
        assert [await code(sequence) for sequence in (1, 2)] == [56, 56]
        await full(now=False)
        assert [await code(sequence) for sequence in (2, 3, 1, 2)] == [56, 56, 0, 0]
        assert [await code(sequence) for sequence in (9, 4, 3, 4)] == [45, 45, 0, 0]


async def test_batches_behind_one_whose_fate_is_unknown_are_not_forgotten(
    fresh_server: EmbeddedServer, namespace: str
) -> None:
    """The connection ends with the first of them; what became of the others is heard, by nobody."""
    async with gateway(fresh_server.url, namespace) as running:
        async with await Client.connect(running) as client:
            await create(client, "t", 2)
            first = batch(b"first", producer_id=7, producer_epoch=0, base_sequence=0)
            for index in (0, 1):
                await produce(client, "t", first, partition=index)
            fresh_server.pause()
            submit, answers = running.broker.log.submit, list[Any]()

            def noted(*args: Any, **kwargs: Any) -> Any:
                answers.append(submit(*args, **kwargs))
                return answers[-1]

            replace(running.broker.log, "submit", noted)
            for sequence in (1, 2, 3):
                one = batch(b"v", producer_id=7, producer_epoch=0, base_sequence=sequence)
                rows = [{"index": index, "records": one} for index in (0, 1)]
                topics = [{"name": "t", "partition_data": rows}]
                asked = {"transactional_id": None, "acks": 1, "timeout": 5_000}
                client.send(request(0, 9, {**asked, "topic_data": topics}))
            (connection,) = running._connections
            await until(lambda: len(connection._owed) == 3)
            fresh_server.kill()
            assert await client.frame() == b"", "disconnected"
        await until(lambda: not running._connections)
        assert len(answers) == 6
        assert not any(answer._log_traceback for answer in answers), "asyncio will complain of it"
        await asyncio.to_thread(fresh_server.start)

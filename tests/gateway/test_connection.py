"""A connection answers in order, whatever comes, and ends those that cannot be answered."""

from __future__ import annotations

import asyncio
import struct
from itertools import count

import pytest

from tests.gateway.gateways import Client, create, fetch_values, gateway, request, response
from tests.gateway.records import batch
from tests.waiting import until


async def test_answers_come_in_the_order_of_the_requests(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        data = {
            "acks": -1,
            "timeout": 1000,
            "topic_data": [{"name": "t", "partition_data": [{"index": 0, "records": batch(b"v")}]}],
        }
        numbers = count(100)
        sent = []
        for _ in range(40):
            for key, version, values in ((0, 9, data), (18, 0, {}), (0, 9, data)):
                sent.append((next(numbers), key, version))
                client.send(request(key, version, values, correlation=sent[-1][0]))
        offsets = []
        for correlation, key, version in sent:
            frame = await client.frame()
            assert struct.unpack_from(">i", frame) == (correlation,)
            answer = response(key, version, frame)
            if key == 0:
                offsets.append(answer.responses[0].partition_responses[0].base_offset)
        assert offsets == list(range(80))


async def test_a_request_behind_a_long_poll_waits_its_turn(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        client.send(request(1, 12, fetch_values("t", 0, max_wait=300), correlation=1))
        client.send(request(18, 0, {}, correlation=2))
        first, second = await client.frame(), await client.frame()
        assert struct.unpack_from(">i", first) == (1,)
        assert struct.unpack_from(">i", second) == (2,)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">i", -5), id="negative length"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="2 GB"),
        pytest.param(struct.pack(">i", 0), id="nothing"),
        pytest.param(struct.pack(">i", 3) + b"abc", id="no header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(request(3, 1, {"topics": None})[:-4] + b"\x7f\xff\xff\xff", id="array"),
        pytest.param(struct.pack(">ihhih", 10, 999, 0, 1, -1), id="unknown API"),
        pytest.param(struct.pack(">ihhih", 10, 3, 99, 1, -1), id="unknown version"),
        pytest.param(struct.pack(">ihhih", 10, 3, -1, 1, -1), id="negative version"),
        pytest.param(struct.pack(">ihhih", 10, 0, 2, 1, -1), id="version advertised only"),
        pytest.param(struct.pack(">ihhih", 10, 3, 1, 1, 900), id="long client id"),
    ],
)
async def test_what_is_no_request_ends_its_connection_alone(
    redis_url: str, namespace: str, data: bytes
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as other:
        async with await Client.connect(running) as client:
            client.send(data)
            assert await client.frame() == b""
        assert (await other.ask(18, 0)).error_code == 0


@pytest.mark.parametrize("version", [5, 99, 32_000])
async def test_a_newer_api_versions_is_told_what_there_is(
    redis_url: str, namespace: str, version: int
) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        client.send(struct.pack(">ihhih", 10, 18, version, 7, -1))
        answer = response(18, 0, await client.frame())
        assert answer.error_code == 35
        assert [(api.api_key, api.min_version, api.max_version) for api in answer.api_keys] == [
            (18, 0, 4)
        ]
        assert (await client.ask(18, 0)).error_code == 0, "the connection goes on"


@pytest.mark.parametrize("version", range(5))
async def test_api_versions_is_the_table(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await client.ask(
            18, version, client_software_name="test-1.0", client_software_version="1"
        )
        told = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
        assert told == {api.key: (api.advertised, api.most) for api in running.broker.apis.values()}
        assert told[0] == (0, 13), "a least of 3 makes old librdkafka stop compressing"


async def test_a_client_that_does_not_name_itself_well(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await client.ask(18, 4, client_software_name="", client_software_version="1")
        assert answer.error_code == 42


async def test_frames_that_come_byte_by_byte(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        for byte in request(18, 0, {}):
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert response(18, 0, await client.frame()).error_code == 0


async def test_a_client_that_stops_sending_gets_its_answers(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        client.send(request(18, 0, {}) * 3)
        client.writer.write_eof()
        for _ in range(3):
            assert response(18, 0, await client.frame()).error_code == 0
        assert await client.frame() == b""


async def test_more_connections_than_there_may_be(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, max_connections=2) as running,
        await Client.connect(running) as one,
        await Client.connect(running) as two,
    ):
        assert (await one.ask(18, 0)).error_code == 0
        assert (await two.ask(18, 0)).error_code == 0
        async with await Client.connect(running) as three:
            three.send(request(18, 0, {}))
            assert await three.frame() == b""
        assert (await one.ask(18, 0)).error_code == 0


async def test_an_idle_connection_ends(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, connections_max_idle_ms=200) as running,
        await Client.connect(running) as client,
    ):
        assert (await client.ask(18, 0)).error_code == 0
        assert await client.frame() == b""


async def test_a_request_above_the_limit_ends_the_connection(
    redis_url: str, namespace: str
) -> None:
    async with (
        gateway(redis_url, namespace, socket_request_max_bytes=1_024) as running,
        await Client.connect(running) as client,
    ):
        client.send(struct.pack(">i", 1_025))
        assert await client.frame() == b""


async def test_draining_answers_what_is_under_way(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t")
        client.send(request(1, 12, fetch_values("t", 0, max_wait=30_000), correlation=1))
        (partition,) = (await running.broker.topics.get("t")).partitions
        await until(lambda: partition.keys.bell in running.broker.store.bells._watches)
        await running.drain()
        assert struct.unpack_from(">i", await client.frame()) == (1,)
        assert await client.frame() == b""
        with pytest.raises(OSError, match="onnect"):
            await Client.connect(running)


async def test_many_connections_at_once(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running:
        clients = await asyncio.gather(*(Client.connect(running) for _ in range(200)))
        answers = await asyncio.gather(*(client.ask(3, 1, topics=None) for client in clients))
        assert all(len(answer.brokers) == 1 for answer in answers)
        for client in clients:
            client.writer.close()
        await until(lambda: not running._connections)


async def test_a_client_that_reads_nothing_is_waited_for(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await create(client, "t", max_message_bytes="2000000")
        big = batch(b"x" * 1_000_000)
        await running.broker.log.append((await running.broker.topics.get("t")).partitions[0], big)
        ask = request(1, 12, fetch_values("t", 0))
        before = running.broker.store.router.primaries[0].ready
        assert before is not None
        for _ in range(60):
            client.send(ask)
        # Some fit the sockets' buffers; after that no more answers are made.
        (connection,) = running._connections
        await until(lambda: connection._writable is not None)
        assert len(connection._frames) > 20
        for _ in range(60):
            assert len(await client.frame()) > 1_000_000

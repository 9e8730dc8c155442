"""What tests of the gateway share: a gateway that runs, and a client that speaks frame by frame."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from partstream.config import load
from partstream.config.gateway import GatewayConfig
from partstream.gateway import codec
from partstream.gateway.codec import Struct
from partstream.gateway.server import Gateway
from partstream.gateway.table import BY_KEY

API_VERSIONS = 18


@asynccontextmanager
async def gateway(url: str, namespace: str, **config: Any) -> AsyncIterator[Gateway]:
    """A gateway on a free port, closed at the end."""
    settings = {"listen": "127.0.0.1:0", "url": url, "namespace": namespace, **config}
    running = Gateway(load(GatewayConfig, settings))
    await running.start()
    try:
        yield running
    finally:
        await running.close()


def address(running: Gateway) -> str:
    """Where a client finds a gateway."""
    return f"{running.address[0]}:{running.address[1]}"


def request(key: int, version: int, values: Mapping[str, Any], *, correlation: int = 7) -> bytes:
    """The frame of a request, length and all."""
    api = BY_KEY[key]
    body = struct.pack(">hhih", key, version, correlation, 4) + b"test"
    if version >= api.flexible:
        body += b"\0"
    body += codec.request(api.name, version).encode(values)
    return struct.pack(">i", len(body)) + body


def response(key: int, version: int, frame: bytes) -> Struct:
    """The message in the frame of an answer."""
    api = BY_KEY[key]
    at = 5 if version >= api.flexible and key != API_VERSIONS else 4
    return codec.response(api.name, version).decode(frame, at)


class Client:
    """One connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, running: Gateway) -> Self:
        """Connect to a gateway."""
        return cls(*await asyncio.open_connection(*running.address))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def frame(self) -> bytes:
        """The next frame; empty when the gateway has hung up."""
        try:
            (length,) = struct.unpack(">i", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def ask(self, key: int, version: int, /, **values: Any) -> Struct:
        """Send a request and wait for its answer."""
        self.send(request(key, version, values))
        frame = await self.frame()
        assert frame, "the gateway has hung up"
        assert struct.unpack_from(">i", frame) == (7,)
        return response(key, version, frame)


async def create(client: Client, name: str, partitions: int = 1, **configs: str) -> str:
    """Create a topic; its id."""
    answer = await client.ask(
        19,
        7,
        topics=[
            {
                "name": name,
                "num_partitions": partitions,
                "replication_factor": 1,
                "configs": [
                    {"name": key.replace("_", "."), "value": value}
                    for key, value in configs.items()
                ],
            }
        ],
        timeout=5_000,
    )
    assert answer.topics[0].error_code == 0, answer
    topic_id: str = answer.topics[0].topic_id
    return topic_id


async def produce(
    client: Client, topic: str, records: bytes | None, *, version: int = 9, **given: Any
) -> Struct:
    """Send one batch; the answer for its partition. `topic` is a name, or an id from 13 on."""
    values = {"acks": 1, "partition": 0, "transactional_id": None, **given}
    named = "topic_id" if version >= 13 else "name"
    answer = await client.ask(
        0,
        version,
        transactional_id=values["transactional_id"],
        acks=values["acks"],
        timeout=5_000,
        topic_data=[
            {named: topic, "partition_data": [{"index": values["partition"], "records": records}]}
        ],
    )
    row: Struct = answer.responses[0].partition_responses[0]
    return row


def fetch_values(topic: str, offset: int, *, version: int = 12, **given: Any) -> dict[str, Any]:
    """The values of a Fetch of one partition."""
    asked = {
        "partition": given.get("partition", 0),
        "fetch_offset": offset,
        "partition_max_bytes": given.get("partition_max_bytes", 1 << 20),
        "current_leader_epoch": given.get("epoch", -1),
    }
    return {
        "replica_id": -1,
        "max_wait": given.get("max_wait", 0),
        "min_bytes": given.get("min_bytes", 1),
        "max_bytes": given.get("max_bytes", 1 << 22),
        "session_id": given.get("session_id", 0),
        "session_epoch": given.get("session_epoch", -1),
        "topics": [{"topic_id" if version >= 13 else "topic": topic, "partitions": [asked]}],
    }


async def fetch(
    client: Client, topic: str, offset: int, *, version: int = 12, **given: Any
) -> Struct:
    """Fetch one partition; the answer for it."""
    answer = await client.ask(1, version, **fetch_values(topic, offset, version=version, **given))
    assert answer.error_code == 0
    row: Struct = answer.responses[0].partitions[0]
    return row

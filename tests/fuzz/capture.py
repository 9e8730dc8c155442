"""Keeps what real clients send: `python -m tests.fuzz.capture` writes `recorded.json` anew.

A gateway of its own runs behind a small proxy; librdkafka, kafka-python and aiokafka produce,
consume, join groups and administer through it. One frame of each API and version is kept for each
client, and for each size class, so that the file stays small.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from partstream.embedded.server import EmbeddedServer
from tests.gateway.gateways import gateway

RECORDED = Path(__file__).parent / "recorded.json"
_MOST_BYTES = 1_500


class Proxy:
    """Passes bytes on, and keeps the frames that clients send."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.frames: dict[tuple[str, int, int, int], bytes] = {}
        self.client = ""
        """Who is at it now."""
        self._address = address

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        theirs, ours = await asyncio.open_connection(*self._address)
        back = asyncio.create_task(_pump(theirs, writer))
        try:
            while True:
                head = await reader.readexactly(4)
                frame = await reader.readexactly(int.from_bytes(head, "big"))
                self._keep(frame)
                ours.write(head + frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.cancel()
            ours.close()
            writer.close()

    def _keep(self, frame: bytes) -> None:
        key, version = struct.unpack_from(">hh", frame)
        if len(frame) <= _MOST_BYTES:
            size = len(frame).bit_length()
            self.frames.setdefault((self.client, key, version, size), frame)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


def _librdkafka(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic("t", 2, 1)]).values():
        future.result()
    for future in admin.create_partitions([NewPartitions("t", 3)]).values():
        future.result()
    resource = ConfigResource(ConfigResource.Type.TOPIC, "t")
    for future in admin.describe_configs([resource]).values():
        future.result()
    for codec in ("none", "gzip", "lz4", "zstd"):
        producer = Producer(
            {"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True}
        )
        for number in range(20):
            producer.produce("t", b"value %d" % number, b"key", headers=[("h", b"v")])
        producer.flush(20)
    for protocol in ("classic", "consumer"):
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"g-{protocol}",
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe(["t"])
        for _ in range(20):
            consumer.poll(0.5)
        consumer.commit(asynchronous=False)
        consumer.close()
    admin.list_consumer_groups().result()
    for future in admin.describe_consumer_groups(["g-classic"]).values():
        future.result()
    for future in admin.delete_consumer_groups(["g-classic"]).values():
        future.result()


def _kafka_python(bootstrap: str) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, compression_type="gzip")
    for number in range(10):
        producer.send("t", b"value %d" % number).get(10)
    producer.close()
    consumer = kafka.KafkaConsumer(
        "t",
        bootstrap_servers=bootstrap,
        group_id="g-python",
        auto_offset_reset="earliest",
        consumer_timeout_ms=3_000,
    )
    list(consumer)
    consumer.commit()
    consumer.close()


async def _aiokafka(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        for number in range(10):
            await producer.send_and_wait("t", b"value %d" % number)
    async with AIOKafkaConsumer(
        "t", bootstrap_servers=bootstrap, group_id="g-aio", auto_offset_reset="earliest"
    ) as consumer:
        for _ in range(20):
            await consumer.getone()
        await consumer.commit()


async def capture(url: str) -> dict[str, str]:
    """The frames, by a name that says whose they are."""
    async with gateway(url, "capture") as running:
        proxy = Proxy(running.address)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        bootstrap = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        # Clients go where they are told: the gateway tells them the proxy's address.
        port = int(bootstrap.rpartition(":")[2])
    async with gateway(url, "capture", advertised=f"127.0.0.1:{port}") as running:
        proxy._address = running.address
        kinds: list[tuple[str, Callable[[str], Any]]] = [
            ("librdkafka", _librdkafka),
            ("kafka-python", _kafka_python),
            ("aiokafka", _aiokafka),
        ]
        for name, run in kinds:
            proxy.client = name
            if asyncio.iscoroutinefunction(run):
                await run(bootstrap)
            else:
                await asyncio.to_thread(run, bootstrap)
        server.close()
    return {
        f"{client} {key} v{version} {size}": base64.b64encode(frame).decode()
        for (client, key, version, size), frame in sorted(proxy.frames.items())
    }


def main() -> None:
    """Write the file."""
    with EmbeddedServer() as server:
        frames = asyncio.run(capture(server.url))
    RECORDED.write_text(json.dumps(frames, indent=0) + "\n", encoding="utf-8")
    print(f"{len(frames)} frames, {RECORDED.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()

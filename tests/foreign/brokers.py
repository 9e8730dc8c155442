"""Where a test's clients connect: a gateway of the test's own, or a real Kafka if one is given.

What Apache Kafka does is the measure: PARTSTREAM_TEST_KAFKA=HOST:PORT runs these tests on one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from partstream.gateway.server import Gateway
from partstream.records import header
from tests.foreign.kinds import ALL_CODECS
from tests.gateway.gateways import Client, address, fetch, gateway


@dataclass(frozen=True)
class Broker:
    """What clients are pointed at."""

    bootstrap: str
    gateway: Gateway | None
    """None if it is a real Kafka."""


@asynccontextmanager
async def broker(
    url: str, namespace: str, kafka: str | None, **config: Any
) -> AsyncIterator[Broker]:
    """A gateway with these configs."""
    if kafka is not None:
        yield Broker(kafka, None)
        return
    async with gateway(url, namespace, **config) as running:
        yield Broker(address(running), running)


async def codec_on_the_log(running: Broker, topic: str) -> str | None:
    """The codec of the largest batch, which no client's answer tells.

    A batch of one small record, which would not shrink, librdkafka leaves as it is.
    """
    if running.gateway is None:
        return None
    async with await Client.connect(running.gateway) as reader:
        row = await fetch(reader, topic, 0)
    heads = [header.parse(batch) for batch in header.batches(row.records)]
    return ALL_CODECS[max(heads, key=lambda head: head.record_count).codec]


class Serve(Protocol):
    """Gives such a broker."""

    def __call__(self, **config: Any) -> AbstractAsyncContextManager[Broker]: ...

"""Clients that ask for much and take nothing."""

from __future__ import annotations

import asyncio

from partstream.gateway.server import Gateway
from tests.gateway.gateways import Client, create, fetch_values, request
from tests.gateway.records import batch
from tests.waiting import until

MIB = 1 << 20


async def fill(running: Gateway, batches: int) -> None:
    """Make a topic `t`, with batches of 900 kB."""
    async with await Client.connect(running) as client:
        await create(client, "t")
    (partition,) = (await running.broker.topics.get("t")).partitions
    for number in range(batches):
        await running.broker.log.append(partition, batch(b"%d" % number + b"x" * 900_000))


def ask_for_all() -> bytes:
    """A Fetch of 50 MiB of the topic `t`."""
    return request(1, 12, fetch_values("t", 0, max_bytes=50 * MIB, partition_max_bytes=50 * MIB))


async def take_nothing(running: Gateway, client: Client) -> Client:
    """Ask for more than the sockets' buffers hold, and wait until nothing moves any more."""
    port = client.writer.get_extra_info("sockname")[1]
    client.send(ask_for_all() * 40)

    def stands() -> bool:
        now = asyncio.get_running_loop().time()
        return any(
            one.share.held > 0 and one.quiet_for(now) > 0.1
            for one in running._connections
            if one.label.endswith(f":{port}")
        )

    await until(stands)
    return client

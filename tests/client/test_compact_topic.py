"""Cleaning a topic on demand: it takes as long as it takes, and who gives up lets others go on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import partstream
from partstream import aio
from partstream.errors import ClosedClient
from partstream.model import CompactionProgress
from tests.client.interrupting import Interrupt
from tests.engine.compacting import updates
from tests.engine.logs import engine

COMPACT = {
    "cleanup.policy": "compact",
    "segment.bytes": 16_384,
    "min.cleanable.dirty.ratio": 1,  # so that no client's own sweep finds it due, and is quicker
}


async def _history(url: str, namespace: str) -> None:
    async with engine(url, namespace) as own:
        partition = (await own.topics.create("t", 1, COMPACT)).partitions[0]
        for batch in range(60):
            pairs = [(b"%d" % (batch * 150 + i), b"x" * 20) for i in range(300)]
            await own.log.append(partition, updates(*pairs))


@pytest.mark.parametrize("closed", [True, False])
async def test_who_gives_up_lets_others_go_on(redis_url: str, namespace: str, closed: bool) -> None:
    await _history(redis_url, namespace)
    under_way = asyncio.Event()

    def note(number: int, progress: CompactionProgress) -> None:
        assert (number, progress.step) == (0, "reading")
        under_way.set()

    async with aio.Admin(redis_url, namespace=namespace) as other:
        async with aio.Admin(redis_url, namespace=namespace) as admin:
            work = asyncio.create_task(admin.compact_topic("t", on_progress=note))
            await under_way.wait()
            if closed:
                await admin.close()
                with pytest.raises(ClosedClient):
                    await work
            else:
                work.cancel()
                await asyncio.wait([work])
                assert work.cancelled()
        assert (await other.compact_topic("t"))[0] is not None


def test_an_interrupt_lets_others_go_on(redis_url: str, namespace: str) -> None:
    asyncio.run(_history(redis_url, namespace))
    gave_up = threading.Event()

    def interrupted(*_: object) -> None:
        interrupt.send()
        assert gave_up.wait(30)  # or the cleaning could be done before it is cancelled

    with Interrupt() as interrupt, partstream.Admin(redis_url, namespace=namespace) as admin:
        with pytest.raises(KeyboardInterrupt):
            admin.compact_topic("t", on_progress=interrupted)
        gave_up.set()
    with partstream.Admin(redis_url, namespace=namespace) as admin:
        assert admin.compact_topic("t")[0] is not None


@pytest.mark.parametrize("call", ["compact_topic", "maintain"])
async def test_no_time_limit_ends_it(redis_url: str, namespace: str, call: str) -> None:
    await _history(redis_url, namespace)
    words: list[Any] = ["t"] if call == "compact_topic" else []
    async with aio.Admin(redis_url, namespace=namespace, default_api_timeout_ms=1) as admin:
        await getattr(admin, call)(*words)

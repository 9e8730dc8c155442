"""A process that cleans, and is killed: at any time from outside, or by itself at a chosen step."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from partstream.engine.compaction import cleaner, cleaning
from partstream.engine.topics import Topics
from partstream.store.store import Store
from tests.engine.mortal import Heard, Watched

LEASE_MS = 400
_SHORT_MS = 50
"""Where nobody else cleans meanwhile."""


class Killed(Watched):
    """A store whose process is killed with SIGKILL at its nth call."""

    def __init__(self, store: Store, calls: int, heard: Heard) -> None:
        super().__init__(store)
        self._calls = calls
        self._heard = heard

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        self._calls -= 1
        if self._calls:
            return await call(*args, **kwargs)
        if self._heard is not Heard.NOTHING:
            asked = asyncio.ensure_future(call(*args, **kwargs))
            await asyncio.sleep(0)
            if self._heard is Heard.ANSWERED:
                await asked
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")


async def _for_ever(url: str, namespace: str) -> None:
    """Clean partition 0 of the topic `t` over and over."""
    store = await Store.connect(url, namespace=namespace)
    topic = await Topics(store).get("t")
    print("ready", flush=True)
    while True:
        await cleaner.upkeep(store, topic, topic.partitions[0], force=True)
        await asyncio.sleep(0.001)


async def _once(url: str, namespace: str, name: str, calls: int, heard: Heard) -> None:
    """Clean partition 0 of a topic, and be killed on the way."""
    store = await Store.connect(url, namespace=namespace)
    topic = await Topics(store).get(name)
    mortal: Any = Killed(store, calls, heard)
    await cleaner.upkeep(mortal, topic, topic.partitions[0], force=True)


def _mortals(url: str, namespace: str) -> None:
    """For each line `topic calls heard` a process that cleans once; how it ended is answered.

    They are forks of this one: to start Python and to import all anew takes a second each.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        name, calls, heard = line.split()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(_once(url, namespace, name, int(calls), Heard[heard]))
                status = 0
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    cleaning._LEASE_MS = LEASE_MS
    if "--mortals" in sys.argv:
        cleaning._LEASE_MS = _SHORT_MS
        _mortals(*sys.argv[1:3])
    else:
        asyncio.run(_for_ever(*sys.argv[1:3]))

"""Stores whose client comes to an end in the middle of what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from partstream.store.store import Store


class Killed(Exception):
    """What a killed process does next."""


class Heard(Enum):
    """What the server has heard of the call at which its client ends."""

    NOTHING = "nothing"
    ASKED = "asked, and its answer not waited for"
    ANSWERED = "answered"


class Watched:
    """A store of which every call goes through `around`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.observer = store.observer

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        return await self.around(self._store.run, *args, **kwargs)

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        return await self.around(self._store.execute, *args, **kwargs)

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)


class Mortal(Watched):
    """Its client is killed at its nth call: before the server hears of it, or after."""

    def __init__(self, store: Store, calls: int, *, heard: bool) -> None:
        super().__init__(store)
        self._calls = calls
        self._heard = heard

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        self._calls -= 1
        if self._calls == 0 and self._heard:
            await call(*args, **kwargs)
        if self._calls <= 0:
            raise Killed
        return await call(*args, **kwargs)


class Cancelled(Watched):
    """The task that makes its nth call is cancelled then; what it does after that is done."""

    def __init__(self, store: Store, calls: int, heard: Heard) -> None:
        super().__init__(store)
        self._calls = calls
        self._heard = heard

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        self._calls -= 1
        if self._calls:
            return await call(*args, **kwargs)
        task = asyncio.current_task()
        assert task is not None
        if self._heard is Heard.ANSWERED:
            answer = await call(*args, **kwargs)
            task.cancel()
            await asyncio.sleep(0)
            return answer
        task.cancel()
        if self._heard is Heard.NOTHING:
            await asyncio.sleep(0)
        return await call(*args, **kwargs)

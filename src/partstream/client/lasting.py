"""Work that may take long, and that a client which closes ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from partstream.errors import ClosedClient

Result = TypeVar("Result")


class Lasting:
    """The long calls of one client."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it; if the caller is cancelled, so is the work, and is waited for.

        Raises:
            ClosedClient: `end` was called meanwhile.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise ClosedClient("this client was closed meanwhile") from None

    async def end(self) -> None:
        """Cancel what runs, and wait until it has left things in order."""
        tasks = list(self._tasks)
        for task in tasks:
            if not task.cancelling():  # or it is about to, and a second time would disturb it
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

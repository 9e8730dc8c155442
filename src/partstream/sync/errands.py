"""Calls that the loop's thread leaves for the user's thread: listeners, callbacks of commits.

They are made while the user's thread waits for something of its own, and may in turn call the
client: the loop's thread has gone on, so that nothing can wait for itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from partstream.errors import ClosedClient
from partstream.sync.portal import Portal

Result = TypeVar("Result")

Job: TypeAlias = "Callable[[], object]"


class Errands:
    """Runs coroutines on a portal's loop, and does what they ask for meanwhile."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._waiting: list[SimpleQueue[Job | None]] = []
        self._left: deque[Job] = deque()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """On the user's thread: run a coroutine, and do what comes up until it is done.

        An interrupt (Ctrl-C) cancels the coroutine. Raises as `Portal.call` does, and ClosedClient
        if the client is closed meanwhile.
        """
        self.catch_up()
        queue: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting.append(queue)
        future: Future[Result] | None = None
        try:
            future = self._portal.start(work)
            future.add_done_callback(lambda _: queue.put(None))
            while not future.done():
                job = queue.get()
                if job is not None:
                    job()
            return future.result()
        except CancelledError:
            raise ClosedClient("this client was closed meanwhile") from None
        except BaseException:
            if future is not None:
                future.cancel()
            raise
        finally:
            self._waiting.remove(queue)
            while not queue.empty():
                job = queue.get()
                if job is not None:
                    self._left.append(job)

    def catch_up(self) -> None:
        """On the user's thread: do what was left."""
        while self._left:
            self._left.popleft()()

    def leave(self, job: Job) -> None:
        """On the loop's thread: have the user's thread do something, some time."""
        if self._waiting:
            self._waiting[-1].put(job)
        else:
            self._left.append(job)

    async def run(self, job: Callable[[], Result]) -> Result:
        """On the loop's thread: have the user's thread do something, and wait for the outcome."""
        outcome: Future[Result] = Future()

        def do() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(job())
            except Exception as error:  # noqa: BLE001 (it goes to whoever waits)
                outcome.set_exception(error)
            except BaseException:
                # An interrupt is the user's thread's own; on the loop's it would end the loop.
                outcome.set_exception(InterruptedError("the callback was interrupted"))
                raise

        self.leave(do)
        return await asyncio.wrap_future(outcome)

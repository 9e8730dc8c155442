"""The loop thread under a blocking client."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, NoReturn, Self, TypeVar

from partstream.errors import ClosedClient, ForkedClient, IllegalState

Result = TypeVar("Result")


class Portal:
    """An event loop on a daemon thread, and the way to run coroutines on it.

    A hop there and back costs some tens of microseconds: hop once a batch, not once a record.
    """

    def __init__(
        self, name: str, *, at_end: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """Start the thread.

        Args:
            name: the thread's.
            at_end: makes the last coroutine that runs, before all others are cancelled: it closes
                what would be left open if nobody else has.
        """
        self._name = name
        self._at_end = at_end
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @classmethod
    def under(
        cls,
        owner: object,
        name: str,
        start: Callable[[], Coroutine[Any, Any, Any]],
        *,
        at_end: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Self:
        """A portal that starts a client, and ends with the blocking twin that owns it.

        Raises:
            Whatever `start` does; then the thread has ended.
        """
        portal = cls(name, at_end=at_end)
        weakref.finalize(owner, portal.close)
        try:
            portal.call(start())
        except BaseException:
            portal.close()
            raise
        return portal

    @property
    def running(self) -> bool:
        """Whether coroutines can still be run."""
        return self._open and self._pid == os.getpid()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop, and wait for what it returns or raises.

        An interrupt (Ctrl-C) of the waiting thread cancels the coroutine.

        Raises:
            ClosedClient, ForkedClient: the loop has ended, or lives in another process.
            IllegalState: called on the loop's own thread, as from a delivery callback.
        """
        future: Future[Result] | None = None
        try:
            future = self.start(work)
            return future.result()
        except CancelledError:
            raise ClosedClient("this client was closed meanwhile") from None
        except BaseException:
            if future is not None:
                future.cancel()
            raise

    def ask(self, question: Callable[[], Result]) -> Result:
        """Call on the loop's thread what does not wait: no task is made for it.

        Raises as `call` does. An interrupt of the waiting thread does not take the question back.
        """
        self._check()
        # A queue wakes its reader with one lock, a Future with several.
        answer: SimpleQueue[Callable[[], Result]] = SimpleQueue()

        def tell() -> None:
            try:
                result = question()
            except BaseException as error:  # noqa: BLE001 (it goes to whoever waits, and only there)
                answer.put(partial(_fail, error))
            else:
                answer.put(lambda: result)

        with self._lock:
            if not self._open:
                raise ClosedClient("this client is closed")
            self._loop.call_soon_threadsafe(tell)
        return answer.get()()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run a coroutine on the loop without waiting; if the loop ends first, it is cancelled.

        Raises as `call` does.
        """
        try:
            self._check()
            with self._lock:
                if not self._open:
                    raise ClosedClient("this client is closed")
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise

    def close(self) -> None:
        """Cancel what still runs and end the thread; does nothing in a forked child.

        Whoever waits in `call` gets ClosedClient. On the loop's own thread, where the garbage
        collector may call it, the thread ends a little later.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._open:
                # From here on no coroutine is added: all that there are will be cancelled.
                self._open = False
                self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise ForkedClient(
                f"this client was made in process {self._pid} and cannot be used in process "
                f"{os.getpid()}: make a new one after the fork"
            )
        if threading.current_thread() is self._thread:
            raise IllegalState("a callback must not call back into its own client: it would wait")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            if self._at_end is not None:
                self._loop.run_until_complete(self._at_end())
        finally:
            self._loop.run_until_complete(_cancel_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            # Ends the threads of the default executor, too, and does not wait for them: to wait
            # takes one more thread, which an interpreter that ends does not start (3.12 and later).
            self._loop.close()


def _fail(error: BaseException) -> NoReturn:
    raise error


async def _cancel_all() -> None:
    """Cancel every other task, also those that are only made on the way."""
    await asyncio.sleep(0)  # what was handed over just before the loop stopped becomes a task
    ours = asyncio.current_task()
    while tasks := [task for task in asyncio.all_tasks() if task is not ours]:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

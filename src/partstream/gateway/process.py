"""One process that serves: its event loop, its signals, its admin port.

The first SIGTERM or SIGINT drains, the second ends at once; SIGHUP loads certificates again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from partstream.config.gateway import GatewayConfig
from partstream.gateway.admin import Admin
from partstream.gateway.heap import keep_memory
from partstream.gateway.server import Gateway

DRAINED = 0
SIGNALLED = 128
"""A program that a signal has ended is reported as this and the signal's number."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What a serving process listens to."""

_GOODBYE_S = 1.0
"""How long whoever ends at once takes to close connections."""


def run(
    config: GatewayConfig,
    started: Callable[[Gateway], None],
    *,
    instance: str | None = None,
    number: int = 0,
    lifeline: int | None = None,
) -> int:
    """Serve until a signal comes; the exit code: 0, or 128 + the signal that cut it short.

    Args:
        config: see `GatewayConfig`.
        started: called when clients are served.
        instance: what the workers of one address have in common; None: there is only this process.
        number: which of the workers this is, from 0.
        lifeline: a pipe that ends with the process that started this one.

    Raises:
        ConfigError, StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: it could
            not start.
    """
    keep_memory()
    admin = Admin.of(config, number)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        asked: asyncio.Queue[int] = asyncio.Queue()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, asked.put_nowait, one)
        if lifeline is not None:
            loop.add_reader(lifeline, _orphaned, loop, lifeline, asked)

        async def serve() -> int:
            gateway = Gateway(
                config,
                instance=instance,
                shares_port=instance is not None,
                observer=None if admin is None else admin.observer,
            )
            loop.add_signal_handler(signal.SIGHUP, gateway.reload)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            if admin is None:
                return await _serve(gateway, started, asked)
            await admin.start(gateway)
            try:
                return await _serve(gateway, started, asked)
            finally:
                await admin.close()

        return runner.run(serve())


async def _serve(
    gateway: Gateway, started: Callable[[Gateway], None], asked: asyncio.Queue[int]
) -> int:
    if (number := await _interrupted(gateway.start(), asked)) is not None:
        return SIGNALLED + number
    started(gateway)
    await asked.get()
    if (number := await _interrupted(gateway.drain(), asked)) is None:
        return DRAINED
    with suppress(TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await gateway.close()
    return SIGNALLED + number


async def _interrupted(work: Any, asked: asyncio.Queue[int]) -> int | None:
    """Do some work; the signal that came before it was done, or None."""
    working, asking = asyncio.ensure_future(work), asyncio.ensure_future(asked.get())
    await asyncio.wait((working, asking), return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        asking.cancel()
        working.result()
        return None
    working.cancel()
    await asyncio.wait((working,), timeout=_GOODBYE_S)
    return asking.result()


def _orphaned(loop: asyncio.AbstractEventLoop, lifeline: int, asked: asyncio.Queue[int]) -> None:
    """Whoever started this process is gone: nobody else will end it."""
    loop.remove_reader(lifeline)
    asked.put_nowait(signal.SIGTERM)


def _loop_factory() -> Any:
    """uvloop where it is installed: a third faster here; else Python's own."""
    try:
        import uvloop  # noqa: PLC0415 (it is optional)
    except ImportError:
        return None
    return uvloop.new_event_loop

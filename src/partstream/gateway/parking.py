"""Requests that wait, and a gateway that ends: they are answered, and their clients move on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from partstream.gateway.broker import Broker

T = TypeVar("T")


async def unless_draining(broker: Broker, waiting: Coroutine[Any, Any, T]) -> T | None:
    """What a request waits for; None if the gateway ends first."""
    answer = asyncio.ensure_future(waiting)
    ending = asyncio.ensure_future(broker.draining.wait())
    try:
        await asyncio.wait((answer, ending), return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        answer.cancel()
        ending.cancel()

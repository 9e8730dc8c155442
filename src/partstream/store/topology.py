"""Which server holds which slots: asked of the server, the cluster or the sentinels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from partstream.errors import PartstreamError, StoreUnavailable
from partstream.store.dial import Dialer, greet, hang_up
from partstream.store.replies import translate
from partstream.store.slots import SLOTS
from partstream.store.target import Address, Kind, Target

_logger = logging.getLogger(__name__)
_HESITATION_S = 0.3
_SENTINEL_S = 2.0
_ASKING = "partstream-topology"
"""What sentinels list us as."""


class SlotRange(NamedTuple):
    """Slots that one primary holds, both ends included."""

    first: int
    last: int
    address: Address
    replicas: tuple[Address, ...] = ()


class Layout(NamedTuple):
    """The deployment as one server saw it."""

    is_cluster: bool
    ranges: tuple[SlotRange, ...]


async def discover(target: Target, dialer: Dialer, known: tuple[Address, ...] = ()) -> Layout:
    """Find out who holds what, asking the servers `known` from before first.

    Raises:
        StoreUnavailable: no server that was asked answers; its text says why each did not.
        StoreAuthenticationFailed: a server refused the credentials.
        StoreTooOld: the server is too old.
    """
    if target.kind is Kind.SENTINEL:
        primary = await _ask_sentinels(target)
        return Layout(False, (SlotRange(0, SLOTS - 1, primary),))
    addresses = tuple(dict.fromkeys((*known, *target.addresses)))
    return await _first_answer([_ask_server(target, dialer, address) for address in addresses])


async def _first_answer(questions: Sequence[Coroutine[Any, Any, Layout]]) -> Layout:
    """Ask one after the other, but do not wait long for a silent one before asking the next."""
    waiting = list(questions)
    asked: set[asyncio.Task[Layout]] = set()
    failures: list[StoreUnavailable] = []
    try:
        while waiting or asked:
            if waiting:
                asked.add(asyncio.create_task(waiting.pop(0)))
            done, asked = await asyncio.wait(
                asked,
                timeout=_HESITATION_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            # Each is asked, or the failure of a second one would be one that nobody heard of.
            errors = [task.exception() for task in done]
            for task, error in zip(done, errors, strict=True):
                if error is None:
                    return task.result()
                if not isinstance(error, StoreUnavailable):
                    raise error
                failures.append(error)
    finally:
        for question in waiting:
            question.close()
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if len(failures) == 1:
        raise failures[0]
    raise StoreUnavailable("; ".join(str(failure) for failure in failures))


async def _ask_server(target: Target, dialer: Dialer, address: Address) -> Layout:
    connection = await dialer.dial(address)
    try:
        greeting = await greet(connection, address)
        if greeting.mode != "cluster":
            if target.kind is Kind.CLUSTER:
                raise StoreUnavailable(f"Redis at {address} is not a node of a cluster")
            return Layout(False, (SlotRange(0, SLOTS - 1, address),))
        try:
            await connection.send_command("CLUSTER", "SLOTS")
            reply = await connection.read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            raise translate(error, str(address)) from error
    finally:
        await hang_up(connection)
    ranges = tuple(_slot_range(row, address) for row in reply)
    if not ranges:
        raise StoreUnavailable(f"the cluster node {address} knows of no slots")
    return Layout(True, ranges)


def _slot_range(row: list[Any], asked: Address) -> SlotRange:
    first, last, primary, *replicas = row
    return SlotRange(
        first, last, _address(primary, asked), tuple(_address(node, asked) for node in replicas)
    )


def _address(node: list[Any], asked: Address) -> Address:
    # An empty host means: the one that you are connected to.
    host = node[0].decode() if node[0] else asked.host
    return Address(host if host != "?" else asked.host, node[1])


async def _ask_sentinels(target: Target) -> Address:
    """The primary as the first sentinel that knows it has it."""
    options = {
        key: value
        for key, value in target.options.items()
        if key == "tls" or key.startswith("ssl_") or key == "sentinel_password"
    }
    if "sentinel_password" in options:
        options["password"] = options["sentinel_password"]
    # Whoever needs the primary asks again; and one sentinel that is silent is no reason to wait.
    dialer = Dialer(options, client_id=_ASKING, timeout=_SENTINEL_S)
    silent: list[str] = []
    for address in target.addresses:
        try:
            states = await _primaries_of(dialer, address)
        except (RedisError, OSError, PartstreamError) as error:
            silent.append(_why_no_sentinel(error, address))
            continue
        state = next((row for row in states if row["name"] == target.master_name), None)
        # As redis-py asks: it is a primary, and neither this sentinel nor most take it for down.
        flags = set(state["flags"].split(",")) if state else set()
        if state and "master" in flags and not flags & {"s_down", "o_down"}:
            return Address(state["ip"], int(state["port"]))
    reasons = "; ".join(silent)
    if len(silent) == len(target.addresses):
        raise StoreUnavailable(f"none of the sentinels at {target.display} answers: {reasons}")
    raise StoreUnavailable(
        f"the sentinels at {target.display}: No master found for {target.master_name!r}"
        + (f" (no answer: {reasons})" if silent else "")
    )


async def _primaries_of(dialer: Dialer, address: Address) -> list[dict[str, str]]:
    """What one sentinel knows of each primary that it watches."""
    connection = await dialer.dial(address)
    try:
        async with asyncio.timeout(_SENTINEL_S):
            await connection.send_command("SENTINEL", "MASTERS")
            reply = await connection.read_response(disable_decoding=True)
    finally:
        await hang_up(connection)
    return [
        dict(zip(words[::2], words[1::2], strict=True))
        for words in ([word.decode() for word in row] for row in reply)
    ]


def _why_no_sentinel(error: Exception, address: Address) -> str:
    if "unknown command" in str(error).lower():
        return f"the server at {address} is no sentinel"
    return str(translate(error, str(address)))

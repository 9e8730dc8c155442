"""The loop thread: calls, errors, and its end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from partstream.errors import ClosedClient, IllegalState
from partstream.sync.portal import Portal
from tests.waiting import wait_until


async def name_of_thread() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fail() -> None:
    raise ValueError("mine")


def name_at_once() -> str:
    return threading.current_thread().name


def fail_at_once() -> None:
    raise ValueError("mine")


def by_call(portal: Portal) -> str:
    return portal.call(name_of_thread())


def by_question(portal: Portal) -> str:
    return portal.ask(name_at_once)


def test_calls_run_on_the_thread() -> None:
    portal = Portal("p")
    assert portal.call(name_of_thread()) == "p"
    with pytest.raises(ValueError, match="mine"):
        portal.call(fail())
    assert portal.running
    portal.close()
    assert not portal.running
    portal.close()
    with pytest.raises(ClosedClient):
        portal.call(name_of_thread())


def test_questions_are_answered_on_the_thread() -> None:
    portal = Portal("p")
    assert portal.ask(name_at_once) == "p"
    with pytest.raises(ValueError, match="mine"):
        portal.ask(fail_at_once)
    with pytest.raises(SystemExit):
        portal.ask(sys.exit)
    assert portal.ask(name_at_once) == "p", "it ended the loop"
    portal.close()
    with pytest.raises(ClosedClient):
        portal.ask(name_at_once)


@pytest.mark.parametrize("way", [by_call, by_question])
def test_a_call_from_its_own_thread_is_refused(way: Callable[[Portal], str]) -> None:
    portal = Portal("p")

    async def call_again() -> None:
        way(portal)

    with pytest.raises(IllegalState, match="callback"):
        portal.call(call_again())
    portal.close()


def test_closing_ends_who_waits() -> None:
    portal = Portal("p")
    begun = threading.Event()

    async def wait_long() -> None:
        begun.set()
        await asyncio.sleep(60)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(portal.call, wait_long()) for _ in range(3)]
        assert begun.wait(5)
        portal.close()
        for each in waiting:
            assert isinstance(each.exception(5), ClosedClient)


@pytest.mark.parametrize("way", [by_call, by_question])
def test_closing_while_calls_come(way: Callable[[Portal], str]) -> None:
    for _ in range(30):
        portal = Portal("p")

        def call_on(portal: Portal = portal) -> int:
            for count in range(100_000):
                try:
                    way(portal)
                except ClosedClient:
                    return count
            raise AssertionError("never closed")

        with ThreadPoolExecutor(4) as pool:
            counts = [pool.submit(call_on) for _ in range(4)]
            portal.close()
            for count in counts:
                assert count.result(5) >= 0


def test_what_runs_at_the_end() -> None:
    ran: list[str] = []

    async def tidy() -> None:
        await asyncio.sleep(0)
        ran.append(threading.current_thread().name)

    portal = Portal("p", at_end=tidy)
    portal.call(name_of_thread())
    assert ran == []
    portal.close()
    assert ran == ["p"]


def test_closed_on_its_own_thread_it_ends_soon() -> None:
    """The garbage collector may run there."""
    portal = Portal("p")

    async def close() -> None:
        portal.close()

    with pytest.raises(ClosedClient):
        portal.call(close_and_wait(portal))
    wait_until(lambda: not portal._thread.is_alive())
    with pytest.raises(ClosedClient):
        portal.call(close())


async def close_and_wait(portal: Portal) -> None:
    portal.close()
    await asyncio.sleep(60)

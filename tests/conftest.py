"""What all tests share: servers to run on, a namespace of their own, and `async def` tests."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from tests.loops import connections_left, watch_loops
from tests.servers.pool import Pool, Server
from tests.servers.targets import Target, find_targets
from tests.servers.tls import TlsServer, tls_server

TARGETS = pytest.StashKey[tuple[Target, ...]]()

DEADLINE = 60.0
"""Seconds that an `async def` test may take, unless it says otherwise with `deadline`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        default=os.environ.get("PARTSTREAM_TEST_URL"),
        help="the server to test on: a URL, or the path or name of a server binary "
        "(default: PARTSTREAM_TEST_URL, or every distinct server binary that is found)",
    )
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs so, and their children inherit it: tests that interrupt
        # themselves or a child would wait for ever.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    watch_loops()
    config.stash[TARGETS] = find_targets(config.getoption("--server"))


def pytest_report_header(config: pytest.Config) -> str:
    named = (
        f"{target.label} ({target.binary.path if target.binary else target.url or target.image})"
        for target in config.stash[TARGETS]
    )
    return "servers: " + ", ".join(named)


# Which tests run, and where.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests run on the first server; those marked `every_server` on each."""
    if "target" not in metafunc.fixturenames:
        return
    targets = metafunc.config.stash[TARGETS]
    everywhere = metafunc.definition.get_closest_marker("every_server") is not None
    chosen = targets if everywhere else targets[:1]
    metafunc.parametrize("target", chosen, ids=[target.label for target in chosen])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not config.getoption("--long") and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: needs --long"))
        names = getattr(item, "fixturenames", ())
        if "cluster" in names:
            item.add_marker("cluster")
            # One worker runs them all: six processes a worker is too much for a small machine.
            item.add_marker(pytest.mark.xdist_group("cluster"))
        elif "fresh_cluster" in names or "fresh_sentinel" in names:
            item.add_marker("cluster")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test on an event loop of its own, up to its deadline.

    It fails, too, if a task failed that nobody waits for, or if it leaves tasks running: a client
    that was closed has none.
    """
    test: Callable[..., Any] = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    marker = pyfuncitem.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    unheard: list[dict[str, Any]] = []

    async def within_deadline() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        async with asyncio.timeout(seconds):
            await test(**arguments)
        await _no_tasks_left()

    with asyncio.Runner() as runner:
        runner.run(within_deadline())
    assert not unheard, f"nobody heard of: {unheard}"
    return True


async def _no_tasks_left() -> None:
    ours = asyncio.current_task()
    for _ in range(100):  # those that were cancelled need a moment
        left = [task for task in asyncio.all_tasks() if task is not ours]
        if not left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left running: {left}")


@pytest.fixture(autouse=True)
def _no_connections_left() -> Iterator[None]:
    """No event loop of a test is closed with connections open, of whatever thread it is."""
    connections_left()
    yield
    left = connections_left()
    assert not left, f"left open: {left}"


# Servers.


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The servers of this test process."""
    servers = Pool()
    yield servers
    servers.close()


@pytest.fixture
def server(pool: Pool, target: Target) -> Server:
    """A running server that tests share. `fresh_server` is for those that stop or change it."""
    return pool.server(target)


@pytest.fixture
def redis_url(server: Server) -> str:
    """The URL of the shared server."""
    return server.url


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace that no other test uses."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    yield name
    if "server" in request.fixturenames:
        shared: Server = request.getfixturevalue("server")
        if not shared.private:
            shared.remove(name)


@pytest.fixture
def fresh_server(target: Target) -> Iterator[EmbeddedServer]:
    """A server of this test alone, which it may configure, pause, kill and restart."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedServer(binary=target.binary.path) as running:
        yield running


@pytest.fixture
def cluster(pool: Pool, target: Target) -> EmbeddedCluster:
    """A running cluster that tests share, three primaries with a replica each.

    For tests that leave it as it is; those that kill nodes or move slots use `fresh_cluster`.
    """
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    return pool.cluster(target)


@pytest.fixture
def cluster_url(cluster: EmbeddedCluster) -> str:
    """The URL of the shared cluster."""
    return cluster.url


@pytest.fixture
def fresh_cluster(target: Target) -> Iterator[EmbeddedCluster]:
    """A cluster of this test alone, whose nodes it may kill, pause and promote. Takes 2-3 s."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedCluster(binary=target.binary.path) as running:
        yield running


@pytest.fixture
def fresh_sentinel(target: Target) -> Iterator[EmbeddedSentinel]:
    """A primary, a replica and three Sentinels of this test alone. Takes 2-3 s."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    with EmbeddedSentinel(binary=target.binary.path) as running:
        yield running


@pytest.fixture
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TlsServer]:
    """A server of this test alone that speaks TLS: `url`, `ca_file`, and the server itself."""
    targets = request.config.stash[TARGETS]
    with tls_server(targets, tmp_path) as running:
        if running is None:
            pytest.skip("no server here was built with TLS")
        yield running

"""What tests of other languages' clients share: the clients, and a gateway to point them at."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import pytest

from tests.foreign.agent import Agent
from tests.foreign.brokers import Serve, broker
from tests.foreign.kinds import KINDS, Kind


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of a `client` runs on all, with each of its codecs or assignors if it asks."""
    if "kind" not in metafunc.fixturenames:
        return
    wide = [name for name in ("codec", "assignor") if name in metafunc.fixturenames]
    lacked = metafunc.definition.get_closest_marker("needs")
    rows = []
    for kind in KINDS:
        if lacked and kind.lacks.intersection(lacked.args):
            continue
        group = pytest.mark.xdist_group(f"foreign-{kind.toolchain}")
        if not wide:
            rows.append(pytest.param(kind, id=kind.name, marks=group))
            continue
        for value in getattr(kind, f"{wide[0]}s"):
            rows.append(pytest.param(kind, value, id=f"{kind.name}-{value}", marks=group))
    metafunc.parametrize(["kind", *wide], rows)


@pytest.fixture(scope="session")
def agents() -> Iterator[dict[str, Agent]]:
    """The clients that run, by name: starting one takes longer than most tests."""
    running: dict[str, Agent] = {}
    yield running
    for agent in running.values():
        agent.close()


@pytest.fixture
def client(kind: Kind, agents: dict[str, Agent]) -> Iterator[Agent]:
    """The client of this test."""
    agent = agents.get(kind.name)
    if agent is None:
        agent = agents[kind.name] = Agent(kind.command())
    yield agent
    if not agent.idle:
        agents.pop(kind.name).close()


@pytest.fixture
def serve(redis_url: str, namespace: str) -> Serve:
    """Gives a gateway with the configs that it is called with, or the Kafka that was named."""
    return functools.partial(broker, redis_url, namespace, os.environ.get("PARTSTREAM_TEST_KAFKA"))

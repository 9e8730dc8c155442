"""Sessions with Kafka's own tools: what they print of Apache Kafka, they print of the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign import sessions
from tests.foreign.brokers import Serve
from tests.foreign.builds import NEWEST_JAVA, java_class
from tests.foreign.groups import QUICK

pytestmark = [pytest.mark.deadline(400), pytest.mark.xdist_group("foreign-tools")]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """Built before the clock of a test runs."""
    java_class(NEWEST_JAVA)


@pytest.mark.parametrize("name", sessions.SESSIONS)
async def test_a_session_prints_what_kafka_prints(
    serve: Serve, namespace: str, tmp_path: Path, name: str
) -> None:
    async with serve(**QUICK) as running:
        told = await sessions.play(name, running.bootstrap, namespace, tmp_path)
    assert told.splitlines() == sessions.recorded(name).splitlines()

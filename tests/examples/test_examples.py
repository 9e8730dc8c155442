"""Every example does what it says, run as its README says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "fastapi_app.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_example_succeeds(script: str, redis_url: str) -> None:
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / script), redis_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for script in (*SCRIPTS, "fastapi_app.py"):
        assert f"({script})" in listed


@pytest.fixture
def service(redis_url: str, namespace: str) -> Iterator[str]:
    """The web service, run by uvicorn; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PARTSTREAM_URL": redis_url, "ORDERS_TOPIC": f"orders-{namespace}"}
    command = [sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=EXAMPLES.parent, env=environment)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return bool(ask(f"{url}/orders/nobody") == {"cents": 0})
        except urllib.error.URLError:
            return False

    try:
        wait_until(answers, within=30)
        yield url
    finally:
        process.terminate()
        # uvicorn shuts down in good order, then dies of the signal that it was sent.
        assert process.wait(20) == -signal.SIGTERM


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_web_service_shows_what_it_was_told(service: str) -> None:
    placed = [ask(f"{service}/orders/ada", {"cents": cents}) for cents in (1_250, 4_999)]
    assert [order["offset"] for order in placed] == [0, 1]
    assert placed[0]["partition"] == placed[1]["partition"]
    wait_until(lambda: ask(f"{service}/orders/ada") == {"cents": 6_249})

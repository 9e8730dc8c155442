"""The flights demo from end to end, faster than for people, and what it says when it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from partstream.embedded.server import EmbeddedServer
from partstream.sync.admin import Admin
from tests.cli.conftest import COMMAND

ROOT = Path(__file__).parents[2]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.faults
def test_all_is_proved(redis_url: str, namespace: str) -> None:
    words = ("--namespace", namespace, "--url", redis_url, "demo", "--rate", "8000")
    with start(*COMMAND, *words) as process:
        out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, ""), out
    assert out.count("\nproved ") == 5
    assert "SIGKILL" in out
    with Admin(redis_url, namespace=namespace) as admin:
        assert admin.list_topics() == []
        assert admin.list_groups() == []


@pytest.mark.faults
def test_the_example_on_a_cluster(cluster_url: str) -> None:
    script = str(ROOT / "examples" / "flights" / "run.py")
    with start(sys.executable, script, "--url", cluster_url, "--rate", "8000") as process:
        out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, ""), out
    assert out.count("\nproved ") == 5


@pytest.mark.faults
def test_interrupted(redis_url: str, namespace: str) -> None:
    with start(*COMMAND, "--namespace", namespace, "--url", redis_url, "demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "the replay begins" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    with Admin(redis_url, namespace=namespace) as admin:
        assert admin.list_topics() == []


@pytest.mark.faults
def test_a_server_that_dies(fresh_server: EmbeddedServer) -> None:
    with start(*COMMAND, "--url", fresh_server.url, "demo", "--rate", "500") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "the replay begins" in line:
                break
        fresh_server.kill()
        out, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "proved" not in out
    assert errors.splitlines()[-1].startswith("partstream: ")

"""The tests' own ground: async tests that go wrong are seen, and the servers are what they say."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.pool import Server
from tests.servers.tls import TlsServer

ROOT = Path(__file__).parents[2]

WRONG = """
import asyncio, pytest

async def test_assertion():
    assert 1 == 2

@pytest.mark.deadline(0.2)
async def test_deadline():
    await asyncio.sleep(30)

async def test_unheard():
    async def lost():
        raise ValueError("lost")
    task = asyncio.create_task(lost())
    await asyncio.sleep(0.01)
    del task

async def test_left_running():
    test_left_running.task = asyncio.create_task(asyncio.sleep(30))

async def test_fine():
    await asyncio.sleep(0)
"""


GROUPED = """
import pytest

@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("number", range(6))
def test_on_one_worker(number):
    pass
"""


def run_pytest(folder: Path, *options: str) -> str:
    """What it prints of the tests in a folder."""
    ours = f"-c {ROOT}/pyproject.toml --rootdir {ROOT} -p no:cacheprovider".split()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *ours, *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def test_async_tests_that_go_wrong_fail(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (tmp_path / "test_wrong.py").write_text(WRONG)
    printed = run_pytest(tmp_path, "-q")
    assert "4 failed, 1 passed" in printed, printed
    for reason in ("assert 1 == 2", "TimeoutError", "ValueError('lost')", "left running"):
        assert reason in printed


def test_tests_of_a_group_run_on_one_worker(tmp_path: Path) -> None:
    """Two clusters at a time are too much for a small machine, and nothing else would say so."""
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    printed = run_pytest(tmp_path, "-v", "-n", "2", "--dist", "loadgroup")
    workers = re.findall(r"\[(gw\d)\].*PASSED", printed)
    assert len(workers) == 6, printed
    assert len(set(workers)) == 1, printed


def test_what_a_test_leaves_on_a_foreign_server_is_removed(server: Server, namespace: str) -> None:
    for number in range(2_500):
        server.command("SET", f"{namespace}:{number}", 1)
    server.command("SET", f"{namespace}-other", 1)
    server.remove(namespace)
    assert server.command("EXISTS", f"{namespace}:1", f"{namespace}:2499") == 0
    assert server.command("DEL", f"{namespace}-other") == 1


def test_the_tls_server_has_a_certificate_of_its_own_authority(tls: TlsServer) -> None:
    trusting = ssl.create_default_context(cafile=tls.ca_file)
    address = ("127.0.0.1", tls.port)
    with (
        socket.create_connection(address) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"PING\r\n")
        assert secure.recv(100) == b"+PONG\r\n"
    with (
        socket.create_connection(address) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")

"""The tests' own ground: async tests that go wrong are seen, and the servers are what they say."""

from __future__ import annotations

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


def test_async_tests_that_go_wrong_fail(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (tmp_path / "test_wrong.py").write_text(WRONG)
    options = f"-q -c {ROOT}/pyproject.toml --rootdir {ROOT} -p no:cacheprovider".split()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "4 failed, 1 passed" in done.stdout, done.stdout
    for reason in ("assert 1 == 2", "TimeoutError", "ValueError('lost')", "left running"):
        assert reason in done.stdout


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

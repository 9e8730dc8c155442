"""`python cluster/local.py`: a cluster from the command line, and back to nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from partstream.embedded import resp
from partstream.embedded.binary import find_binary
from partstream.embedded.server import EmbeddedServer
from tests.servers.targets import Target
from tests.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "cluster"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def local(target: Target) -> Iterator[Command]:
    """Runs one command, with a folder for temporary files of its own."""
    if target.binary is None:
        pytest.skip("needs a server binary on this machine")
    binary = str(target.binary.path)
    # Not tmp_path: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pst-") as folder:

        def command(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, str(FOLDER / "local.py"), *words],
                env=os.environ | {"TMPDIR": folder, "PARTSTREAM_SERVER": binary},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        yield command
        command("stop")


@pytest.mark.cluster
@pytest.mark.faults
def test_start_kill_restart_stop(local: Command) -> None:
    started = local("start", "--primaries", "3", "--replicas", "1")
    assert started.returncode == 0, started.stderr
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", started.stdout)]
    assert len(ports) == 6
    assert started.stdout.count(" primary ") == started.stdout.count(" replica ") == 3

    assert "runs already" in local("start").stderr
    assert "there is no node 6" in local("kill", "6").stderr

    assert re.search(r"^ +1 .* down ", local("kill", "1").stdout, re.MULTILINE)
    taken_over = re.compile(r"^ +4 .* primary .* 5461-10921$", re.MULTILINE)
    # Twice as long as usual if the first vote fails, which happens on a busy machine.
    wait_until(lambda: taken_over.search(local("status").stdout), within=40)
    assert re.search(r"^ +1 .* up ", local("restart", "1").stdout, re.MULTILINE)

    assert local("stop").stdout == "stopped\n"
    for port in ports:
        with pytest.raises(OSError, match=r"refused"):
            resp.call(("127.0.0.1", port), "PING")
    assert "No local cluster runs" in local("status").stderr


@pytest.mark.every_server
def test_the_recommended_configuration_is_accepted(target: Target, tmp_path: Path) -> None:
    binary = target.binary or find_binary()
    lines: dict[str, list[str]] = {}
    for line in (FOLDER / "redis.conf").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, value = line.split(maxsplit=1)
            lines.setdefault(name, []).append(value)
    with EmbeddedServer(tmp_path, binary=binary.path, config=lines) as server:
        reply = server.command("CONFIG", "GET", "maxmemory-policy")
        assert reply == [b"maxmemory-policy", b"noeviction"]

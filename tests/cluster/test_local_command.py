"""`python cluster/local.py`: a cluster from the command line, and back to nothing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import partstream
from partstream.config.topic import TopicConfig
from partstream.embedded import resp
from partstream.embedded.binary import find_binary
from partstream.embedded.movable import BESIDE_BATCHES, LIMIT, is_carried
from partstream.embedded.ports import free_port
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


@pytest.mark.cluster
@pytest.mark.faults
def test_slots_move_and_primaries_come_and_go(local: Command) -> None:
    started = local("start", "--primaries", "2", "--replicas", "1", "--password", "s3cret/")
    assert started.returncode == 0, started.stderr
    url = started.stdout.rpartition("PARTSTREAM_URL=")[2].strip()
    assert url.startswith("redis+cluster://:s3cret%2F@")
    with partstream.Producer(url) as producer:
        for number in range(100):
            producer.send("t", b"%d" % number, key=b"%d" % number)
        producer.flush()

    assert _slots(local("move-slots", "0-9,8191", "1")) == {0: "10-8190", 1: "0-9 8191-16383"}
    assert "no primary" in local("move-slots", "5", "2").stderr
    assert "expected slots" in local("move-slots", "many", "1").stderr

    grown = _slots(local("add-primary"))
    assert grown == {0: "0-5460", 1: "5461-10921", 4: "10922-16383"}
    added = _slots(local("add-primary", "--empty"))
    assert added == grown | {6: ""}
    assert _slots(local("remove-primary", "6")) == grown
    assert _slots(local("remove-primary", "0")) == {1: "0-8191", 4: "8192-16383"}
    assert "there is no node 0" in local("remove-primary", "0").stderr

    url = local("status").stdout.rpartition("PARTSTREAM_URL=")[2].strip()
    with partstream.Consumer(url, group_id="g", auto_offset_reset="earliest") as consumer:
        consumer.subscribe(["t"])
        seen: list[object] = []
        while len(seen) < 100:
            records = consumer.poll(timeout=5.0)
            assert records
            seen += [record.value for record in records]
    assert sorted(map(str, seen)) == sorted(str(b"%d" % number) for number in range(100))


def _slots(done: subprocess.CompletedProcess[str]) -> dict[int, str]:
    """The slots of each primary, as `status` prints them."""
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ +(\d+) .* primary +\S+ *(.*?) *$", done.stdout, re.MULTILINE)
    return {int(number): slots for number, slots in rows}


@pytest.mark.cluster
def test_tls_and_an_acl_file(local: Command, tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default off\nuser app on >secret ~* &* +@all\n", encoding="ascii")
    # Debian's has TLS; the one that the other commands run with may not.
    named = ("--binary", debian) if (debian := shutil.which("redis-server")) else ()
    started = local("start", "--primaries", "1", "--tls", "--aclfile", str(users), *named)
    if "built with TLS" in started.stderr or "openssl" in started.stderr:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    url = started.stdout.rpartition("PARTSTREAM_URL=")[2].strip()
    assert url.startswith("rediss+cluster://127.0.0.1:")
    with partstream.Producer(url, username="app", password="secret") as producer:
        assert producer.send("t", b"v").result(timeout=10).offset == 0
    with pytest.raises(partstream.errors.StoreAuthenticationFailed):
        partstream.Producer(url)


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
        limit = server.command("CONFIG", "GET", LIMIT)
    # A partition of the default size can be moved from node to node.
    assert isinstance(limit, list)
    assert isinstance(limit[1], bytes)
    topic = TopicConfig()
    largest = topic.retention_bytes + topic.segment_bytes
    assert is_carried(int(largest * BESIDE_BATCHES), int(limit[1]))


def test_every_line_of_the_recommended_configuration_has_a_reason() -> None:
    """Also those that are commented out; a few that belong together share theirs."""
    above, settings = "", 0
    for line in (FOLDER / "redis.conf").read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"[a-z].*|# cluster-[a-z-]+ \S+", line):
            assert above, f"no reason is given for: {line}"
            assert "---" not in above, f"no reason is given for: {line}"
            settings += 1
        above = line
    assert settings > 25


@pytest.mark.cluster
def test_the_readme_is_runnable(local: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first trial, command by command."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    trial = page.partition("## Try it")[2].partition("## ")[0]
    first = free_port()
    for line in re.findall(r"^\$ (.*)$", trial, re.MULTILINE):
        words = shlex.split(line.replace("7000", str(first)).replace("7001", str(first + 1)))
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
            continue
        if words[:2] == ["python", "cluster/local.py"]:
            done = local(*words[2:])
        else:
            done = subprocess.run(
                [str(Path(sys.executable).with_name("partstream")), *words[1:]],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

"""The scripts of the Kubernetes pods, as they are, on real servers with an address each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partstream import aio
from partstream.embedded import resp
from partstream.embedded.ports import free_port
from tests.servers.targets import Target
from tests.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "cluster"
SCRIPTS = FOLDER / "kubernetes" / "scripts"
NODES = 6
PASSWORD = "s3cret"

GETENT = """#!/bin/sh
awk -v name="$2" '$2 == name { print; found = 1 } END { exit !found }' "$HOSTS"
"""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 and so on"),
]


class Pods:
    """Six pods: one port, an address each, names in a DNS of their own."""

    def __init__(self, folder: Path, server: Path, cli: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._server = server
        self._cli = cli
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._addresses: dict[int, str] = {}
        (folder / "bin").mkdir()
        fake = folder / "bin" / "getent"
        fake.write_text(GETENT, encoding="ascii")
        fake.chmod(0o755)

    def address(self, number: int) -> str:
        return self._addresses[number]

    def start(self, subnet: int) -> None:
        """Start all of them, with addresses of a subnet."""
        self._addresses = {n: f"127.0.{subnet}.{10 + n}" for n in range(NODES)}
        lines = [f"{self.address(n)} redis-{n}.nodes\n" for n in range(NODES)]
        (self._folder / "hosts").write_text("".join(lines), encoding="ascii")
        for number in range(NODES):
            home = self._folder / str(number)
            home.mkdir(exist_ok=True)
            conf = (FOLDER / "redis.conf").read_text(encoding="utf-8")
            bind = f"bind {self.address(number)}\n"
            (home / "redis.conf").write_text(conf + bind, encoding="utf-8")
            log = (home / "log").open("ab")
            with log:
                self._running[number] = subprocess.Popen(
                    ["sh", str(SCRIPTS / "start.sh")],
                    env=self._env(number),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def run(self, script: str, number: int = 0) -> None:
        """Run another script in a pod."""
        done = subprocess.run(
            ["sh", str(SCRIPTS / script)],
            env=self._env(number),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """End all of them at once."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()

    def ask(self, number: int, *command: str) -> str:
        answer = resp.call((self.address(number), self.port), *command, password=PASSWORD)
        return resp.text(answer)

    def role(self, number: int) -> str:
        return resp.fields(self.ask(number, "INFO", "replication").encode())["role"]

    def serve(self) -> bool:
        """Whether all nodes serve all slots, and know the others."""
        try:
            infos = [
                resp.fields(self.ask(number, "CLUSTER", "INFO").encode()) for number in range(NODES)
            ]
            linked = [self.ask(number, "INFO", "replication") for number in range(NODES)]
        except (OSError, resp.CommandRefused):
            return False
        return all(
            info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(NODES)
            for info in infos
        ) and not any("master_link_status:down" in text for text in linked)

    @property
    def url(self) -> str:
        return f"redis+cluster://:{PASSWORD}@{self.address(0)}:{self.port}"

    def _env(self, number: int) -> dict[str, str]:
        home = self._folder / str(number)
        return {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "HOSTS": str(self._folder / "hosts"),
            "SERVER": str(self._server),
            "CLI": self._cli,
            "PORT": str(self.port),
            "CONFIG": str(home),
            "DATA": str(home),
            "MAXMEMORY": "200mb",
            "NODES": str(NODES),
            "BASE": "redis",
            "SERVICE": "nodes",
            "POD_NAME": f"redis-{number}",
            "POD_IP": self.address(number),
            "REDISCLI_AUTH": PASSWORD,
            "VALKEYCLI_AUTH": PASSWORD,
        }


@pytest.fixture
def pods(target: Target, tmp_path: Path) -> Iterator[Pods]:
    cli = shutil.which("valkey-cli") or shutil.which("redis-cli")
    if cli is None or target.binary is None:
        pytest.skip("needs valkey-cli or redis-cli, and a server binary")
    made = Pods(tmp_path, target.binary.path, cli)
    try:
        with socket.create_server(("127.0.1.10", 0)):
            pass
        made.start(1)
        yield made
    finally:
        made.stop()


@pytest.mark.deadline(180)
async def test_join_hand_over_and_come_back_elsewhere(pods: Pods) -> None:
    pods.run("join.sh")
    wait_until(pods.serve, within=30)
    assert [pods.role(number) for number in range(NODES)] == ["master"] * 3 + ["slave"] * 3
    pods.run("join.sh")  # as a job does that is run again: nothing changes

    async with aio.Producer(pods.url, acks="all") as producer:
        await (await producer.send("t", b"before"))
        pods.run("hand-over.sh", 0)
        assert (pods.role(0), pods.role(3)) == ("slave", "master")
        pods.run("hand-over.sh", 0)  # a replica has nothing to hand over
        wait_until(pods.serve, within=30)
        await (await producer.send("t", b"after"))

    pods.stop()
    pods.start(2)  # all at once, and all with other addresses
    wait_until(pods.serve, within=60)
    async with aio.Consumer(pods.url, group_id="g", auto_offset_reset="earliest") as consumer:
        await consumer.subscribe(["t"])
        seen: list[bytes | None] = []
        while len(seen) < 2:
            seen += [record.value for record in await consumer.poll(timeout=5.0)]
    assert sorted(filter(None, seen)) == [b"after", b"before"]

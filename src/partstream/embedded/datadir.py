"""The folder of a server that keeps its data: one server at a time, which others can find."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from partstream.embedded import resp
from partstream.embedded.process import secret_part
from partstream.errors import ConfigError, PartstreamError

_ATTACH_TIMEOUT = 30.0


class DataDirInUse(PartstreamError, name="DATA_DIR_IN_USE"):
    """Another process runs a server on the same data folder."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where the server of a folder listens."""

    port: int
    password: str | None

    @property
    def url(self) -> str:
        """`redis://...`, password included."""
        return f"redis://{secret_part(self.password)}127.0.0.1:{self.port}"


class DataDir:
    """A data folder, its lock and the note that says where its server listens."""

    def __init__(self, path: Path) -> None:
        """Make the folder, unless it is there.

        Raises:
            ConfigError: it cannot be made, or not be written to.
        """
        self.path = path.expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the data folder {path} cannot be made: {error.strerror}") from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(f"the data folder {path} cannot be written to")
        self._lock = self.path / "server.lock"
        self._note = self.path / "server.json"

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder's lock while a server starts; the server inherits the descriptor.

        A lock of this kind (flock) belongs to the open file: it lasts until the last process that
        inherited it has ended, so the folder is free exactly when its server is gone.

        Raises:
            DataDirInUse: a server runs there.
        """
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirInUse(
                    f"another server runs on the folder {str(self.path)!r}"
                ) from None
            self._note.unlink(missing_ok=True)
            yield lock
        finally:
            os.close(lock)

    def announce(self, port: int, password: str | None) -> None:
        """Write down where the server listens, for other processes of the same user."""
        draft = self._note.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({"port": port, "password": password}), encoding="utf-8")
        draft.replace(self._note)

    def find_running(self) -> RunningServer | None:
        """The server that runs there, or None if it ended meanwhile.

        Waits while a server is only starting.
        """
        deadline = time.monotonic() + _ATTACH_TIMEOUT
        while time.monotonic() < deadline:
            try:
                note = json.loads(self._note.read_text(encoding="utf-8"))
                found = RunningServer(note["port"], note["password"])
                resp.call(("127.0.0.1", found.port), "PING", password=found.password)
            except FileNotFoundError:
                time.sleep(0.02)  # it is starting, or it was never there
            except (OSError, ValueError, resp.CommandRefused):
                return None
            else:
                return found
            if not self._taken():
                return None
        return None

    def _taken(self) -> bool:
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(lock)

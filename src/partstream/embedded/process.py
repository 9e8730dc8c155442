"""A server as a child process: start it, wait until it answers, stop it, kill it, freeze it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias
from urllib.parse import quote

from partstream.embedded import resp, watchdog
from partstream.embedded.binary import ServerBinary, find_binary
from partstream.embedded.ports import free_port
from partstream.errors import IllegalState, StoreUnavailable

Settings: TypeAlias = "Mapping[str, str | int | Sequence[str]]"
"""Lines of a server's config file; a sequence gives several lines with the same name."""

_HOST = "127.0.0.1"
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0
_PORT_ATTEMPTS = 20
_IN_USE = "already in use"

_running: weakref.WeakSet[ServerProcess] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a server needs to speak TLS, and nothing else; paths of PEM files."""

    ca: str | Path
    """The authority that clients' and other servers' certificates must come from."""
    certificate: str | Path
    key: str | Path
    clients: str = "yes"
    """Whether clients must show a certificate: `yes`, `optional` or `no` (tls-auth-clients)."""

    def settings(self, port: int) -> Settings:
        """The lines of the config file, for a server that listens on this port."""
        return {
            "port": 0,
            "tls-port": port,
            "tls-ca-cert-file": quoted(str(self.ca)),
            "tls-cert-file": quoted(str(self.certificate)),
            "tls-key-file": quoted(str(self.key)),
            "tls-auth-clients": self.clients,
            "tls-replication": "yes",
        }


class ServerProcess(ABC):
    """One server process; subclasses say what it is to be.

    The process never outlives the one that started it. The methods block, for milliseconds as a
    rule; asyncio code calls them through `asyncio.to_thread`.
    """

    def __init__(
        self,
        *,
        binary: str | Path | None = None,
        port: int = 0,
        username: str | None = None,
        password: str | None = None,
        tls: TlsFiles | None = None,
        config: Settings | None = None,
    ) -> None:
        self.binary: ServerBinary = find_binary(binary)
        self.host = _HOST
        self.username = username
        """Whom its owner logs in as; the config must make that user. Default: the default user."""
        self.password = password
        self.tls = tls
        self._asked_port = port
        self._port = port
        self._config = dict(config or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self.paused = False
        """Whether it was frozen with `pause()`."""
        # A unix socket's path may have 104 characters at most, and some TMPDIRs are long.
        folder = tempfile.mkdtemp(prefix="ps-")
        if len(folder) > 80:
            Path(folder).rmdir()
            folder = tempfile.mkdtemp(prefix="ps-", dir="/tmp")
        self._folder = Path(folder)
        self._remove = weakref.finalize(self, _remove_folder, folder, self._owner)

    # What subclasses say.

    @abstractmethod
    def _settings(self, port: int) -> Settings:
        """The config file, without what every server has."""

    def _flags(self) -> Sequence[str]:
        """Words after the name of the config file."""
        return ()

    def _inherited(self) -> Sequence[int]:
        """File descriptors that the server process holds as long as it lives."""
        return ()

    # What it is.

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; it stays the same over restarts."""
        return self._port

    @property
    def pid(self) -> int:
        """The id of the server process.

        Raises:
            IllegalState: it does not run.
        """
        if self._process is None:
            raise IllegalState("the server is not started")
        return self._process.pid

    @property
    def url(self) -> str:
        """`redis://...` (`rediss://` with TLS), the default user's password included."""
        secret = secret_part(None if self.username else self.password)
        return f"{'rediss' if self.tls else 'redis'}://{secret}{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def socket(self) -> Path:
        """The unix socket on which it listens too."""
        return self._folder / "server.sock"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether the process is there (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    def version(self) -> str:
        """The server's version, such as `7.0.15`."""
        return self.binary.version

    def command(self, *command: str | bytes | float, timeout: float = 5) -> resp.Reply:
        """Send one command, on a connection of its own.

        Raises:
            CommandRefused: the server answered with an error.
            OSError: it cannot be reached, or does not answer within `timeout` seconds.
        """
        return self.commands([command], timeout=timeout)[0]

    def commands(
        self, commands: Sequence[tuple[str | bytes | float, ...]], *, timeout: float = 5
    ) -> list[resp.Reply]:
        """Send commands all at once, and return their answers. Raises as `command` does."""
        return resp.call_many(
            self.socket,
            commands,
            username=self.username,
            password=self.password,
            timeout=timeout,
        )

    def info(self, section: str = "server") -> dict[str, str]:
        """One section of INFO."""
        return resp.fields(self.command("INFO", section))

    # What it does.

    def configure(self, config: Settings) -> None:
        """Add lines to its config file, which win over all others.

        Raises:
            IllegalState: it was started before.
        """
        if self._process is not None:
            raise IllegalState("the server has its config file already")
        self._config.update(config)

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Raises:
            IllegalState: it runs already.
            StoreUnavailable: it did not come up; the text ends with the end of its log.
        """
        if self.running:
            raise IllegalState(f"the server already runs, as process {self.pid}")
        attempts = 1 if self._port else _PORT_ATTEMPTS
        for _ in range(attempts):
            port = self._port or free_port(self.host)
            if self._started(port):
                self._port = port
                return self
        raise StoreUnavailable(f"the server did not start. {self._log_tail()}")

    def stop(self) -> None:
        """Shut the server down, its data saved if it saves any. Harmless if it does not run."""
        if self.running:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
        self._reap(_STOP_TIMEOUT)

    def kill(self) -> None:
        """Kill the server at once (SIGKILL): nothing is saved, no connection closed in order."""
        if self.running:
            self._signal(signal.SIGKILL)
        self._reap(_STOP_TIMEOUT)

    def restart(self) -> None:
        """Stop it (if it runs) and start it again on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)
        self.paused = False

    def close(self) -> None:
        """Stop it for good, and remove its temporary files."""
        self.stop()
        self._remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # How.

    def _started(self, port: int) -> bool:
        """Start the process on a port. False: somebody else took that port first."""
        conf = self._folder / "server.conf"
        if self._process is None or not conf.exists():
            # Only once: servers rewrite it themselves (CONFIG REWRITE, Sentinel).
            conf.write_text(self._config_file(port), encoding="utf-8")
        mark = self.log.stat().st_size if self.log.exists() else 0
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [str(self.binary.path), str(conf), *self._flags()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(self._inherited()),
            start_new_session=True,  # Ctrl-C in a terminal is for the client, which stops us
        )
        watchdog.guard(self._process.pid)
        _running.add(self)
        if self._ready():
            return True
        in_use = _IN_USE in self._read_log(mark)
        self.kill()
        if in_use and not self._asked_port:
            conf.unlink()
            return False
        raise StoreUnavailable(f"the server did not start on port {port}. {self._log_tail()}")

    def _config_file(self, port: int) -> str:
        settings: dict[str, str | int | Sequence[str]] = {
            "bind": self.host,
            "port": port,
            "protected-mode": "no",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "daemonize": "no",
            "logfile": quoted(str(self.log)),
            **(self.tls.settings(port) if self.tls else {}),
            **self._settings(port),
            **self._config,
        }
        if self.password and not self.username:
            settings["requirepass"] = quoted(self.password)
        lines: list[str] = []
        for name, value in settings.items():
            values = [value] if isinstance(value, str | int) else value
            lines += [f"{name} {line}" for line in values]
        return "\n".join(lines) + "\n"

    def _ready(self) -> bool:
        """Wait for an answer on the unix socket, which, unlike a port, can be nobody else's."""
        deadline = time.monotonic() + _START_TIMEOUT
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError, resp.CommandRefused):
                self.command("PING")
                return True
            time.sleep(0.005)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise IllegalState("the server is not started")
        self._process.send_signal(number)

    def _reap(self, timeout: float) -> None:
        if self._process is None or self._owner != os.getpid():
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.paused = False
        if self in _running:
            _running.discard(self)
            watchdog.forget(self._process.pid)

    def _read_log(self, start: int = 0) -> str:
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[start:].decode(errors="replace")

    def _log_tail(self) -> str:
        lines = self._read_log().splitlines()[-8:]
        return "Its log ends with:\n" + "\n".join(lines) if lines else "It wrote no log."


def secret_part(password: str | None) -> str:
    """The part of a URL before its host: empty, or the password."""
    return f":{quote(password, safe='')}@" if password else ""


def quoted(value: str) -> str:
    """A value as one word of a config file, whatever is in it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _remove_folder(folder: str, owner: int) -> None:
    if owner == os.getpid():  # a forked child must not take its parent's files away
        shutil.rmtree(folder, ignore_errors=True)


def _stop_all() -> None:
    for server in list(_running):
        if server._owner == os.getpid():
            server.close()


atexit.register(_stop_all)

"""A private Redis or Valkey server: in memory, or with an append-only file in a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from partstream.embedded.datadir import DataDir
from partstream.embedded.process import ServerProcess, Settings, TlsFiles, quoted

_CUT_SHORT = "Truncating the AOF"
_REWRITE_TIMEOUT_S = 60.0


class EmbeddedServer(ServerProcess):
    """A private server on this machine, for trials, tests and small tools.

    It listens on 127.0.0.1 only (and on a unix socket), and ends with the process that started it.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        binary: str | Path | None = None,
        port: int = 0,
        password: str | None = None,
        tls: TlsFiles | None = None,
        config: Settings | None = None,
    ) -> None:
        """Prepare a server; `start()` or `with` starts it.

        Args:
            data_dir: the folder of its append-only file, made if it is not there. Default: none;
                the data lives in memory and is gone when the server stops.
            binary: the server to run. Default: see `find_binary`.
            port: the TCP port. Default: a free one.
            password: of the default user. Default: none is asked for.
            tls: the certificates with which its port speaks TLS. Default: it does not.
            config: more lines for its config file, which win over ours.

        Raises:
            NoEmbeddedServer: there is no server binary.
        """
        super().__init__(binary=binary, port=port, password=password, tls=tls, config=config)
        self.data_dir = None if data_dir is None else DataDir(Path(data_dir))

    @property
    def log(self) -> Path:
        """The server's log file; it stays with the data, if they stay."""
        return (self.data_dir.path if self.data_dir else self._folder) / "server.log"

    def start(self) -> EmbeddedServer:
        """Start the server, and wait until it answers (which is after it has read its file).

        Raises:
            IllegalState: it runs already.
            DataDirInUse: another process runs a server on the same folder.
            StoreUnavailable: it did not come up; the text ends with the end of its log.
        """
        if self.data_dir is None:
            super().start()
        else:
            with self.data_dir.locked() as lock:
                self._lock = lock
                mark = self.log.stat().st_size if self.log.exists() else 0
                super().start()
                if _CUT_SHORT in self._read_log(mark):
                    self._rewrite_file()
                self.data_dir.announce(self.port, self.password)
        return self

    def _rewrite_file(self) -> None:
        """Write the append-only file anew, after a crash that took back the end of it.

        Redis, and Valkey before 9.1, leave half a script's writes in the file where the crash came
        in the middle of them, and carry them out with the next ones at the next start.
        """
        self.command("BGREWRITEAOF")
        deadline = time.monotonic() + _REWRITE_TIMEOUT_S
        while time.monotonic() < deadline:
            state = self.info("persistence")
            if state["aof_rewrite_in_progress"] == state["aof_rewrite_scheduled"] == "0":
                return
            time.sleep(0.02)

    def _inherited(self) -> Sequence[int]:
        # The lock on the folder is held by the server itself: it is free when the server is gone,
        # not when this process is.
        return () if self.data_dir is None else (self._lock,)

    def _settings(self, port: int) -> Settings:
        if self.data_dir is None:
            keep = {"dir": quoted(str(self._folder)), "appendonly": "no"}
        else:
            keep = {"dir": quoted(str(self.data_dir.path)), "appendonly": "yes"}
        return {
            **keep,
            "save": '""',
            "databases": 16,
            # A replica of it (in tests: a cluster's) gets its first copy at once.
            "repl-diskless-sync-delay": 0,
        }

"""A primary, its replicas and the Sentinels that watch them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from partstream.embedded import resp
from partstream.embedded.process import ServerProcess, Settings, TlsFiles, quoted, secret_part
from partstream.embedded.server import EmbeddedServer
from partstream.errors import StoreUnavailable

_TIMEOUT = 60.0


class SentinelProcess(ServerProcess):
    """One Sentinel: the server binary in its other role."""

    def __init__(
        self,
        watched: EmbeddedServer,
        name: str,
        quorum: int,
        down_after_ms: int,
        *,
        binary: str | Path | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        super().__init__(binary=binary, tls=tls)
        self._watched = watched
        self._name = name
        self._quorum = quorum
        self._down_after_ms = down_after_ms

    def _flags(self) -> Sequence[str]:
        return ("--sentinel",)

    def _settings(self, port: int) -> Settings:
        name = self._name
        host, watched = self._watched.address
        lines = [
            f"monitor {name} {host} {watched} {self._quorum}",
            f"down-after-milliseconds {name} {self._down_after_ms}",
            f"failover-timeout {name} 5000",
        ]
        if self._watched.password:
            lines.append(f"auth-pass {name} {quoted(self._watched.password)}")
        return {"dir": quoted(str(self._folder)), "sentinel": lines}


class EmbeddedSentinel:
    """A primary, replicas and Sentinels as local processes, in memory."""

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        name: str = "main",
        binary: str | Path | None = None,
        password: str | None = None,
        down_after_ms: int = 1_000,
        tls: TlsFiles | None = None,
        config: Settings | None = None,
    ) -> None:
        """Prepare the processes; `start()` or `with` starts them.

        Args:
            replicas: how many servers follow the primary.
            sentinels: how many Sentinels watch it; more than half must agree that it is down.
            name: what the Sentinels call the primary.
            binary: the server to run, which must know `--sentinel`. Default: see `find_binary`.
            password: of the servers' default user (the Sentinels ask for none). Default: none.
            down_after_ms: after how long a silent server counts as down.
            tls: the certificates with which all of them speak TLS. Default: they do not.
            config: more lines for the servers' config files.
        """
        self.name = name
        self._binary = binary
        auth: dict[str, str | int | Sequence[str]] = dict(config or {})
        if password:
            auth["masterauth"] = quoted(password)
        self.servers: tuple[EmbeddedServer, ...] = tuple(
            EmbeddedServer(binary=binary, password=password, tls=tls, config=auth)
            for _ in range(1 + replicas)
        )
        self.sentinels: tuple[SentinelProcess, ...] = tuple(
            SentinelProcess(
                self.servers[0], name, sentinels // 2 + 1, down_after_ms, binary=binary, tls=tls
            )
            for _ in range(sentinels)
        )

    @property
    def url(self) -> str:
        """`redis+sentinel://...` with the addresses of all Sentinels."""
        secret = secret_part(self.servers[0].password)
        hosts = ",".join(f"{each.host}:{each.port}" for each in self.sentinels)
        scheme = "rediss" if self.servers[0].tls else "redis"
        return f"{scheme}+sentinel://{secret}{hosts}/{self.name}"

    def start(self) -> Self:
        """Start everything, and wait until the Sentinels know each other and the replicas.

        Raises:
            StoreUnavailable: a process did not start, or they did not find each other.
        """
        try:
            primary = self.servers[0].start()
            for replica in self.servers[1:]:
                replica.start().command("REPLICAOF", *primary.address)
            self._wait_linked()
            for sentinel in self.sentinels:
                sentinel.start()
            self._wait_known()
        except BaseException:
            self.close()
            raise
        return self

    def primary(self) -> EmbeddedServer:
        """The server that the first running Sentinel names as the primary."""
        sentinel = next(each for each in self.sentinels if each.running)
        reply = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        assert isinstance(reply, list)
        port = int(resp.text(reply[1]))
        return next(server for server in self.servers if server.port == port)

    def wait_taken_over(self, old: EmbeddedServer, timeout: float = _TIMEOUT) -> EmbeddedServer:
        """Wait until the Sentinels name another primary than `old`, and return it.

        Raises:
            StoreUnavailable: they did not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            new = self.primary()
            if new is not old and new.info("replication")["role"] == "master":
                return new
            time.sleep(0.05)
        raise StoreUnavailable(f"no replica took over within {timeout:.0f} s")

    def close(self) -> None:
        """Stop everything and remove the files."""
        for process in (*self.sentinels, *self.servers):
            process.kill()
            process.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_linked(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        for replica in self.servers[1:]:
            while replica.info("replication").get("master_link_status") != "up":
                if time.monotonic() > deadline:
                    raise StoreUnavailable("a replica did not link to its primary")
                time.sleep(0.02)

    def _wait_known(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        others, replicas = len(self.sentinels) - 1, len(self.servers) - 1
        for sentinel in self.sentinels:
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError, resp.CommandRefused):
                    reply = sentinel.command("SENTINEL", "MASTER", self.name)
                    assert isinstance(reply, list)
                    words = [resp.text(word) for word in reply]
                    state = dict(zip(words[::2], words[1::2], strict=True))
                    if (state["num-other-sentinels"], state["num-slaves"]) == (
                        str(others),
                        str(replicas),
                    ):
                        break
                time.sleep(0.05)
            else:
                raise StoreUnavailable("the Sentinels did not find each other")

"""The servers of one test process, started when first asked for and shared until its end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.server import EmbeddedServer
from tests.servers.asking import ask
from tests.servers.containers import container
from tests.servers.targets import Target


@dataclass(frozen=True, slots=True)
class Server:
    """A server that tests share: they keep apart by namespace, and must not stop or flush it."""

    url: str
    label: str
    """Product and version: `valkey-9.1.2`."""
    private: bool
    """Whether it ends with the test run, and what is left in it does not matter."""

    def command(self, *command: str | bytes | float) -> resp.Reply:
        """Send one command, outside of what is under test."""
        return ask(self.url, *command)

    def remove(self, namespace: str) -> None:
        """Delete what a test left behind."""
        cursor = "0"
        while True:
            reply = self.command("SCAN", cursor, "MATCH", f"{namespace}:*", "COUNT", 1000)
            assert isinstance(reply, list)
            cursor, keys = resp.text(reply[0]), reply[1]
            if isinstance(keys, list) and keys:
                self.command("UNLINK", *[key for key in keys if isinstance(key, bytes)])
            if cursor == "0":
                return


class Pool:
    """Starts servers, and stops them all when the test run ends."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[str, Server] = {}
        self._clusters: dict[str, EmbeddedCluster] = {}

    def server(self, target: Target) -> Server:
        """The shared server of a target."""
        if target.label not in self._servers:
            self._servers[target.label] = self._started(target)
        return self._servers[target.label]

    def _started(self, target: Target) -> Server:
        if target.url:
            return Server(target.url, target.label, private=False)
        if target.image:
            url = self._stack.enter_context(container(target.image))
            return Server(url, target.label, private=True)
        assert target.binary is not None
        running = self._stack.enter_context(EmbeddedServer(binary=target.binary.path))
        return Server(running.url, target.label, private=True)

    def cluster(self, target: Target) -> EmbeddedCluster:
        """The shared cluster of a target: three primaries, a replica each."""
        assert target.binary is not None
        if target.label not in self._clusters:
            started = self._stack.enter_context(EmbeddedCluster(binary=target.binary.path))
            self._clusters[target.label] = started
        return self._clusters[target.label]

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

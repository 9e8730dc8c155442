"""One server of a Redis Cluster, and how it meets others."""

from __future__ import annotations

from pathlib import Path

from partstream.embedded import resp
from partstream.embedded.ports import free_port
from partstream.embedded.process import ServerProcess, Settings, TlsFiles, quoted

SLOTS = 16_384


class ClusterNode(ServerProcess):
    """One server of a cluster. It keeps its identity, port and folder over restarts."""

    def __init__(
        self,
        index: int,
        *,
        binary: str | Path | None = None,
        port: int = 0,
        username: str | None = None,
        password: str | None = None,
        acl: str | None = None,
        tls: TlsFiles | None = None,
        node_timeout_ms: int = 1_500,
        config: Settings | None = None,
    ) -> None:
        super().__init__(
            binary=binary, port=port, username=username, password=password, tls=tls, config=config
        )
        self.index = index
        """Its number, for as long as it lives; its place in `EmbeddedCluster.nodes` until a node
        is removed."""
        self.bus_port = 0
        """Where other nodes reach it. Known once it was started; it stays the same."""
        self._acl = acl
        self._node_timeout_ms = node_timeout_ms

    def _settings(self, port: int) -> Settings:
        self.bus_port = free_port(self.host)
        settings: dict[str, str | int] = {
            "dir": quoted(str(self._folder)),
            "appendonly": "no",
            "save": '""',
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": self._node_timeout_ms,
            # A replica that was cut off may still be elected: a test would wait in vain for one.
            "cluster-replica-validity-factor": 0,
            # A cluster that lost some slots goes on serving the others.
            "cluster-require-full-coverage": "no",
            # A primary without replicas takes none from a neighbour: nodes keep their places.
            "cluster-allow-replica-migration": "no",
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,
        }
        if self.tls:
            settings["tls-cluster"] = "yes"
        if self.password:
            settings["masterauth"] = quoted(self.password)
        if self.username:
            settings["masteruser"] = self.username
        if self._acl is not None:
            users = self._folder / "users.acl"
            ours = f"user {self.username} on >{self.password} ~* &* +@all"
            users.write_text(f"{self._acl.rstrip()}\n{ours}\n", encoding="utf-8")
            settings["aclfile"] = quoted(str(users))
        return settings

    @property
    def known_bus_port(self) -> int:
        """The bus port that other nodes are told: another one than its own behind a proxy."""
        return int(str(self._config.get("cluster-announce-bus-port", self.bus_port)))

    def node_id(self) -> str:
        """Its 40-character name in the cluster."""
        return resp.text(self.command("CLUSTER", "MYID"))

    def is_primary(self) -> bool:
        """Whether it thinks that it is a primary now."""
        return self.info("replication")["role"] == "master"

    def lines(self) -> list[list[str]]:
        """CLUSTER NODES as this node sees it: for each node the words of its line."""
        return [line.split() for line in resp.text(self.command("CLUSTER", "NODES")).splitlines()]


def follow(node: ClusterNode, primary: str) -> bool:
    """Make a node the replica of a primary; False as long as it has not heard of it."""
    known = [words for words in node.lines() if words[0] == primary and "handshake" not in words[2]]
    if known:
        node.command("CLUSTER", "REPLICATE", primary)
    return bool(known)


def slots_in(lines: list[list[str]]) -> dict[str, tuple[str, ...]]:
    """Who serves which slots, in one node's view; half-moved slots are left out."""
    whole = {
        words[0]: tuple(word for word in words[8:] if not word.startswith("[")) for words in lines
    }
    # A replica tells of half-moved slots of its primary as if they were its own.
    return {node: slots for node, slots in whole.items() if slots}


def bus_port_in(words: list[str]) -> int:
    """The port that a line of CLUSTER NODES has for other nodes."""
    # Not the port for clients: where they need TLS, a node tells 0 to those who ask without.
    return int(words[1].split("@")[1].split(",")[0])


def meet(node: ClusterNode, other: ClusterNode) -> None:
    """Have a node greet another."""
    node.command("CLUSTER", "MEET", other.host, other.port, other.bus_port)

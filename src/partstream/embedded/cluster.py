"""Several servers joined as a Redis Cluster: three primaries with a replica each, as a rule."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

from partstream.embedded import resp
from partstream.embedded.cluster_node import (
    SLOTS,
    ClusterNode,
    bus_port_in,
    follow,
    meet,
    slots_in,
)
from partstream.embedded.process import Settings, TlsFiles, secret_part
from partstream.errors import StoreUnavailable

_JOIN_TIMEOUT = 60.0
_ASK_AGAIN_S = 6.0
_KEEPER = "partstream-keeper"
"""The user that we make for ourselves where an ACL file says who may do what."""


class EmbeddedCluster:
    """A Redis Cluster of local processes, which end with the process that started them.

    Data live in memory (`config={"appendonly": "yes"}` keeps them over a node's restart). At the
    start node i < `primaries` is a primary, and node i + `primaries` the first replica of node i.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 1,
        *,
        binary: str | Path | None = None,
        password: str | None = None,
        aclfile: str | Path | None = None,
        tls: TlsFiles | None = None,
        node_timeout_ms: int = 1_500,
        config: Settings | None = None,
        ports: range | None = None,
    ) -> None:
        """Prepare a cluster; `start()` or `with` starts it.

        Args:
            primaries: how many primaries share the slots evenly.
            replicas: how many replicas each primary has.
            binary: the server to run. Default: see `find_binary`.
            password: of the default user, on all nodes. Default: none is asked for.
            aclfile: the users, one a line, as in Redis's ACL files; `url` then has no login. A
                default user that it does not name may do everything without a password.
            tls: the certificates with which all ports speak TLS. Default: they do not.
            node_timeout_ms: after how long a silent node counts as down (cluster-node-timeout).
            config: more lines for the config files, which win over ours.
            ports: a port for each node. Default: free ones.

        Raises:
            NoEmbeddedServer: there is no server binary.
            OSError: the ACL file cannot be read.
        """
        self._primaries = primaries
        acl = None if aclfile is None else Path(aclfile).read_text(encoding="utf-8")
        # In one place, so that nodes which are added later are like the others.
        self._node = partial(
            ClusterNode,
            binary=binary,
            username=None if acl is None else _KEEPER,
            password=password if acl is None else secrets.token_hex(16),
            acl=acl,
            tls=tls,
            node_timeout_ms=node_timeout_ms,
            config=config,
        )
        self._made = primaries * (1 + replicas)
        self.nodes: tuple[ClusterNode, ...] = tuple(
            self._node(index, port=ports[index] if ports else 0) for index in range(self._made)
        )

    @property
    def url(self) -> str:
        """`redis+cluster://...` (`rediss+` with TLS) with the addresses of all nodes."""
        first = self.nodes[0]
        secret = secret_part(None if first.username else first.password)
        hosts = ",".join(f"{node.host}:{node.port}" for node in self.nodes)
        return f"{'rediss' if first.tls else 'redis'}+cluster://{secret}{hosts}"

    # Its life.

    def start(self) -> Self:
        """Start all nodes, join them, and wait until every slot is served and every replica linked.

        Takes about three seconds: a new primary serves nothing in its first two.

        Raises:
            StoreUnavailable: a node did not start, or they did not join within a minute.
        """
        try:
            with ThreadPoolExecutor(len(self.nodes)) as threads:
                list(threads.map(ClusterNode.start, self.nodes))
            self._join()
            self.wait_settled()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop all nodes and remove their files."""
        # At once: a replica whose primary shuts down in order is waited for, and it is all thrown
        # away.
        for node in self.nodes:
            node.kill()
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # What it looks like now.

    def live(self) -> Iterator[ClusterNode]:
        """The nodes that run and answer."""
        for node in self.nodes:
            if node.running and not node.paused:
                yield node

    def primaries(self) -> list[ClusterNode]:
        """The nodes that serve slots now, as the first live node sees it."""
        return [node for node, words in self._known() if "master" in words[2] and len(words) > 8]

    def replicas_of(self, primary: ClusterNode) -> list[ClusterNode]:
        """The running nodes that follow a primary, as the first live node sees it."""
        name = primary.node_id()
        return [node for node, words in self._known() if words[3] == name]

    def owner_of(self, slot: int) -> ClusterNode:
        """The primary that serves a slot.

        Raises:
            StoreUnavailable: none does.
        """
        for index, slots in self.slots_of().items():
            if slot in slots:
                return self.node(index)
        raise StoreUnavailable(f"nobody serves slot {slot}")

    def slots_of(self) -> dict[int, list[int]]:
        """Who serves which slots: the number of each primary that has some -> its slots."""
        served: dict[int, list[int]] = {}
        for node, words in self._known():
            for word in words[8:]:
                if not word.startswith("["):
                    first, _, last = word.partition("-")
                    served.setdefault(node.index, []).extend(
                        range(int(first), int(last or first) + 1)
                    )
        return served

    def _known(self) -> list[tuple[ClusterNode, list[str]]]:
        """Our nodes that the cluster does not count as failed, and their line in CLUSTER NODES."""
        by_port = {node.known_bus_port: node for node in self.nodes}
        lines = next(self.live()).lines()
        return [
            (by_port[bus_port_in(words)], words)
            for words in lines
            if "fail" not in words[2].split(",") and "noaddr" not in words[2]
        ]

    def node(self, index: int) -> ClusterNode:
        """The node of a number.

        Raises:
            StoreUnavailable: there is none, or none any more.
        """
        for node in self.nodes:
            if node.index == index:
                return node
        numbers = ", ".join(str(node.index) for node in self.nodes)
        raise StoreUnavailable(f"there is no node {index}: there are {numbers}")

    # What can happen to it.

    def failover(self, replica: int, mode: str = "") -> None:
        """Make a replica the primary, and wait until all live nodes see it so.

        Args:
            replica: the node's index.
            mode: empty for a hand-over in order, `FORCE` if the primary is gone, `TAKEOVER` if
                most primaries are.
        """
        node = self.node(replica)
        asked_at = 0.0

        def is_done() -> bool:
            nonlocal asked_at
            if node.is_primary():
                return True
            # Under load a hand-over may not be done in the 5 s that a primary waits for it.
            if time.monotonic() - asked_at > _ASK_AGAIN_S:
                asked_at = time.monotonic()
                node.command("CLUSTER", "FAILOVER", *([mode] if mode else []))
            return False

        self._wait(is_done, f"node {replica} to be a primary")
        self.wait_settled(replicas=not mode)

    def add_node(self, *, replica_of: ClusterNode | None = None, port: int = 0) -> ClusterNode:
        """Start one more node, and wait until all know it: a primary without slots, or a replica.

        Args:
            replica_of: the primary that it is to follow. Default: it is a primary itself.
            port: its TCP port. Default: a free one.

        Raises:
            StoreUnavailable: it did not start or join.
        """
        node = self._node(self._made, port=port)
        try:
            node.start()
            for other in self.live():
                meet(node, other)
            self._made += 1
            self.nodes = (*self.nodes, node)
            self._wait(lambda: self._settled(replicas=False), f"node {node.index} to be known")
            if replica_of is not None:
                name = replica_of.node_id()
                self._wait(partial(follow, node, name), f"node {node.index} to meet its primary")
                self.wait_settled()
        except BaseException:
            self.nodes = tuple(other for other in self.nodes if other is not node)
            node.kill()
            node.close()
            raise
        return node

    def remove_node(self, node: ClusterNode) -> None:
        """Stop a node for good, and have the others forget it.

        Raises:
            StoreUnavailable: it still serves slots (see `reshard.drain`), or not all nodes run.
        """
        down = [other.index for other in self.nodes if not other.running or other.paused]
        if down:
            raise StoreUnavailable(f"nodes {down} do not run: they would not hear of it")
        if slots_in(node.lines()).get(node.node_id()):
            raise StoreUnavailable(f"node {node.index} still serves slots: move them away first")
        name = node.node_id()
        left = tuple(other for other in self.nodes if other is not node)
        node.kill()
        for other in left:
            other.command("CLUSTER", "FORGET", name)
        self.nodes = left
        node.close()
        self.wait_settled()

    def wait_settled(self, timeout: float = _JOIN_TIMEOUT, *, replicas: bool = True) -> None:
        """Wait until all live nodes agree, every slot is served and, if asked, replicas are linked.

        Raises:
            StoreUnavailable: they did not within `timeout` seconds.
        """
        self._wait(lambda: self._settled(replicas), "the nodes to agree", timeout)

    def wait_taken_over(self, old: ClusterNode, timeout: float = _JOIN_TIMEOUT) -> None:
        """Wait until another serves the slots of `old`, which was killed, paused or cut off."""

        def gone() -> bool:
            return all(
                not (bus_port_in(words) == old.known_bus_port and len(words) > 8)
                for node in self.live()
                for words in node.lines()
            )

        self._wait(gone, f"a replica to take over from node {old.index}", timeout)
        self.wait_settled(timeout, replicas=False)

    # How.

    def _join(self) -> None:
        heads, others = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for index, node in enumerate(heads):
            first = index * SLOTS // self._primaries
            last = (index + 1) * SLOTS // self._primaries - 1
            node.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        # Everybody meets everybody: gossip alone takes seconds.
        for node in self.nodes:
            for other in self.nodes[node.index + 1 :]:
                meet(node, other)
        for node in others:
            primary = heads[node.index % self._primaries].node_id()
            self._wait(partial(follow, node, primary), f"node {node.index} to meet its primary")

    def _settled(self, replicas: bool) -> bool:
        views = []
        for node in self.live():
            info = resp.fields(node.command("CLUSTER", "INFO"))
            if info["cluster_state"] != "ok" or info["cluster_slots_ok"] != str(SLOTS):
                return False
            if info["cluster_known_nodes"] != str(len(self.nodes)):
                return False
            link = node.info("replication").get("master_link_status", "up")
            if replicas and link != "up":
                return False
            views.append(slots_in(node.lines()))
        return bool(views) and all(view == views[0] for view in views)

    def _wait(self, look: Callable[[], bool], what: str, timeout: float = _JOIN_TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, resp.CommandRefused):
                if look():
                    return
            time.sleep(0.02)
        raise StoreUnavailable(f"waited {timeout:.0f} s in vain for {what}")

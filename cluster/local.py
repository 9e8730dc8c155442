"""A Redis Cluster on this machine with one command: three primaries, three replicas, no Docker.

    python cluster/local.py start        # in the background; prints the URL
    python cluster/local.py status
    python cluster/local.py failover 4   # node 4, a replica, takes over in order
    python cluster/local.py kill 1       # SIGKILL; its replica takes over
    python cluster/local.py restart 1
    python cluster/local.py stop

`start` leaves a keeper process behind, which owns the servers: they end when it ends. The other
commands ask the keeper through a unix socket, so they work from any shell of the same user.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from partstream.embedded.cluster import ClusterNode, EmbeddedCluster
from partstream.errors import PartstreamError

HOME = Path(tempfile.gettempdir()) / f"partstream-cluster-{os.getuid()}"
SOCKET = HOME / "keeper.sock"
LOG = HOME / "keeper.log"
START_TIMEOUT = 90.0


# The keeper: owns the cluster, does what it is asked.


class Keeper:
    """Carries out the commands on the cluster that it owns."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.cluster = cluster
        self.done = threading.Event()

    def answer(self, verb: str, node: int) -> dict[str, Any]:
        """Do one command; the answer says how it went and what the cluster looks like now."""
        nodes = self.cluster.nodes
        if verb in ("kill", "restart", "pause", "resume", "failover") and not (
            0 <= node < len(nodes)
        ):
            return {"error": f"there is no node {node}: they are 0 to {len(nodes) - 1}"}
        try:
            match verb:
                case "kill":
                    nodes[node].kill()
                case "restart":
                    nodes[node].restart()
                case "pause":
                    nodes[node].pause()
                case "resume":
                    nodes[node].resume()
                case "failover":
                    self.cluster.failover(node)
                case "stop":
                    self.done.set()
                    return {"text": "stopped"}
            return {"url": self.cluster.url, "nodes": [self._row(each) for each in nodes]}
        except (PartstreamError, OSError) as error:
            return {"error": str(error)}

    def _row(self, node: ClusterNode) -> dict[str, Any]:
        row: dict[str, Any] = {"node": node.index, "port": node.port, "server": node.binary.label}
        if not node.running:
            return row | {"state": "down"}
        row["pid"] = node.pid
        if node.paused:
            return row | {"state": "paused"}
        words = next(line for line in node.lines() if "myself" in line[2])
        role = "primary" if "master" in words[2] else "replica"
        return row | {"state": "up", "role": role, "slots": " ".join(words[8:])}


class Handler(socketserver.StreamRequestHandler):
    """One question, one answer, a JSON line each."""

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        assert isinstance(self.server, Listener)
        answer = self.server.keeper.answer(asked["verb"], asked["node"])
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Listener(socketserver.UnixStreamServer):
    """Answers one question at a time."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        super().__init__(str(SOCKET), Handler)


def keep(arguments: argparse.Namespace) -> None:
    """Be the keeper: start the cluster, serve until told to stop."""
    config: dict[str, str] = {"appendonly": "yes"} if arguments.appendonly else {}
    ports = range(arguments.port, arguments.port + arguments.primaries * (1 + arguments.replicas))
    cluster = EmbeddedCluster(
        arguments.primaries,
        arguments.replicas,
        binary=arguments.binary,
        ports=ports if arguments.port else None,
        config=config,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with cluster:
        keeper = Keeper(cluster)
        SOCKET.unlink(missing_ok=True)
        with Listener(keeper) as listener:
            threading.Thread(target=listener.serve_forever, daemon=True).start()
            try:
                keeper.done.wait()
            finally:
                listener.shutdown()
                SOCKET.unlink(missing_ok=True)


# The commands.


def ask(verb: str, node: int = -1) -> dict[str, Any]:
    """Ask the keeper. Exits where there is none, or where it says no."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(SOCKET))
            link.sendall(json.dumps({"verb": verb, "node": node}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(link.makefile().readline())
    except (FileNotFoundError, ConnectionRefusedError):
        sys.exit("No local cluster runs. Start one with: python cluster/local.py start")
    if "error" in answer:
        sys.exit(answer["error"])
    return answer


def start(arguments: list[str]) -> None:
    """Leave a keeper running in the background."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    if SOCKET.exists():
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(SOCKET))
        except ConnectionRefusedError:
            SOCKET.unlink()  # its keeper was killed
        else:
            sys.exit("A local cluster runs already. See it with: python cluster/local.py status")
    with LOG.open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, __file__, "keep", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT
    while not SOCKET.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            last = LOG.read_text(errors="replace").strip().splitlines()[-5:]
            sys.exit("The cluster did not start:\n" + "\n".join(last))
        time.sleep(0.05)
    show(ask("status"))


def stop() -> None:
    """Stop the cluster, and wait until it is gone."""
    ask("stop")
    deadline = time.monotonic() + 30
    while SOCKET.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    print("stopped")


def show(answer: dict[str, Any]) -> None:
    """Print the nodes, and the URL for clients."""
    print(f"{'node':>4}  {'port':>5}  {'pid':>7}  {'state':6}  {'role':7}  {'server':13}  slots")
    for row in answer["nodes"]:
        print(
            f"{row['node']:>4}  {row['port']:>5}  {row.get('pid', ''):>7}  {row['state']:6}  "
            f"{row.get('role', ''):7}  {row['server']:13}  {row.get('slots', '')}"
        )
    print(f"\nPARTSTREAM_URL={answer['url']}")


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("start", "keep"):
        options = verbs.add_parser(verb)
        options.add_argument("--primaries", type=int, default=3)
        options.add_argument("--replicas", type=int, default=1, help="per primary (default 1)")
        options.add_argument("--port", type=int, default=0, help="the first (default: free ones)")
        options.add_argument("--binary", help="the server to run (default: what is found)")
        options.add_argument(
            "--appendonly", action="store_true", help="keep a node's data over its restart"
        )
    for verb in ("status", "stop"):
        verbs.add_parser(verb)
    for verb in ("kill", "restart", "pause", "resume", "failover"):
        verbs.add_parser(verb).add_argument("node", type=int, help="its number in `status`")
    return parser.parse_args(), sys.argv[2:]


def main() -> None:
    """Run one command."""
    arguments, rest = parse()
    match arguments.verb:
        case "start":
            start(rest)
        case "keep":
            keep(arguments)
        case "stop":
            stop()
        case "status":
            show(ask("status"))
        case verb:
            show(ask(verb, arguments.node))


if __name__ == "__main__":
    main()

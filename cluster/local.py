"""A Redis Cluster on this machine with one command: three primaries, three replicas, no Docker.

    python cluster/local.py start               # in the background; prints the URL
    python cluster/local.py status
    python cluster/local.py failover 4          # node 4, a replica, takes over in order
    python cluster/local.py kill 1              # SIGKILL; its replica takes over
    python cluster/local.py restart 1
    python cluster/local.py pause 2             # SIGSTOP; `resume 2` lets it go on
    python cluster/local.py move-slots 0-99 2   # with their keys
    python cluster/local.py add-primary         # and its replica; the slots are spread anew
    python cluster/local.py remove-primary 6
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
from urllib.parse import urlencode

from partstream.embedded.binary import all_binaries
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import SLOTS, ClusterNode
from partstream.embedded.process import TlsFiles
from partstream.embedded.reshard import drain, move_at_once, move_slots, spread_slots
from partstream.embedded.server import EmbeddedServer
from partstream.errors import PartstreamError, StoreUnavailable

HOME = Path(tempfile.gettempdir()) / f"partstream-cluster-{os.getuid()}"
SOCKET = HOME / "keeper.sock"
LOG = HOME / "keeper.log"
TLS = HOME / "tls"
START_TIMEOUT = 90.0

ON_A_NODE = ("kill", "restart", "pause", "resume", "failover", "remove-primary", "move-slots")


# The keeper: owns the cluster, does what it is asked.


class Keeper:
    """Carries out the commands on the cluster that it owns."""

    def __init__(self, cluster: EmbeddedCluster, arguments: argparse.Namespace) -> None:
        self.cluster = cluster
        self.done = threading.Event()
        self._replicas = arguments.replicas
        self._next_port = arguments.port and arguments.port + len(cluster.nodes)
        self._query = f"?{urlencode(client_options())}" if arguments.tls else ""

    def answer(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do one command; the answer says how it went and what the cluster looks like now."""
        try:
            self._do(verb, asked)
            rows = [self._row(node) for node in self.cluster.nodes]
        except (PartstreamError, OSError) as error:
            return {"error": str(error)}
        return {"url": self.cluster.url + self._query, "nodes": rows}

    def _do(self, verb: str, asked: dict[str, Any]) -> None:
        cluster = self.cluster
        match verb:
            case "stop":
                self.done.set()
            case "failover":
                cluster.failover(asked["node"])
            case "kill" | "restart" | "pause" | "resume":
                getattr(cluster.node(asked["node"]), verb)()
            case "move-slots":
                move = move_at_once if asked["at_once"] else move_slots
                move(cluster, slots_in(asked["slots"]), primary(cluster, asked["node"]))
            case "add-primary":
                self._add_primary(asked["empty"])
            case "remove-primary":
                self._remove_primary(primary(cluster, asked["node"]))

    def _add_primary(self, empty: bool) -> None:
        before = self.cluster.primaries()
        added = self.cluster.add_node(port=self._port())
        for _ in range(self._replicas):
            self.cluster.add_node(replica_of=added, port=self._port())
        if not empty:
            spread_slots(self.cluster, [*before, added])

    def _remove_primary(self, node: ClusterNode) -> None:
        if node in self.cluster.primaries():
            drain(self.cluster, node)
        for replica in self.cluster.replicas_of(node):
            self.cluster.remove_node(replica)
        self.cluster.remove_node(node)

    def _port(self) -> int:
        """The next one if ports were asked for, else any."""
        if not self._next_port:
            return 0
        self._next_port += 1
        return int(self._next_port - 1)

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


def primary(cluster: EmbeddedCluster, index: int) -> ClusterNode:
    """A node that is a primary now, with slots or without."""
    node = cluster.node(index)
    if not node.running or node.paused or not node.is_primary():
        raise PartstreamError(f"node {index} is no primary, or does not run")
    return node


def slots_in(text: str) -> list[int]:
    """The slots of `0-99,200`."""
    slots: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            slots.extend(range(int(first), int(last or first) + 1))
        except ValueError:
            raise PartstreamError(f"{part!r}: expected slots as in 0-99,200") from None
    if not slots or min(slots) < 0 or max(slots) >= SLOTS:
        raise PartstreamError(f"{text!r}: slots are 0 to {SLOTS - 1}")
    return slots


class Handler(socketserver.StreamRequestHandler):
    """One question, one answer, a JSON line each."""

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        assert isinstance(self.server, Listener)
        answer = self.server.keeper.answer(asked["verb"], asked)
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Listener(socketserver.UnixStreamServer):
    """Answers one question at a time."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        super().__init__(str(SOCKET), Handler)


def keep(arguments: argparse.Namespace) -> None:
    """Be the keeper: start the cluster, serve until told to stop."""
    config: dict[str, str] = {"appendonly": "yes"} if arguments.appendonly else {}
    tls = make_certificates() if arguments.tls else None
    ports = range(arguments.port, arguments.port + arguments.primaries * (1 + arguments.replicas))
    cluster = EmbeddedCluster(
        arguments.primaries,
        arguments.replicas,
        binary=with_tls(tls, arguments.binary) if tls else arguments.binary,
        password=arguments.password,
        aclfile=arguments.aclfile,
        tls=tls,
        ports=ports if arguments.port else None,
        config=config,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with cluster:
            keeper = Keeper(cluster, arguments)
            SOCKET.unlink(missing_ok=True)
            with Listener(keeper) as listener:
                threading.Thread(target=listener.serve_forever, daemon=True).start()
                try:
                    keeper.done.wait()
                finally:
                    listener.shutdown()
    finally:
        SOCKET.unlink(missing_ok=True)  # last of all: who stops the cluster waits for it


# TLS: an authority of our own, a certificate for the servers and one for clients.


def make_certificates() -> TlsFiles:
    """Make them with the `openssl` command, for a month.

    Raises:
        PartstreamError: there is no such command, or it failed.
    """
    TLS.mkdir(mode=0o700, exist_ok=True)
    month, key = ("-days", "31"), ("-newkey", "rsa:2048", "-nodes")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *key, *month, *usage, "-keyout", "ca.key", "-out", "ca.pem",
             "-subj", "/CN=partstream local authority")  # fmt: skip
    extensions = (
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    (TLS / "extensions").write_text(extensions, encoding="ascii")
    for name in ("server", "client"):
        request, made = f"{name}.csr", f"{name}.pem"
        _openssl("req", *key, "-keyout", f"{name}.key", "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", *month, "-in", request, "-out", made, "-CA", "ca.pem",
                 "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")  # fmt: skip
    return TlsFiles(TLS / "ca.pem", TLS / "server.pem", TLS / "server.key")


def with_tls(tls: TlsFiles, named: str | None) -> str:
    """A server binary that was built with TLS: the named one, or the first that is found.

    Raises:
        PartstreamError: there is none.
    """
    named = named or os.environ.get("PARTSTREAM_SERVER")
    for path in [named] if named else [str(binary.path) for binary in all_binaries()]:
        try:
            with EmbeddedServer(binary=path, tls=tls):
                return path
        except StoreUnavailable:
            continue
    raise PartstreamError(
        "no server binary here was built with TLS (Debian's and Ubuntu's redis-server is); "
        "name one with --binary"
    )


def _openssl(*words: str) -> None:
    try:
        subprocess.run(["openssl", *words], cwd=TLS, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise PartstreamError("--tls needs the command openssl") from None
    except subprocess.CalledProcessError as error:
        raise PartstreamError(f"openssl {words[0]}: {error.stderr.strip()}") from None


def client_options() -> dict[str, str]:
    """What a URL says so that a client trusts the servers, and they trust it."""
    names = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
    return {option: str(TLS / name) for option, name in names.items()}


# The commands.


def ask(verb: str, **words: Any) -> dict[str, Any]:
    """Ask the keeper. Exits where there is none, or where it says no."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(SOCKET))
            link.sendall(json.dumps({"verb": verb, **words}).encode() + b"\n")
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
    while SOCKET.exists():
        if time.monotonic() > deadline:
            sys.exit("The cluster is asked to stop, and still does not after 30 s.")
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
        users = options.add_mutually_exclusive_group()
        users.add_argument("--password", help="of the default user (default: none)")
        users.add_argument("--aclfile", type=Path, help="a file of users, as Redis has it")
        options.add_argument(
            "--tls", action="store_true", help="with an authority of its own (needs openssl)"
        )
    for verb in ("status", "stop"):
        verbs.add_parser(verb)
    for verb in ON_A_NODE:
        options = verbs.add_parser(verb)
        if verb == "move-slots":
            options.add_argument("slots", help="as in 0-99,200")
            options.add_argument(
                "--at-once", action="store_true", help="by atomic slot migration (Valkey 9)"
            )
        options.add_argument("node", type=int, help="its number in `status`")
    options = verbs.add_parser("add-primary")
    options.add_argument("--empty", action="store_true", help="give it no slots yet")
    return parser.parse_args(), sys.argv[2:]


def main() -> None:
    """Run one command."""
    arguments, rest = parse()
    match arguments.verb:
        case "start":
            start(rest)
        case "keep":
            try:
                keep(arguments)
            except (PartstreamError, OSError) as error:
                sys.exit(str(error))
        case "stop":
            stop()
        case "status":
            show(ask("status"))
        case verb:
            words = {name: value for name, value in vars(arguments).items() if name != "verb"}
            show(ask(verb, **words))


if __name__ == "__main__":
    main()

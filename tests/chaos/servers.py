"""The servers of a run, and what can be done to them.

A fault is a method: it strikes, waits, heals, and returns when the servers are whole again, so that
two faults never add up to more than what is promised to be survived.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from partstream.embedded import resp
from partstream.embedded.process import ServerProcess
from partstream.embedded.server import EmbeddedServer
from partstream.errors import StoreUnavailable
from tests.chaos.access import Entry
from tests.chaos.plan import Blow, Plan
from tests.servers.proxy import Fate, Proxy

_PATIENCE_S = 60.0
TORN_AT_MOST = 40_000
"""Bytes of the append-only file that a crash loses."""
_REBOOT_S = 1.0
"""A machine is away for longer. Two losses within one second may look like none: see ADR 0011."""


class Servers(ABC):
    """What all topologies have in common. Methods named after a fault make it happen."""

    url: str
    """Where clients connect."""
    inner_url: str
    """The same, without anything in between."""
    entry: Entry
    """Who gets in."""

    @abstractmethod
    def processes(self) -> list[ServerProcess]:
        """Every server process."""

    def stores(self) -> list[ServerProcess]:
        """Those that hold data."""
        return self.processes()

    @abstractmethod
    def primaries(self) -> list[ServerProcess]:
        """Those that take writes now."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Start them."""

    @abstractmethod
    async def __aexit__(self, *_: object) -> None:
        """End them."""

    def filled(self) -> None:  # noqa: B027 (most have nothing to remember then)
        """The topic and the group are there."""

    async def strike(self, blow: Blow) -> str:
        """Make a fault happen and heal it; returns what it was, in words."""
        fault: Callable[[Blow], object] = getattr(self, f"do_{blow.name}")
        done = fault(blow)
        if asyncio.iscoroutine(done):
            done = await done
        return str(done)

    async def in_thread(self, step: Callable[..., object], *args: object) -> None:
        """Run something that blocks."""
        await asyncio.to_thread(step, *args)

    def any_primary(self, blow: Blow) -> ServerProcess:
        """The primary that a blow chooses."""
        found = self.primaries()
        return found[blow.pick % len(found)]

    def keep_logs(self, folder: Path) -> None:
        """Copy the servers' logs, before they are thrown away."""
        for number, process in enumerate(self.processes()):
            with contextlib.suppress(OSError):
                shutil.copyfile(process.log, folder / f"server-{number}-{process.port}.log")

    def links(self) -> dict[ServerProcess, Counter[str]]:
        """How many connections each client has, by its name, to each server that holds data."""
        return {server: Counter(_names(server)) for server in self.stores()}

    def followed(self) -> dict[ServerProcess, ServerProcess | None]:
        """Each server that holds data, and the primary whose replica it is, if it is one."""
        about = {server: server.info("replication") for server in self.stores()}
        primaries = {
            fields["master_replid"]: server
            for server, fields in about.items()
            if fields["role"] == "master"
        }
        return {
            server: None if fields["role"] == "master" else primaries[fields["master_replid"]]
            for server, fields in about.items()
        }

    # Faults that any topology can have.

    async def do_client_kill(self, blow: Blow) -> str:
        """Cut all connections of clients to one primary."""
        server = self.any_primary(blow)
        await self.in_thread(server.command, "CLIENT", "KILL", "TYPE", "normal")
        await self.in_thread(server.command, "CLIENT", "KILL", "TYPE", "pubsub")
        return f"all clients of {server.port}"

    async def do_script_flush(self, blow: Blow) -> str:
        """Have all primaries forget their scripts."""
        for server in await asyncio.to_thread(self.primaries):
            await self.in_thread(server.command, "SCRIPT", "FLUSH")
        return "all scripts"

    async def do_full(self, blow: Blow) -> str:
        """Let one primary run out of memory for a while."""
        server = await asyncio.to_thread(self.any_primary, blow)
        used = int((await asyncio.to_thread(server.info, "memory"))["used_memory"])
        await self.in_thread(server.command, "CONFIG", "SET", "maxmemory", str(used - 10_000))
        await asyncio.sleep(blow.seconds)
        await self.in_thread(server.command, "CONFIG", "SET", "maxmemory", "0")
        return f"{server.port} for {blow.seconds} s"

    async def do_change_secret(self, blow: Blow) -> str:
        """Passwords or certificates change; whoever connects from now on needs the new ones."""
        return await self.entry.change(self.stores())

    async def pause(self, server: ServerProcess, seconds: float) -> None:
        """Freeze a server for a while."""
        server.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            server.resume()


class Standalone(Servers):
    """One server with an append-only file, behind a proxy."""

    def __init__(self, plan: Plan, folder: Path, binary: Path | None, entry: Entry) -> None:
        self.entry = entry
        self._server = EmbeddedServer(
            folder / "data",
            binary=binary,
            config={
                "appendfsync": plan.fsync,
                "auto-aof-rewrite-percentage": 0,
                **entry.settings,
            },
        )
        self._data = folder / "data"
        self._rng = random.Random(plan.seed)
        self._floor = 0

    async def __aenter__(self) -> Self:
        await self.in_thread(self._server.start)
        self._proxy = Proxy(self._server.url)
        await self._proxy.__aenter__()
        self.url, self.inner_url = self._proxy.url, self._server.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._proxy.__aexit__()
        self._server.kill()
        await self.in_thread(self._server.close)

    def processes(self) -> list[ServerProcess]:
        return [self._server]

    def primaries(self) -> list[ServerProcess]:
        return [self._server]

    def filled(self) -> None:
        self._floor = self._file().stat().st_size

    def _file(self) -> Path:
        # After a rewrite the old one may still be there for a moment.
        return max(
            self._data.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime
        )

    async def _start(self) -> None:
        await self.in_thread(self._server.start)
        self.filled()

    async def do_kill(self, blow: Blow) -> str:
        await self.in_thread(self._server.kill)
        await asyncio.sleep(blow.seconds)
        await self._start()
        return f"down for {blow.seconds} s"

    async def do_restart(self, blow: Blow) -> str:
        await self.in_thread(self._server.stop)
        await asyncio.sleep(blow.seconds / 2)
        await self._start()
        return f"down for {blow.seconds / 2} s"

    async def do_tear(self, blow: Blow) -> str:
        """A crash of the machine: what was written last never reached the disk.

        What was there when the server started has reached it by now.
        """
        await self.in_thread(self._server.kill)
        file = self._file()
        size = file.stat().st_size
        left = max(self._floor, size - blow.pick % TORN_AT_MOST)
        with file.open("r+b") as data:
            data.truncate(left)
        await asyncio.sleep(_REBOOT_S)
        await self._start()
        return f"{size - left} bytes of {size}"

    async def do_pause(self, blow: Blow) -> str:
        await self.pause(self._server, blow.seconds)
        return f"for {blow.seconds} s"

    async def do_cut(self, blow: Blow) -> str:
        self._proxy.cut()
        return "every connection"

    async def do_refuse(self, blow: Blow) -> str:
        """Nobody reaches the server."""
        self._proxy.refusing = True
        self._proxy.cut()
        await asyncio.sleep(blow.seconds)
        self._proxy.refusing = False
        return f"for {blow.seconds} s"

    async def do_lose_bytes(self, blow: Blow) -> str:
        """Connections break with what was just sent, or with what was just answered."""
        return await lose_bytes(self._proxy, self._rng, max(1.0, blow.seconds))


def _names(server: ServerProcess) -> list[str]:
    """The names of a server's clients, one a connection. The conductor's have none, and what the
    servers have to one another is left out.
    """
    found = re.findall(r" name=(\S+)", resp.text(server.command("CLIENT", "LIST")))
    return [name for name in found if not name.startswith("sentinel-")]


async def lose_bytes(proxy: Proxy, rng: random.Random, seconds: float) -> str:
    """For a while one in twenty chunks of bytes breaks its connection, before or after it."""
    before = proxy.cuts

    def fate(_: bytes) -> Fate:
        if rng.random() < 0.95:
            return Fate.PASS
        return rng.choice([Fate.CUT, Fate.PASS_AND_CUT])

    def passing(_: bytes) -> Fate:
        return Fate.PASS

    proxy.judge_request = proxy.judge_answer = fate
    await asyncio.sleep(seconds)
    proxy.judge_request = proxy.judge_answer = passing
    return f"{proxy.cuts - before} cuts"


async def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something of the servers. Blocks no loop."""
    deadline = time.monotonic() + _PATIENCE_S

    def attempt() -> bool:
        with contextlib.suppress(OSError, resp.CommandRefused, StoreUnavailable):
            return look()
        return False

    while not await asyncio.to_thread(attempt):
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"waited {_PATIENCE_S:.0f} s in vain for {what}")
        await asyncio.sleep(0.1)

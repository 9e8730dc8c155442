"""The gateways of a run: processes of `partstream serve`, to stop, to freeze and to kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

from partstream.embedded.ports import free_port
from tests.chaos.history import Crashed, Journal, Leaked, Memory, Stuck, now
from tests.chaos.names import NAMESPACE
from tests.chaos.plan import Blow

_UP_S = 60.0
_DOWN_S = 20.0
_SAMPLE_S = 2.0
_SOCKETS = 24
"""As many as a gateway may have without clients: it listens, and has three to each server."""
_UVLOOP = "Fatal error on SSL protocol"
"""What uvloop says if the other end cuts a TLS connection while there is something to read."""
_RUN = "from partstream.cli import main; main()"
_SETTINGS = {
    # A Kafka client that was killed is missed soon.
    "group_consumer_session_timeout_ms": 6_000,
    "group_consumer_heartbeat_interval_ms": 1_000,
    "request_timeout_ms": 5_000,
}


class Gateway:
    """One gateway, which keeps its port."""

    def __init__(self, number: int, url: str, login: dict[str, Any], folder: Path) -> None:
        self.name = f"gateway{number}"
        self.port = free_port()
        settings = {**_SETTINGS, **login, "client_id": self.name}
        pairs = (word for name in settings for word in ("-X", f"{name}={settings[name]}"))
        where = ("--url", url, "--namespace", NAMESPACE, "--listen", f"127.0.0.1:{self.port}")
        self._command = (sys.executable, "-c", _RUN, "serve", *where, *pairs)
        self.log = folder / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self.serves = False

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process that runs."""
        assert self._process is not None
        return self._process

    async def start(self) -> bool:
        """Start it, again and again while Redis does not answer; whether it serves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UP_S):
                # It ends by itself if Redis does not answer; that is tried again at once.
                while not await self._start_once():
                    continue
                return True
        return False

    async def _start_once(self) -> bool:
        self.serves = False
        with self.log.open("ab") as log:
            self._process = await self._spawn(log)
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if b"serves Kafka on" in line:
                self.serves = True
                return True
        await self._process.wait()
        return False

    async def _spawn(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[2],
        )

    async def stop(self, number: signal.Signals) -> bool:
        """End it; whether it has ended in time."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            async with asyncio.timeout(_DOWN_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            return False
        return True

    def sockets(self) -> int:
        """How many it has open."""
        found = 0
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(entry.readlink()).startswith("socket:")
        return found

    def kilobytes(self) -> int:
        """Its resident memory."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)


def complains(log: str) -> bool:
    """Whether a gateway's log has what must not be in it."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if "never retrieved" in line:
            return True
        if line.startswith("Traceback") and _UVLOOP not in lines[max(0, number - 3) : number]:
            return True
    return False


class Gateways:
    """All gateways of a run."""

    def __init__(
        self, count: int, url: str, login: dict[str, Any], folder: Path, journal: Journal
    ) -> None:
        self._gateways = [Gateway(number, url, login, folder) for number in range(count)]
        self._journal = journal
        self._sampling: asyncio.Task[None] | None = None

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients begin."""
        return ",".join(f"127.0.0.1:{gateway.port}" for gateway in self._gateways)

    async def begin(self) -> None:
        """Start all."""
        await asyncio.gather(*(self._start(gateway) for gateway in self._gateways))
        self._sampling = asyncio.create_task(self._sample())

    async def _start(self, gateway: Gateway) -> None:
        if not await gateway.start():
            self._journal.write(Stuck(now(), gateway.name, "did not start"))

    async def _sample(self) -> None:
        while True:
            for gateway in self._gateways:
                if not gateway.serves:
                    continue  # it is still loading itself
                # A process of its own each time: what one had grown to is gone with it.
                with contextlib.suppress(OSError):
                    name = f"{gateway.name} {gateway.process.pid}"
                    self._journal.write(Memory(now(), name, gateway.kilobytes()))
            await asyncio.sleep(_SAMPLE_S)

    async def strike(self, blow: Blow) -> str:
        """Make a fault happen to one of them."""
        gateway = self._gateways[blow.pick % len(self._gateways)]
        match blow.name:
            case "kill_gateway":
                await gateway.stop(signal.SIGKILL)
                await asyncio.sleep(blow.seconds)
                await self._start(gateway)
            case "stop_gateway":
                await self._stop(gateway)
                await self._start(gateway)
            case "pause_gateway":
                gateway.process.send_signal(signal.SIGSTOP)
                try:
                    await asyncio.sleep(blow.seconds)
                finally:
                    gateway.process.send_signal(signal.SIGCONT)
        return gateway.name

    async def _stop(self, gateway: Gateway) -> None:
        if not await gateway.stop(signal.SIGTERM):
            self._journal.write(
                Stuck(now(), gateway.name, f"did not end {_DOWN_S:.0f} s after it was asked to")
            )

    async def finish(self) -> None:
        """When no client is left: look what they still hold, and end them in order."""
        for gateway in self._gateways:
            sockets = gateway.sockets()
            self._journal.write(Leaked(now(), gateway.name, 0, max(0, sockets - _SOCKETS)))
        await self._stop_sampling()
        await asyncio.gather(*(self._stop(gateway) for gateway in self._gateways))

    async def end(self) -> None:
        """End all, whatever state they are in; what they complained of is an anomaly."""
        await self._stop_sampling()
        for gateway in self._gateways:
            if gateway._process is not None:
                await gateway.stop(signal.SIGKILL)
            text = gateway.log.read_text(encoding="utf-8") if gateway.log.exists() else ""
            if complains(text):
                self._journal.write(Crashed(now(), gateway.name, f"see {gateway.log}"))

    async def _stop_sampling(self) -> None:
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)
            self._sampling = None

"""Gateways in processes of their own, to be killed and started again on the port they had."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from partstream.embedded.ports import free_port

_RUN = "from partstream.cli import main; main()"
_UP_S = 60.0


class Served:
    """One `partstream serve`."""

    def __init__(self, url: str, namespace: str, config: dict[str, Any], log: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        pairs = (word for name in config for word in ("-X", f"{name}={config[name]}"))
        where = ("--url", url, "--namespace", namespace, "--listen", self.address)
        self._command = (sys.executable, "-c", _RUN, "serve", *where, *pairs)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Self:
        """Start it, and wait until it serves."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(_UP_S):
            while line := await self._process.stdout.readline():
                if b"serves Kafka on" in line:
                    return self
        raise AssertionError(f"it did not start:\n{self._log.read_text()[-4000:]}")

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def served(
    count: int, url: str, namespace: str, folder: Path, **config: Any
) -> AsyncIterator[list[Served]]:
    """So many gateways."""
    gateways = [
        Served(url, namespace, config, folder / f"gateway-{number}.log") for number in range(count)
    ]
    try:
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        yield gateways
    finally:
        for gateway in gateways:
            await gateway.kill()

"""Programs that a test starts, asks, and ends or kills: Kafka Streams, Connect, Faust, Quix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.foreign.groups import SOON
from tests.waiting import until


class Application:
    """One process: a line of its output is an answer if it is JSON, else a state."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.states: list[str] = []
        self._answers: asyncio.Queue[Any] = asyncio.Queue()

    async def read(self) -> None:
        """Note its states, and keep its answers."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode().strip()
            if text.startswith("{"):
                self._answers.put_nowait(json.loads(text))
            else:
                self.states.append(text)

    async def runs(self) -> None:
        """Wait until it does."""
        await until(lambda: self.states[-1:] == ["RUNNING"], within=SOON, every=0.05)

    async def ask(self, what: str) -> Any:
        """Its answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n".encode())
        async with asyncio.timeout(SOON):
            return await self._answers.get()

    async def end(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(SOON):
            await self.process.wait()

    async def kill(self) -> None:
        """End it as a crash does."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def application(
    command: Sequence[str], log: Path | None = None
) -> AsyncIterator[Application]:
    """A process of a program, which ends with the block by its own will, or is killed."""
    with (log or Path("/dev/null")).open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors if log else None,
        )
    running = Application(process)
    reading = asyncio.create_task(running.read())
    try:
        yield running
        if process.returncode is None:
            await running.end()
    finally:
        await running.kill()
        await reading

"""A gateway in a process of its own, whose memory can be watched.

`python -m tests.fuzz.target URL NAMESPACE CONFIGS` prints its port, and runs until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from partstream.gateway.server import Gateway
from tests.gateway.gateways import gateway

ROOT = Path(__file__).parents[2]


class Target:
    """A gateway that is tried out."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)

    @property
    def is_up(self) -> bool:
        """Whether the process still runs."""
        return self.process.returncode is None

    def resident(self) -> int:
        """Bytes of memory that it holds; Linux only, 0 elsewhere."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:
            return 0
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found.group(1)) * 1024 if found else 0


@contextlib.asynccontextmanager
async def target(url: str, namespace: str, **config: object) -> AsyncIterator[Target]:
    """Start one, and stop it at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz.target", url, namespace, json.dumps(config)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without pipes")
    try:
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        yield Target(process, port)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def most_files() -> int:
    """Open as many files as the system lets this process; how many that are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _serve(url: str, namespace: str, config: dict[str, Any]) -> None:
    running: Gateway
    # Topics that nobody meant would fill Redis: only those that are created are there.
    async with gateway(url, namespace, auto_create_topics_enable=False, **config) as running:
        print(running.address[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    most_files()
    asyncio.run(_serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))

"""A client in a process of its own, which does what it is told, line by line.

Every language's program speaks the same: a line of JSON says what to `do`, and a line of JSON is
the answer. So a test is written once and runs on all clients.
"""

from __future__ import annotations

import asyncio
import json
import select
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_PATIENCE = 150.0
"""Seconds that one answer may take. The programs give up after 60 by themselves."""


class Failed(Exception):
    """The client raised something."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer.get('message')}")
        self.name: str = answer["error"]
        """The name of what was raised, or Kafka's name of the error, as the client has it."""


class Agent:
    """One such process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self._members: set[str] = set()
        self._pending = b""
        self.broken = False
        """Whether it cannot be used again: it ended, did not answer, or has members of a test."""

    async def __call__(self, do: str, **values: Any) -> dict[str, Any]:
        """Let it do something; what it answers.

        Raises:
            Failed: the client raised something.
        """
        answer = await asyncio.to_thread(self.ask, do, **values)
        if do in ("join", "write"):
            self._members.add(values["member"])
        elif do in ("leave", "written"):
            self._members.discard(values["member"])
        return answer

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """The same, for whoever is not async."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        if "error" in answer:
            raise Failed(answer)
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        stdout = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([stdout], [], [], _PATIENCE)
            data = self._process.stdout.read1() if ready else b""  # type: ignore[attr-defined]
            if not data:
                self.broken = True
                raise AssertionError(f"no answer; its log ends with:\n{self.log()[-4000:]}")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line

    def log(self) -> str:
        """What it wrote to its standard error."""
        self._log.seek(0)
        return self._log.read()

    @property
    def idle(self) -> bool:
        """Whether the next test can have it."""
        return not self.broken and not self._members and self._process.poll() is None

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

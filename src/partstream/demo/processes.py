"""The processes of the demo: one that replays, and consumers that come and go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from partstream.errors import PartstreamError

_STOP_S = 15.0


class DemoFailed(PartstreamError, name="DEMO_FAILED"):
    """A process of the demo did not do what it should."""


@dataclass(slots=True)
class Worker:
    """A consumer process."""

    name: str
    process: subprocess.Popen[bytes]
    journal: Path
    killed: bool = False
    written: int = 0
    """Lines in its journal, as far as they were counted."""
    _read_to: int = field(default=0, repr=False)

    def kill(self) -> None:
        """SIGKILL: it can not even say goodbye."""
        self.process.kill()
        self.process.wait()
        self.killed = True

    def count(self) -> int:
        """Lines in its journal now."""
        with self.journal.open("rb") as journal:
            journal.seek(self._read_to)
            added = journal.read()
        self._read_to += len(added)
        self.written += added.count(b"\n")
        return self.written


@dataclass(slots=True)
class Processes:
    """All of them; they share one server, topic and group."""

    url: str
    namespace: str
    topic: str
    group: str
    session_timeout_ms: int
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    replay: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> Worker:
        """One more consumer."""
        name = f"consumer-{len(self.workers) + 1}"
        journal = self.folder / f"{name}.journal"
        journal.touch()
        arguments = ["--group", self.group, "--name", name, "--journal", str(journal)]
        arguments += ["--session-timeout-ms", str(self.session_timeout_ms)]
        worker = Worker(name, self._start("worker", name, arguments), journal)
        self.workers.append(worker)
        return worker

    def start_replay(self, rate: float) -> None:
        """The replay, at so many flights a second."""
        self.replay = self._start("replay", "replay", ["--rate", str(rate)])

    def replaying(self) -> bool:
        """Whether it is still at it.

        Raises:
            DemoFailed: it has failed.
        """
        if self.replay is None:
            return False
        code = self.replay.poll()
        if code:
            raise DemoFailed(f"the replay ended with code {code}: {self._errors('replay')}")
        return code is None

    def check(self) -> None:
        """Raise DemoFailed if a consumer has ended that nobody killed."""
        for worker in self.workers:
            code = worker.process.poll()
            if code is not None and not worker.killed:
                raise DemoFailed(
                    f"{worker.name} ended with code {code}: {self._errors(worker.name)}"
                )

    def stop(self) -> None:
        """End the consumers in good order: they leave the group.

        Raises:
            DemoFailed: one did not.
        """
        living = [worker for worker in self.workers if not worker.killed]
        for worker in living:
            worker.process.terminate()
        for worker in living:
            try:
                code = worker.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                raise DemoFailed(f"{worker.name} did not stop within {_STOP_S:g} s") from None
            if code:
                raise DemoFailed(
                    f"{worker.name} ended with code {code}: {self._errors(worker.name)}"
                )

    def kill_all(self) -> None:
        """Leave nobody behind."""
        for process in (*(worker.process for worker in self.workers), self.replay):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def _start(self, module: str, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"partstream.demo.{module}", "--url", self.url]
        command += ["--namespace", self.namespace, "--topic", self.topic, *arguments]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ended(self, worker: Worker, code: int) -> DemoFailed:
        return DemoFailed(f"{worker.name} ended with code {code}: {self._errors(worker.name)}")

    def _errors(self, name: str) -> str:
        """The last line that a process has printed."""
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


@contextmanager
def ended_with(processes: Processes) -> Iterator[Processes]:
    """See to it that no process is left, whatever happens."""
    try:
        yield processes
    finally:
        processes.kill_all()

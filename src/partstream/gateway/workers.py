"""Several processes that serve behind one address, and the one that looks after them.

Each listens on the address by itself (SO_REUSEPORT), and the system spreads connections over them.
To clients they are one broker: any of them serves any request, so it does not matter which one a
connection reaches. A worker that dies is started again; signals are passed on.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from partstream.config.gateway import GatewayConfig
from partstream.embedded.shared import acquire, is_embedded
from partstream.errors import ConfigError, PartstreamError
from partstream.gateway.listening import bind
from partstream.gateway.process import SIGNALLED, SIGNALS, run
from partstream.gateway.server import Gateway
from partstream.store.target import resolve_url

_logger = logging.getLogger(__name__)

_HEARD = (*SIGNALS, signal.SIGCHLD)
_BACKOFF_S = 0.1
_BACKOFF_MAX_S = 5.0
_STEADY_S = 10.0
"""A worker that has lived so long did not die of how it was started."""
_AT_ONCE_S = 2.0
"""How long workers may take that are to end at once."""
FAILED = 1


@dataclass(slots=True)
class _Worker:
    """One worker's place, whoever fills it."""

    number: int
    pid: int = 0
    """0: nobody does."""
    ready: int = -1
    """Where it says that it serves, until it has."""
    since: float = 0.0
    again_at: float = 0.0
    backoff: float = _BACKOFF_S


class Workers:
    """The processes behind one address."""

    def __init__(self, config: GatewayConfig, started: Callable[[str], None]) -> None:
        """Start nothing yet.

        Args:
            config: `workers` says how many.
            started: called with what the first worker says of itself when all serve.

        Raises:
            ConfigError: this system does not spread connections.
        """
        if not sys.platform.startswith("linux"):
            raise ConfigError(
                f"workers={config.workers}: expected 1: only Linux spreads connections over "
                "processes; start several gateways on ports of their own"
            )
        self._config = config
        self._started = started
        self._instance = uuid.uuid4().hex
        self._workers = [_Worker(number) for number in range(config.workers)]
        self._said = ""
        self._stopping = 0
        """How many signals to end have come."""
        self._lifeline: tuple[int, int] = (-1, -1)

    def run(self) -> int:
        """Serve until a signal comes; the exit code.

        Raises:
            ConfigError: an address cannot be had.
        """
        with _reserved(self._config) as config, _heard() as wakeup:
            self._config = config
            self._lifeline = os.pipe()
            try:
                return self._look_after(wakeup)
            finally:
                for fd in self._lifeline:
                    os.close(fd)

    def _look_after(self, wakeup: int) -> int:
        # The first one alone: what is wrong is said once.
        self._start(self._workers[0])
        told, kill_at, code = False, float("inf"), 0
        while any(worker.pid for worker in self._workers) or not self._stopping:
            for worker in self._workers:
                if not self._stopping and not worker.pid and self._said:
                    self._start_if_due(worker)
            for number in self._wait(wakeup, kill_at):
                if number == signal.SIGHUP:
                    self._tell(signal.SIGHUP)
                elif number in (signal.SIGTERM, signal.SIGINT):
                    self._stopping += 1
                    self._tell(signal.SIGTERM)
                    if self._stopping > 1:
                        code, kill_at = SIGNALLED + number, time.monotonic() + _AT_ONCE_S
            if time.monotonic() > kill_at:
                self._tell(signal.SIGKILL)
            ended = self._reap()
            if ended is not None and not self._said and not self._stopping:
                return ended  # it could not even start, and has said why
            if not told and self._said and all(one.pid and one.ready < 0 for one in self._workers):
                told = True
                self._started(self._said)
        return code

    # Processes.

    def _start_if_due(self, worker: _Worker) -> None:
        if time.monotonic() >= worker.again_at:
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        heard, saying = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            self._work(worker.number, saying)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        os.close(saying)
        worker.pid, worker.ready, worker.since = pid, heard, time.monotonic()

    def _work(self, number: int, saying: int) -> NoReturn:
        """What the new process does."""
        code = FAILED
        try:
            # Ctrl-C is for the parent, which passes it on: twice would be to end at once.
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._lifeline[1])
            for worker in self._workers:
                if worker.ready >= 0:
                    os.close(worker.ready)

            def started(gateway: Gateway) -> None:
                os.write(saying, gateway.says.encode())
                os.close(saying)

            code = run(
                self._config,
                started,
                instance=self._instance,
                number=number,
                lifeline=self._lifeline[0],
            )
        except PartstreamError as error:
            print(f"partstream: {error}", file=sys.stderr)  # noqa: T201 (a process of its own)
        except BaseException:
            _logger.exception("worker %d", number)
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            # What the parent has to do at its end is none of this process's.
            os._exit(code)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)

    def _reap(self) -> int | None:
        """Bury workers that have ended; the exit code of the last one."""
        ended = None
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            ended = os.waitstatus_to_exitcode(status)
            now = time.monotonic()
            if now - worker.since > _STEADY_S:
                worker.backoff = _BACKOFF_S
            worker.again_at = now + worker.backoff
            worker.backoff = min(worker.backoff * 2, _BACKOFF_MAX_S)
            if not self._stopping and self._said:
                _logger.error(
                    "worker %d (process %d) has ended with %d; it is started again",
                    worker.number,
                    worker.pid,
                    ended,
                )
            worker.pid = 0
            self._forget_pipe(worker)
        return ended

    def _forget_pipe(self, worker: _Worker) -> None:
        if worker.ready >= 0:
            os.close(worker.ready)
            worker.ready = -1

    def _wait(self, wakeup: int, kill_at: float) -> list[int]:
        """Wait for something to happen; the signals that have come."""
        dead = [worker.again_at for worker in self._workers if not worker.pid and self._said]
        until = min([kill_at, *([] if self._stopping else dead)])
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic())
        pipes = {worker.ready: worker for worker in self._workers if worker.ready >= 0}
        found, _, _ = select.select([wakeup, *pipes], [], [], timeout)
        for fd in found:
            if fd in pipes:
                said = os.read(fd, 4_096).decode()
                self._said = self._said or said
                self._forget_pipe(pipes[fd])
        if wakeup not in found:
            return []
        with suppress(BlockingIOError):
            return list(os.read(wakeup, 4_096))
        return []


@contextmanager
def _heard() -> Iterator[int]:
    """A pipe that gets the number of every signal that comes."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in _HEARD}
    fd = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextmanager
def _reserved(config: GatewayConfig) -> Iterator[GatewayConfig]:
    """The config with ports that are taken, and with a server that all workers share."""
    sockets = []
    listeners = []
    try:
        for listener in config.listeners:
            # Alone first: with SO_REUSEPORT nobody notices that another gateway is there.
            probe = bind(listener)
            _, port = probe.getsockname()[:2]
            probe.close()
            fixed = type(listener)(listener.name, listener.host, port, listener.protocol)
            sockets.append(bind(fixed, reuse_port=True))
            listeners.append(fixed)
        changed: dict[str, object] = {"listen": ",".join(map(str, listeners))}
        url = resolve_url(config.url)
        if is_embedded(url):
            changed["url"] = acquire(url).url
        yield config.model_copy(update=changed)
    finally:
        for one in sockets:
            one.close()

"""A Ctrl-C in a test."""

from __future__ import annotations

import signal
import threading
from typing import Any, Self


class Interrupt:
    """Interrupts the main thread once.

    It is sent until it is heard: one that comes just before a thread falls asleep does not wake it.
    """

    def __init__(self) -> None:
        self.heard = threading.Event()
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def send(self) -> None:
        """From another thread: interrupt, and wait until that is heard."""
        main = threading.main_thread().ident
        assert main is not None
        while not self.heard.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            self.heard.wait(0.05)

    def _hear(self, *_: object) -> None:
        if not self.heard.is_set():
            self.heard.set()
            raise KeyboardInterrupt

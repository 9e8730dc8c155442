"""What the programs for Python clients share: the lines, and members that poll in a thread.

These run in environments that hold nothing but the client.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

DEADLINE = 60.0
"""Seconds after which a call gives up."""

Ask = dict[str, Any]


class Refused(Exception):
    """An error with Kafka's name, where the client raises nothing that has one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def serve(calls: object, name_of: Callable[[BaseException], str]) -> None:
    """Call the method that each line of the input names; write what it gives."""
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer = getattr(calls, ask["do"])(ask) or {}
        except Exception as error:  # noqa: BLE001 (the test is told)
            name = error.name if isinstance(error, Refused) else name_of(error)
            answer = {"error": name, "message": repr(error)}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def encoded(text: str | None) -> bytes | None:
    """A key or a value as the client sends it."""
    return None if text is None else text.encode()


def headers_of(record: Ask) -> list[tuple[str, Any]]:
    """The headers of a record that is to be sent."""
    return [(name, value.encode()) for name, value in record.get("headers", ())]


def shown(
    position: tuple[int, int, int],
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] | None,
) -> Ask:
    """A record that was read, from partition, offset and timestamp on."""
    partition, offset, timestamp = position
    return {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": None if key is None else key.decode(),
        "value": None if value is None else value.decode(),
        "headers": [[name, value.decode()] for name, value in headers or ()],
    }


class Member:
    """A member of a group: it polls in a thread of its own, and commits what it has read."""

    def __init__(self) -> None:
        self.records: list[Ask] = []
        self.assigned: list[tuple[str, int]] = []
        self.events: list[tuple[str, list[tuple[str, int]]]] = []
        self.failed: str | None = None
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def poll(self) -> None:
        """Read for a moment, and commit."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the group."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def seen(self) -> Ask:
        """What it has read, and what it owns."""
        return {
            "assigned": self.assigned,
            "records": self.records,
            "events": self.events,
            "failed": self.failed,
        }

    def leave(self) -> Ask:
        """End, and tell what it has seen."""
        self.closing.set()
        self._thread.join(DEADLINE)
        return self.seen()

    def _run(self) -> None:
        try:
            while not self.closing.is_set():
                self.poll()
            self.close()
        except Exception as error:  # noqa: BLE001 (the test is told)
            self.failed = repr(error)


class Members:
    """The calls about members; `make` gives one."""

    def __init__(self, make: Callable[[Ask], Member]) -> None:
        self._make = make
        self._members: dict[str, Member] = {}

    def join(self, ask: Ask) -> None:
        """A new member."""
        member = self._members[ask["member"]] = self._make(ask)
        member.start()

    def member(self, ask: Ask) -> Ask:
        """What it has seen so far."""
        return self._members[ask["member"]].seen()

    def leave(self, ask: Ask) -> Ask:
        """Its end."""
        return self._members.pop(ask["member"]).leave()

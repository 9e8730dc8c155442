"""A consumer process of the group: `python -m partstream.demo.worker`.

It writes down each flight in its journal, and commits after that: what it had not committed when it
was killed, another one processes again. SIGTERM ends it in good order.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from partstream import Consumer, Record
from partstream.demo.flights import flight_of
from partstream.demo.journal import Entry
from partstream.errors import CommitFailed


class _Stop:
    """Set by SIGTERM; looked at between two polls."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        # Ctrl-C goes to the whole group of processes; the one that began the demo ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def main() -> None:
    """Process flights until SIGTERM."""
    parser = argparse.ArgumentParser()
    for name in ("--url", "--namespace", "--topic", "--group", "--name", "--journal"):
        parser.add_argument(name, required=True)
    parser.add_argument("--session-timeout-ms", type=int, required=True)
    arguments = parser.parse_args()
    stop = _Stop()
    with (
        Path(arguments.journal).open("a", encoding="ascii") as journal,
        Consumer(
            arguments.url,
            namespace=arguments.namespace,
            client_id=arguments.name,
            group_id=arguments.group,
            session_timeout_ms=arguments.session_timeout_ms,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer,
    ):
        consumer.subscribe([arguments.topic])
        while not stop.asked:
            records = consumer.poll(timeout=0.2)
            if not records:
                continue
            journal.writelines(_entries(records, arguments.name))
            journal.flush()
            try:
                consumer.commit()
            except CommitFailed as error:
                # We were silent for too long: whoever owns them now processes them again.
                logging.warning("%s", error)


def _entries(records: Sequence[Record], name: str) -> list[str]:
    lines = []
    for record in records:
        flight = flight_of(record.value or b"")
        entry = Entry(
            time.monotonic_ns(),
            name,
            record.partition,
            record.offset,
            flight.number,
            flight.aircraft,
            flight.miles,
        )
        lines.append(entry.line())
    return lines


if __name__ == "__main__":
    main()

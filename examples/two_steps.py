"""A chain of two processing steps, neither of which loses a record when it crashes.

Step 1 parses lines of a log, step 2 counts errors by host. Each step flushes what it produced
before it commits what it consumed. If it crashes in between, it does the last records again: at
least once. Step 2 makes that harmless by remembering the last offset that it counted.

    python examples/two_steps.py [URL]
"""

from __future__ import annotations

import json
import sys
import threading
import uuid

import partstream

LINES = [
    f"host-{number % 5} {'ERROR' if number % 7 == 0 else 'INFO'} request {number}"
    for number in range(700)
]


class Crash(Exception):
    """Step 1 fails once, on purpose."""


def parse(url: str, source: str, target: str, crash_after: int | None) -> None:
    """Step 1: a line in, an event keyed by host out."""
    parsed = 0
    with (
        partstream.Producer(url) as producer,
        partstream.Consumer(
            url,
            group_id=f"parse-{source}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=50,
        ) as consumer,
    ):
        consumer.subscribe([source])
        while records := consumer.poll(timeout=2.0):
            for record in records:
                host, level, text = record.value.decode().split(" ", 2)
                event = {
                    "level": level,
                    "text": text,
                    "from": [record.partition, record.offset],
                }
                producer.send(target, json.dumps(event).encode(), key=host.encode())
            producer.flush()
            parsed += len(records)
            if crash_after is not None and parsed >= crash_after:
                raise Crash("between producing and committing")
            consumer.commit()


def count(url: str, target: str, expected: int) -> dict[str, int]:
    """Step 2: errors by host; an event that comes a second time is not counted."""
    errors: dict[str, int] = {}
    counted: set[tuple[int, int]] = set()
    with partstream.Consumer(
        url, group_id=f"count-{target}", auto_offset_reset="earliest"
    ) as consumer:
        consumer.subscribe([target])
        while len(counted) < expected:
            for record in consumer.poll(timeout=2.0):
                event = json.loads(record.value)
                origin = (event["from"][0], event["from"][1])
                if origin in counted:
                    continue
                counted.add(origin)
                host = record.key.decode()
                errors[host] = errors.get(host, 0) + (event["level"] == "ERROR")
    return errors


def main(url: str) -> None:
    mark = uuid.uuid4().hex[:6]
    source, target = f"lines-{mark}", f"events-{mark}"
    with partstream.Admin(url) as admin:
        admin.create_topic(source, partitions=3)
        admin.create_topic(target, partitions=3)
    with partstream.Producer(url) as producer:
        for line in LINES:
            producer.send(source, line.encode())
    counts: list[dict[str, int]] = []
    counting = threading.Thread(
        target=lambda: counts.append(count(url, target, len(LINES))), daemon=True
    )
    counting.start()
    try:
        parse(url, source, target, crash_after=200)
    except Crash as crash:
        print("step 1 crashed", crash)
    parse(url, source, target, crash_after=None)
    counting.join(timeout=30)
    expected = {
        f"host-{host}": sum("ERROR" in line and line.startswith(f"host-{host} ") for line in LINES)
        for host in range(5)
    }
    print("errors by host:", dict(sorted(counts[0].items())))
    assert counts[0] == expected


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded:")

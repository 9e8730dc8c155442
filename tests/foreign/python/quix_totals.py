"""A Quix Streams application with state: the running total of each key, into another topic.

Arguments: bootstrap servers, its name, the topic to read, the topic to write, a folder.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application

bootstrap, name, source, target, folder = sys.argv[1:]

app = Application(
    broker_address=bootstrap,
    consumer_group=name,
    state_dir=folder,
    auto_offset_reset="earliest",
    commit_interval=0.2,
    loglevel="WARNING",
    consumer_extra_config={"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500},
)


def add(number: str, state: Any) -> str:
    """The total of the key that the number belongs to."""
    total = state.get("total", 0) + int(number)
    state.set("total", total)
    return str(total)


numbers = app.topic(source, key_deserializer="bytes", value_deserializer="str")
totals = app.topic(target, key_serializer="bytes", value_serializer="str")
app.dataframe(numbers).apply(add, stateful=True).to_topic(totals)

if __name__ == "__main__":
    app.run()

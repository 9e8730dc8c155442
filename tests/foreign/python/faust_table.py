"""A Faust application with a table: it adds up the numbers of each key, in memory.

Arguments: bootstrap servers, its name, the topic to read. To each line of its input it answers with
the table.
"""

from __future__ import annotations

import asyncio
import json
import sys

import faust

bootstrap, name, source, folder = sys.argv[1:]
sys.argv[1:] = []

app = faust.App(
    name,
    broker=f"kafka://{bootstrap}",
    store="memory://",
    datadir=folder,
    topic_partitions=2,
    broker_commit_interval=0.2,
    broker_heartbeat_interval=0.5,
    broker_session_timeout=6.0,
    web_enabled=False,
)
numbers = app.topic(source, key_type=bytes, value_type=bytes, key_serializer="raw")
totals = app.Table("totals", default=int)


async def add(stream: faust.StreamT[bytes]) -> None:
    """Add each number to its key's total."""
    async for key, value in stream.items():
        totals[key.decode()] += int(value)


async def answer() -> None:
    """Say what is in the table, whenever asked."""
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(dict(totals.items())), flush=True)


# Not as decorators: they have no types.
app.agent(numbers)(add)
app.task(answer)

if __name__ == "__main__":
    faust.Worker(app, loglevel="warn", redirect_stdouts=False).execute_from_commandline()

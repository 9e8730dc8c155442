"""A consumer in a process of its own, which tests may kill or stop: it says what it does.

Each line is a JSON list: an event and what belongs to it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from partstream.client.consumer import Consumer
from partstream.client.listener import RebalanceListener
from partstream.errors import CommitFailed
from partstream.model import TopicPartition


def say(*what: Any) -> None:
    print(json.dumps(what), flush=True)


class Listener(RebalanceListener):
    """Tells of partitions that come and go."""

    def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        say("assigned", *sorted(name.partition for name in partitions))

    def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        say("revoked", *sorted(name.partition for name in partitions))

    def on_partitions_lost(self, partitions: frozenset[TopicPartition]) -> None:
        say("lost", *sorted(name.partition for name in partitions))


async def main(url: str, namespace: str, topic: str, work_s: float, config: dict[str, Any]) -> None:
    async with Consumer(url, namespace=namespace, **config) as reader:
        await reader.subscribe([topic], listener=Listener())
        while True:
            records = await reader.poll(timeout=0.1)
            for record in records:
                await asyncio.sleep(work_s)
                say("record", record.partition, record.offset, time.time())
            if records:
                try:
                    await reader.commit()
                except CommitFailed as error:
                    say("refused", str(error))


if __name__ == "__main__":
    _, server, prefix, name, pace, configs = sys.argv
    asyncio.run(main(server, prefix, name, float(pace), json.loads(configs)))

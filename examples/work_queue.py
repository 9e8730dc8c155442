"""A work queue with back-pressure.

Jobs come in faster than two workers can do them. The consumer takes only as many jobs as the
workers have room for, and pauses its partitions until there is room again. The producer looks at
the group's lag and waits while too many jobs are queued. Jobs for one customer stay in order.

    python examples/work_queue.py [URL]
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid

from partstream import OffsetAndMetadata, Record, TopicPartition, aio
from partstream.errors import GroupIdNotFound

JOBS = 300
MOST_QUEUED = 100
MOST_IN_HAND = 20


async def submit(url: str, topic: str, group: str) -> int:
    """Submit the jobs, and wait whenever more than MOST_QUEUED are waiting. The longest queue."""
    longest = 0
    async with aio.Producer(url) as producer, aio.Admin(url) as admin:
        for number in range(JOBS):
            job = json.dumps({"job": number}).encode()
            await producer.send(topic, job, key=b"customer-%d" % (number % 10))
            if number % 25:
                continue
            await producer.flush()
            while (queued := await lag(admin, group)) > MOST_QUEUED:
                longest = max(longest, queued)
                await asyncio.sleep(0.02)
            longest = max(longest, queued)
    return longest


async def lag(admin: aio.Admin, group: str) -> int:
    """How many jobs nobody has finished yet."""
    try:
        description = await admin.describe_group(group)
    except GroupIdNotFound:
        return 0  # no worker has joined yet
    return sum(entry.lag or 0 for entry in description.lags)


async def work(url: str, topic: str, group: str, name: str, done: list[int]) -> None:
    """Do jobs, a few at a time, until all are done."""
    async with aio.Consumer(
        url, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        await consumer.subscribe([topic])
        while len(done) < JOBS:
            records = await consumer.poll(max_records=MOST_IN_HAND, timeout=0.2)
            if not records:
                continue
            # While these are in hand, no more are fetched: that is the back-pressure.
            consumer.pause(*consumer.assignment())
            await asyncio.gather(*(one_after_another(chain, done) for chain in by_key(records)))
            consumer.resume(*consumer.paused())
            await consumer.commit(after(records))
        print(f"{name} is finished")


def by_key(records: list[Record]) -> list[list[Record]]:
    """Jobs of one customer are done in order, those of different ones at the same time."""
    chains: dict[bytes | None, list[Record]] = {}
    for record in records:
        chains.setdefault(record.key, []).append(record)
    return list(chains.values())


async def one_after_another(chain: list[Record], done: list[int]) -> None:
    for record in chain:
        await asyncio.sleep(0.002)
        done.append(json.loads(record.value)["job"])


def after(records: list[Record]) -> dict[TopicPartition, OffsetAndMetadata]:
    """The positions behind these records."""
    return {
        TopicPartition(record.topic, record.partition): OffsetAndMetadata(record.offset + 1)
        for record in records
    }


async def main(url: str) -> None:
    topic, group = f"jobs-{uuid.uuid4().hex[:6]}", f"workers-{uuid.uuid4().hex[:6]}"
    done: list[int] = []
    async with aio.Admin(url) as admin:
        await admin.create_topic(topic, partitions=4)
        workers = [
            asyncio.create_task(work(url, topic, group, f"worker {number}", done))
            for number in (1, 2)
        ]
        longest = await submit(url, topic, group)
        await asyncio.gather(*workers)
    per_customer = [[job for job in done if job % 10 == customer] for customer in range(10)]
    assert sorted(set(done)) == list(range(JOBS)), "a job was lost"
    assert all(jobs == sorted(jobs) for jobs in per_customer), "a customer's jobs changed order"
    print(f"{JOBS} jobs done, each customer's in order; the longest queue was {longest}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded:"))

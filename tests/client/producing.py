"""What tests of the producer share: topics, and what their logs hold afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from partstream.engine.topics import Topics
from partstream.model import Record
from partstream.store.store import Store
from tests.engine.logs import check, read


async def make_topic(
    url: str, namespace: str, name: str, partitions: int = 1, **config: object
) -> None:
    """Create a topic; configs by Kafka's names with `_` for `.`."""
    store = await Store.connect(url, namespace=namespace)
    topics = Topics(store)
    try:
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        await topics.create(name, partitions, dotted)
    finally:
        topics.close()
        await store.close()


async def logs(url: str, namespace: str, topic: str) -> list[list[Record]]:
    """All that a topic holds, a list for each partition; its keys are checked on the way."""
    store = await Store.connect(url, namespace=namespace)
    topics = Topics(store)
    try:
        found = []
        for partition in (await topics.get(topic)).partitions:
            await check(store, partition)
            found.append(await read(store, partition))
        return found
    finally:
        topics.close()
        await store.close()


async def values(url: str, namespace: str, topic: str) -> list[list[bytes | None]]:
    """As `logs`, the values only."""
    return [[record.value for record in log] for log in await logs(url, namespace, topic)]


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Values that tell their place."""
    return [b"%06d" % number for number in range(start, start + count)]


def assert_once_in_order(log: Sequence[bytes | None], expected: Sequence[bytes]) -> None:
    """Nothing twice, nothing missing, and in order; says where it is not so."""
    if list(log) == list(expected):
        return
    doubled = sorted({value for value in log if value is not None and log.count(value) > 1})
    missing = [value for value in expected if value not in log]
    pairs = enumerate(zip(log, expected, strict=False))
    wrong = next((n for n, pair in pairs if pair[0] != pair[1]), None)
    raise AssertionError(
        f"{len(log)} records for {len(expected)}; twice: {doubled[:5]}; missing: {missing[:5]}; "
        f"first out of place: {wrong}"
    )

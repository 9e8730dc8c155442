"""Requests that speak of many partitions: all are asked at once, and their answers come in order.

Commands to one server of Redis go out in one stream, so a thousand wait little longer than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from partstream.engine.partition import Topic
from partstream.errors import PartstreamError, UnknownTopicId
from partstream.gateway.broker import Broker
from partstream.gateway.faults import UNKNOWN_TOPIC_OR_PARTITION, code_of

A = TypeVar("A")
T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]
"""Of an answer."""

_AT_ONCE = 256
"""Of one request."""


async def side_by_side(work: Callable[[A], Awaitable[T]], items: Sequence[A]) -> list[T]:
    """What comes of each, in their order."""
    if len(items) < 2:
        return [await work(item) for item in items]
    done: dict[int, T] = {}
    places = iter(enumerate(items))

    async def some() -> None:
        for place, item in places:
            done[place] = await work(item)

    await asyncio.gather(*(some() for _ in range(min(_AT_ONCE, len(items)))))
    return [done[place] for place in range(len(items))]


async def per_partition(
    broker: Broker,
    topics: Sequence[tuple[str, Sequence[A]]],
    work: Callable[[Topic, A], Awaitable[Row]],
    refused: Callable[[A, int, PartstreamError], Row],
    check: Callable[[str, A], None] | None = None,
) -> list[list[Row]]:
    """The rows of an answer, topic by topic.

    Args:
        broker: knows the topics.
        topics: each topic's name, and what is asked of its partitions.
        work: gives the row of a partition.
        refused: gives it if that failed, or there is no such topic, with the error's code.
        check: raises what is wrong whether or not there is such a topic.
    """
    # Each name is looked up once: what is known of a topic is as long as it has partitions.
    names = list({name: None for name, many in topics if many})
    found = dict(zip(names, await side_by_side(partial(_topic, broker), names), strict=True))

    async def row(asked: tuple[str, A]) -> Row:
        name, one = asked
        topic = found[name]
        try:
            if check is not None:
                check(name, one)
            if isinstance(topic, PartstreamError):
                raise topic
            return await work(topic, one)
        except UnknownTopicId as error:
            # It was deleted, and whoever calls it by its name does not know its id.
            return refused(one, UNKNOWN_TOPIC_OR_PARTITION, error)
        except PartstreamError as error:
            return refused(one, code_of(error), error)

    rows = iter(await side_by_side(row, [(name, one) for name, many in topics for one in many]))
    return [[next(rows) for _ in many] for _, many in topics]


async def _topic(broker: Broker, name: str) -> Topic | PartstreamError:
    try:
        return await broker.named(name, None)
    except PartstreamError as error:
        return error

"""What is known of leader epochs, and how often Redis is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from partstream.config.topic import TopicConfig
from partstream.engine.log import Log
from partstream.engine.partition import Partition, Topic, decode_topic, encode_topic
from partstream.errors import ClosedClient, StoreUnavailable
from partstream.gateway import epochs as epochs_module
from partstream.gateway.epochs import Epochs
from partstream.store.keys import Keys
from tests.waiting import until

COUNT = 3


class Asked:
    """A log whose answers are waited for."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()
        self.answers = asyncio.Event()
        self.fails = False

    async def bounds(self, partition: Partition) -> Any:
        self.times[partition.index] += 1
        await self.answers.wait()
        if self.fails:
            raise StoreUnavailable("it is away")
        return SimpleNamespace(leader_epoch=10 + partition.index)


def topic(partitions: int = COUNT) -> Topic:
    row = encode_topic("id", partitions, TopicConfig(), 1)
    return decode_topic(Keys("ps"), "t", row)


def made() -> tuple[Asked, Epochs]:
    asked = Asked()
    return asked, Epochs(cast("Log", asked))


async def test_all_who_ask_share_one_look() -> None:
    asked, epochs = made()
    waiting = [asyncio.create_task(epochs.of(topic())) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # a client that hangs up
    await asyncio.sleep(0)
    asked.answers.set()
    assert await asyncio.gather(*waiting[1:]) == [[10, 11, 12]] * 49
    assert waiting[0].cancelled()
    assert asked.times == dict.fromkeys(range(COUNT), 1)
    assert await epochs.of(topic()) == [10, 11, 12]
    assert asked.times == dict.fromkeys(range(COUNT), 1), "it is known for a while"


async def test_a_topic_that_has_grown_is_looked_at_anew() -> None:
    asked, epochs = made()
    before = asyncio.create_task(epochs.of(topic()))
    await asyncio.sleep(0)
    after = asyncio.create_task(epochs.of(topic(4)))
    await asyncio.sleep(0)
    asked.answers.set()
    assert await before == [10, 11, 12]
    assert await after == [10, 11, 12, 13]


async def test_partitions_that_cannot_be_asked() -> None:
    asked, epochs = made()
    asked.fails = True
    asked.answers.set()
    assert await epochs.of(topic()) == [-1] * COUNT


async def test_nobody_waits_long_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(epochs_module, "_PATIENCE_S", 0.01)
    asked, epochs = made()
    assert await epochs.of(topic()) == [-1] * COUNT
    asked.answers.set()
    await until(lambda: epochs._known)
    assert await epochs.of(topic()) == [10, 11, 12]
    monkeypatch.setattr(epochs_module, "_FRESH_S", 0.0)
    epochs._known["id"] = (0.0, [7, 8, 9])
    asked.answers.clear()
    assert await epochs.of(topic()) == [7, 8, 9]
    await epochs.close()


async def test_who_still_waits_at_the_end_is_told() -> None:
    _, epochs = made()
    waiting = asyncio.create_task(epochs.of(topic()))
    await asyncio.sleep(0)
    await epochs.close()
    with pytest.raises(ClosedClient):
        await waiting

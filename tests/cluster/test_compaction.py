"""Compacted topics on a Redis Cluster: cleaned in their slots, also while those move."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import SlotMove
from partstream.engine.compaction.cleaner import upkeep
from partstream.store.scripts import Script
from partstream.store.store import Store
from tests.engine.compacting import (
    check_compacted,
    clean_now,
    half_cleaned,
    last_of,
    left_of,
    updates,
)
from tests.engine.logs import Engine, engine
from tests.engine.mortal import Watched

pytestmark = pytest.mark.faults

CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": 1_024,
    "min.cleanable.dirty.ratio": 0,
    "delete.retention.ms": 0,
}


class Writer:
    """Updates keys of one partition, and remembers their last values."""

    def __init__(self, own: Engine) -> None:
        self.own = own
        self.values: dict[bytes, bytes] = {}
        self.number = 0

    async def write(self, batches: int) -> None:
        """Append so many batches."""
        partition = (await self.own.topics.get("t")).partitions[0]
        for _ in range(batches):
            pairs = []
            for _ in range(4):
                self.number += 1
                pairs.append((b"k%d" % (self.number * 7 % 11), b"%d" % self.number + b"x" * 80))
            await self.own.log.append(partition, updates(*pairs))
            self.values |= dict(pairs)


@pytest.mark.every_server
async def test_it_is_cleaned_while_its_slot_moves(fresh_cluster: EmbeddedCluster) -> None:
    async with engine(fresh_cluster.url, "ps") as own:
        topic = await own.topics.create("t", 3, CONFIG)
        partition = topic.partitions[0]
        writer = Writer(own)
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await writer.write(20)
        owner = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        primaries = await asyncio.to_thread(fresh_cluster.primaries)
        target = next(node for node in primaries if node is not owner)
        move = SlotMove(fresh_cluster, partition.slot, target)
        await asyncio.to_thread(move.begin)
        # All keys are at the source still, and every one that scripts declare is there.
        assert await clean_now(own, partition) is not None
        await writer.write(20)
        await asyncio.to_thread(move.move_keys, 3)
        cleaning = asyncio.create_task(clean_now(own, partition))  # meets TRYAGAIN
        await asyncio.sleep(0.1)
        await asyncio.to_thread(move.move_keys)
        assert await cleaning is not None
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await asyncio.to_thread(move.finish)
        await writer.write(20)
        assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)
        assert last_of(await left_of(own, partition)) == writer.values
        await own.topics.delete("t")
        for node in await asyncio.to_thread(fresh_cluster.primaries):
            assert await asyncio.to_thread(node.command, "KEYS", "ps:*:t:*") == []


class Step(NamedTuple):
    """A call of a cleaner: the nth of a script, before the server has heard of it or after."""

    script: str
    nth: int = 1
    answered: bool = False


Deed = Callable[[], Awaitable[None]]


class Eventful(Watched):
    """A store that does something at chosen calls."""

    def __init__(self, store: Store, deeds: dict[Step, Deed]) -> None:
        super().__init__(store)
        self._deeds = deeds
        self._seen = Counter[str]()

    async def around(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        script = args[0].name if isinstance(args[0], Script) else args[0]
        self._seen[script] += 1
        await self._do(Step(script, self._seen[script]))
        answer = await call(*args, **kwargs)
        await self._do(Step(script, self._seen[script], answered=True))
        return answer

    async def _do(self, step: Step) -> None:
        deed = self._deeds.pop(step, None)
        if deed is not None:
            await deed()


class Loss(NamedTuple):
    """What the replica did not get, and what the cleaner did after the failover."""

    killed: Step
    """Where the primary dies."""
    cut: Step | None
    """From where on the replica gets nothing; None: it gets all."""
    given_up: bool


LOSSES = {
    "the beginning": Loss(Step("clean/add"), Step("clean/begin"), given_up=True),
    "an entry": Loss(Step("clean/add", 3), Step("clean/add", 2), given_up=True),
    "the last entries": Loss(Step("clean/swap"), Step("clean/add", 3), given_up=True),
    "nothing": Loss(Step("clean/swap"), None, given_up=False),
    "the swap": Loss(Step("clean/trim"), Step("clean/swap"), given_up=False),
    "a trim": Loss(Step("clean/trim", answered=True), Step("clean/trim"), given_up=False),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
async def test_a_failover_takes_back_steps_of_a_cleaner(
    fresh_cluster: EmbeddedCluster, loss: Loss
) -> None:
    """The replica has a beginning of what was written; the cleaner lives, and goes on with it."""
    async with engine(fresh_cluster.url, "ps") as own:
        partition = await half_cleaned(own, "t")
        acknowledged = await left_of(own, partition)
        values = last_of(acknowledged)
        primary = await asyncio.to_thread(fresh_cluster.owner_of, partition.slot)
        (replica,) = await asyncio.to_thread(fresh_cluster.replicas_of, primary)

        async def cut() -> None:
            await own.log.barrier(partition).confirm()
            replica.pause()  # or it would connect again
            await asyncio.to_thread(primary.command, "CLIENT", "KILL", "TYPE", "replica")
            await own.log.append(partition, updates((b"k1", b"lost"), (b"k2", None), (b"l", b"")))

        async def kill() -> None:
            if loss.cut is None:
                await own.log.barrier(partition).confirm()
            await asyncio.to_thread(primary.kill)
            replica.resume()
            await asyncio.to_thread(fresh_cluster.wait_taken_over, primary)

        deeds: dict[Step, Deed] = {loss.killed: kill}
        if loss.cut is not None:
            deeds[loss.cut] = cut
        store: Any = Eventful(own.store, deeds)
        done = await upkeep(store, await own.topics.get("t"), partition, force=True)
        assert not deeds
        assert (done is None) == loss.given_up
        assert last_of(await left_of(own, partition)) == values
        # What was cleared away, and came back with the failover, was cleared away again.
        await check_compacted(own.store, partition)

        end = acknowledged[-1].offset + 1
        for number in range(20):
            pairs = [(b"k%d" % key, b"%d" % number + b"x" * 900) for key in range(number, 30)]
            appended = await own.log.append(partition, updates(*pairs))
            assert appended.base_offset == end, "what was lost left no gap"
            end += len(pairs)
            values |= dict(pairs)
        assert await clean_now(own, partition) is not None
        await check_compacted(own.store, partition)
        left = await left_of(own, partition)
        assert last_of(left) == values
        assert {one for one in left if one.offset <= acknowledged[-1].offset} < set(acknowledged)

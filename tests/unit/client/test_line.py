"""A line against a model of its partition: whatever breaks, once and in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from partstream import errors
from partstream.client.accumulator import Accumulator, Batch, Queue
from partstream.client.delivery import Delivery
from partstream.client.line import Line
from partstream.client.losses import LogLoss
from partstream.config.build import load
from partstream.config.producer import ProducerConfig
from partstream.config.topic import TopicConfig
from partstream.engine.log import Log
from partstream.engine.partition import Topic, decode_topic, encode_topic
from partstream.model import TopicPartition
from partstream.records.codec import BatchBuilder, decode
from partstream.store.keys import Keys
from partstream.store.store import Store
from tests.unit.client.partition_model import PartitionModel, State
from tests.waiting import until


class Sender:
    """The rest of a producer, around one line."""

    def __init__(self, model: PartitionModel, **config: Any) -> None:
        self.config = load(
            ProducerConfig,
            {
                "linger_ms": 0,
                "batch_size": 100,
                "retry_backoff_ms": 0,
                "retry_backoff_max_ms": 0,
                **config,
            },
        )
        self.producer_id = 7
        self.model = model
        self.log = cast(Log, model)
        self.losses: list[LogLoss] = []
        self.topic = decode_topic(Keys("ps"), "t", encode_topic("id", 1, TopicConfig(), 1))
        self.queue = Queue(TopicPartition("t", 0), codec=0, limit=1 << 20)
        self.line = Line(self, self.topic, self.topic.partitions[0], self.queue)
        self.accumulator = Accumulator(
            batch_size=self.config.batch_size,
            buffer_memory=1 << 30,
            max_request_size=1 << 20,
            on_open=lambda _: self.line.opened(),
            on_full=lambda _: self.line.filled(),
        )

    @property
    def store(self) -> Store:
        return cast(Store, self.model)

    async def refresh(self, name: str) -> Topic:
        return self.topic

    def sealed(self, queue: Queue) -> None:
        assert queue is self.queue

    def settled(self, batch: Batch) -> None:
        assert batch.outcome.done()
        self.accumulator.release(batch)

    def lost(self, loss: LogLoss) -> None:
        self.losses.append(loss)

    def send(self, value: bytes) -> Delivery:
        delivery = self.accumulator.begin_batch(self.queue, 5, None, value, [])
        assert delivery is not None
        return delivery

    async def close(self) -> None:
        assert self.line._batches() == []
        assert self.accumulator.free == 1 << 30, "memory was given back once, or twice"
        assert await self.line.abandon(errors.ClosedClient()) == 0


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_breaks_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    sender = Sender(
        PartitionModel(rng, trouble=rng.choice([0.0, 0.05, 0.2, 0.4])),
        batch_size=rng.choice([0, 100, 300]),
        max_in_flight_requests_per_connection=rng.choice([1, 2, 5, 5]),
    )
    sent = []
    for number in range(200):
        sent.append(sender.send(b"%03d" % number))
        await let_go_on(rng)
    await sender.line.finish()
    assert [delivery.result(0).offset for delivery in sent] == list(range(200))
    assert list(sender.model.state.values) == [b"%03d" % number for number in range(200)]
    assert sender.losses == []
    await sender.close()


@pytest.mark.parametrize("seed", range(60))
async def test_crashes_that_take_records_back(seed: int) -> None:
    """What was acknowledged and lost is reported; all the rest is there, once and in order."""
    rng = random.Random(1_000 + seed)
    model = PartitionModel(rng, trouble=rng.choice([0.0, 0.1, 0.3]))
    sender = Sender(model, batch_size=rng.choice([0, 100]))
    # Epochs are used up soon, and then it takes another producer id.
    sender.line._numbering._epoch = rng.choice([0, 2**15 - 4])
    sent: dict[bytes, Delivery] = {}
    past: list[State] = [model.state]
    for number in range(300):
        value = b"%03d" % number
        sent[value] = sender.send(value)
        await let_go_on(rng)
        if rng.random() < 0.03:
            past.append(model.state)
        if rng.random() < 0.01:
            model.crash(rng.choice(past[-2:]))
            past = [model.state]
            await sender.line.finish()
    await sender.line.finish()
    last = sender.send(b"last")  # its answer tells of a crash that came after all the others
    await sender.line.finish()
    for _ in range(200):
        await asyncio.sleep(0)

    log = list(model.state.values)
    assert log.pop() == b"last"
    assert last.exception(0) is None
    assert log == sorted(set(log)), "out of order, or twice"
    acknowledged = {v: d.result(0).offset for v, d in sent.items() if d.exception(0) is None}
    assert len(acknowledged) == len(sent), "nothing was given up"
    missing = sorted(set(acknowledged) - set(log))
    assert set(missing) <= set(model.lost)
    for value in missing:
        offset = acknowledged[value]
        assert any(loss.first_offset <= offset < loss.next_offset for loss in sender.losses), (
            f"{value!r} at {offset} is gone, and nobody said so: {sender.losses}"
        )
    if not model.lost:
        assert sender.losses == []
    await sender.close()


@pytest.mark.parametrize("seed", range(30))
async def test_what_is_given_up_leaves_the_rest_in_order(seed: int) -> None:
    """Batches whose time is over while they are under way, waiting, or still open.

    This takes a server that hears no more of connections that broke: a copy of a batch that was
    given up may not come to life when what followed it has begun anew.
    """
    rng = random.Random(2_000 + seed)
    model = PartitionModel(rng, trouble=0.3, fenced=True)
    sender = Sender(model, batch_size=rng.choice([0, 100]))
    sent = {}
    for number in range(200):
        value = b"%03d" % number
        sent[value] = sender.send(value)
        await let_go_on(rng)
        if rng.random() < 0.03:
            for batch in sender.line._batches()[: rng.randrange(4)]:
                batch.created -= 1_000
            sender.line._expire()
    await sender.line.finish()
    await asyncio.sleep(0)
    log = list(model.state.values)
    assert log == sorted(set(log)), "out of order, or twice"
    failed = [value for value, delivery in sent.items() if delivery.exception(0) is not None]
    assert all(isinstance(sent[value].exception(0), errors.DeliveryTimeout) for value in failed)
    assert set(sent) - set(failed) <= set(log)
    for value in set(sent) - set(failed):
        assert log[sent[value].result(0).offset] == value
    await until_settled(sender)
    await sender.close()


async def let_go_on(rng: random.Random) -> None:
    """For some steps of the loop, or none."""
    for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 1, 2, 5])):
        await asyncio.sleep(0)


async def until_settled(sender: Sender) -> None:
    """What is given up under way keeps its place, and its memory, until its answer comes."""
    await until(lambda: not sender.line.moving, every=0)


async def test_acks_0_is_sent_once() -> None:
    model = PartitionModel(random.Random(5), trouble=0.0)
    sender = Sender(model, acks=0)
    wanted = [b"%02d" % number for number in range(50)]
    deliveries = [sender.send(value) for value in wanted]
    await sender.line.finish()
    assert [delivery.result(0).offset for delivery in deliveries] == [-1] * 50
    assert list(model.state.values) == wanted, "flush waits until they have left"
    await sender.close()


@pytest.mark.parametrize("acks", [0, 1])
async def test_a_batch_that_cannot_be_encoded_fails_alone(
    monkeypatch: pytest.MonkeyPatch, acks: int
) -> None:
    """Whatever it is that a codec raises, and however the partition answers meanwhile."""
    build = BatchBuilder.build

    def build_or_fail(builder: BatchBuilder, *numbers: int) -> bytes:
        batch = build(builder, *numbers)
        if int(decode(batch, "t", 0, 0)[0].value) % 7 == 3:
            raise MemoryError("no room")
        return batch

    monkeypatch.setattr(BatchBuilder, "build", build_or_fail)
    rng = random.Random(3)
    model = PartitionModel(rng, trouble=0.2 if acks else 0.0)
    sender = Sender(model, acks=acks, batch_size=0)
    sent = []
    for number in range(60):
        sent.append(sender.send(b"%02d" % number))
        await let_go_on(rng)
    async with asyncio.timeout(10):
        await sender.line.finish()
    for number in range(3, 60, 7):
        with pytest.raises(errors.PartstreamError, match=r"t-0 cannot be encoded.*no room") as it:
            sent[number].result(0)
        assert isinstance(it.value.__cause__, MemoryError)
    wanted = [number for number in range(60) if number % 7 != 3]
    assert [int(value) for value in model.state.values] == wanted
    if acks:
        assert [sent[number].result(0).offset for number in wanted] == list(range(len(wanted)))
    await sender.close()

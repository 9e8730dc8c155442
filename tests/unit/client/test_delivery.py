"""Delivery handles, without a client."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc

import pytest

from partstream.client.delivery import Delivery, Outcome, Placed
from partstream.errors import ClientTimeout, DeliveryTimeout, RecordTooLarge
from partstream.model import RecordMetadata, TopicPartition

WHERE = TopicPartition("t", 3)


def test_the_records_of_a_batch_share_an_outcome() -> None:
    outcome = Outcome(WHERE)
    deliveries = [Delivery(outcome, index, 100 + index) for index in range(3)]
    outcome.succeed(Placed(40, -1))
    assert [each.result() for each in deliveries] == [
        RecordMetadata("t", 3, 40 + index, 100 + index) for index in range(3)
    ]


def test_what_the_log_says_of_time_counts() -> None:
    outcome = Outcome(WHERE)
    outcome.succeed(Placed(40, 777))
    assert Delivery(outcome, 1, 100).result() == RecordMetadata("t", 3, 41, 777)


def test_nobody_says_with_acks_0() -> None:
    outcome = Outcome(WHERE)
    outcome.succeed(Placed(-1, -1))
    assert Delivery(outcome, 5, 100).result().offset == -1


def test_the_first_outcome_stays() -> None:
    outcome = Outcome(WHERE)
    outcome.fail(DeliveryTimeout("late"))
    outcome.succeed(Placed(0, -1))
    outcome.fail(RecordTooLarge())
    assert isinstance(Delivery(outcome, 0, 0).exception(), DeliveryTimeout)


def test_a_delivery_timeout_is_not_taken_for_the_callers_own() -> None:
    """Both are TimeoutErrors."""
    outcome = Outcome(WHERE)
    delivery = Delivery(outcome, 0, 0)
    with pytest.raises(ClientTimeout, match=r"t-3 within 0 s"):
        delivery.result(0)
    outcome.fail(DeliveryTimeout("late"))
    with pytest.raises(DeliveryTimeout, match="late"):
        delivery.result(0)


def test_waiting_in_a_thread() -> None:
    outcome = Outcome(WHERE)
    threading.Timer(0.02, outcome.succeed, [Placed(7, -1)]).start()
    assert Delivery(outcome, 0, 0).result(5).offset == 7


async def test_waiting_in_a_loop_for_another_thread() -> None:
    outcome = Outcome(WHERE)
    threading.Timer(0.02, outcome.succeed, [Placed(7, -1)]).start()
    async with asyncio.timeout(5):
        assert (await Delivery(outcome, 0, 0)).offset == 7


async def test_cancelling_who_waits_does_not_cancel_the_record() -> None:
    outcome = Outcome(WHERE)
    delivery = Delivery(outcome, 0, 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await delivery
    assert not delivery.done()
    outcome.succeed(Placed(7, -1))
    assert (await delivery).offset == 7


def test_callbacks_are_given_their_own_delivery() -> None:
    outcome = Outcome(WHERE)
    deliveries = [Delivery(outcome, index, 0) for index in range(3)]
    seen: list[Delivery] = []
    for delivery in deliveries:
        delivery.add_done_callback(seen.append)
    outcome.succeed(Placed(0, -1))
    assert seen == deliveries


def test_a_handle_is_small() -> None:
    outcome = Outcome(WHERE)
    tracemalloc.start()
    deliveries = [Delivery(outcome, 1, 2) for _ in range(1_000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(deliveries) < 100

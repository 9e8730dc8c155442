"""InitProducerId (22)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 22
_PASSING = ("NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "CONCURRENT_TRANSACTIONS")


async def _ask(s: Session, **given: Any) -> None:
    values = {"transactional_id": None, "transaction_timeout": 60_000}
    await s.ask(**values, **{"producer_id": -1, "producer_epoch": -1, **given})


@scenario(API)
async def ids(s: Session) -> None:
    await _ask(s)
    await _ask(s)
    await s.ask(transactional_id=None, transaction_timeout=0)


@scenario(API)
async def a_transactional_id_that_is_empty(s: Session) -> None:
    await s.ask(transactional_id="", transaction_timeout=60_000)


@scenario(API, only=range(3, 6))
async def ids_that_are_given(s: Session) -> None:
    await _ask(s, producer_id=5, producer_epoch=-1)
    await _ask(s, producer_id=-1, producer_epoch=3)
    await _ask(s, producer_id=1 << 40, producer_epoch=3)


@scenario(API)
async def transactions(s: Session) -> None:
    values = {"transactional_id": s.name("t"), "transaction_timeout": 60_000}
    # Kafka makes the topic of its transactions when somebody asks for their coordinator.
    found = {"key_type": 1, "coordinator_keys": [s.name("t")]}
    await s.call_until(
        lambda one: one["coordinators"][0]["error_code"] != "COORDINATOR_NOT_AVAILABLE", 10, **found
    )
    await s.ask_until(lambda one: one["error_code"] not in _PASSING, API, s.version, **values)

"""InitProducerId (22), without transactions."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 22


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

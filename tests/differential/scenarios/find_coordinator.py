"""FindCoordinator (10)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Answer, Session

API = 10


async def _find(s: Session, *keys: str, kind: int = 0) -> None:
    await s.ask(key=keys[0] if keys else "", key_type=kind, coordinator_keys=list(keys))


@scenario(API, 4)
async def groups(s: Session) -> None:
    await _find(s, s.name("g"))
    await _find(s, "")
    if s.version >= 4:
        await _find(s, s.name("a"), s.name("b"))
        await _find(s, s.name("a"), s.name("a"))
        await s.ask(key_type=0, coordinator_keys=[])


@scenario(API, only=range(1, 7))
async def kinds_that_are_none(s: Session) -> None:
    for kind in (3, -1, 100):
        await _find(s, s.name("g"), kind=kind)


@scenario(API, only=range(1, 7))
async def of_transactions(s: Session) -> None:
    await s.call_until(_is_found, API, 6, key_type=1, coordinator_keys=["warm-up"])
    await _find(s, s.name("t"), kind=1)


@scenario(API, only=range(1, 7))
async def of_share_groups(s: Session) -> None:
    await _find(s, s.name("g"), kind=2)
    await _find(s, "", kind=2)


def _is_found(answer: Answer) -> bool:
    # Kafka makes the topic of its transactions when somebody asks for the first time.
    return bool(answer["coordinators"][0]["error_code"] != "COORDINATOR_NOT_AVAILABLE")

"""Resources whose configs a gateway has none of: BROKER_LOGGER and CLIENT_METRICS."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

ALTER, INCREMENTAL = 33, 44
LOGGER, METRICS = 8, 16
SET, DELETE, APPEND = range(3)


async def _alter(
    s: Session, kind: int, name: str, *changes: tuple[str, str | None], step: int = SET
) -> None:
    how = {"config_operation": step} if s.api == INCREMENTAL else {}
    configs = [{"name": key, "value": value, **how} for key, value in changes]
    resource = {"resource_type": kind, "resource_name": name, "configs": configs}
    await s.ask(resources=[resource], validate_only=True)


@scenario(INCREMENTAL)
async def loggers(s: Session) -> None:
    for name in ("1", "2", "", "x"):
        await _alter(s, LOGGER, name, ("no.such.logger", "INFO"))
    await _alter(s, LOGGER, "1", ("no.such.logger", None), step=DELETE)
    await _alter(s, LOGGER, "1", ("no.such.logger", "INFO"), step=APPEND)
    await _alter(s, LOGGER, "1")
    await _alter(s, LOGGER, "1", ("root", "LOUD"))


@scenario(INCREMENTAL)
async def the_root_logger(s: Session) -> None:
    await _alter(s, LOGGER, "1", ("root", "INFO"))
    await _alter(s, LOGGER, "1", ("root", None), step=DELETE)


@scenario(INCREMENTAL)
async def metrics_of_clients(s: Session) -> None:
    await _alter(s, METRICS, "x", ("interval.ms", "5000"))
    await _alter(s, METRICS, "x", ("no.such.config", "5000"))
    await _alter(s, METRICS, "", ("interval.ms", "5000"))


@scenario(ALTER)
async def as_a_whole(s: Session) -> None:
    await _alter(s, LOGGER, "1", ("no.such.logger", "INFO"))
    await _alter(s, METRICS, "x", ("interval.ms", "5000"))

"""Configs of groups within other bounds than Kafka's defaults."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

INCREMENTAL, DESCRIBE = 44, 32
GROUP = 32
_SET, _DELETE = 0, 1
SESSION, INTERVAL = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
SETTINGS = {
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "30000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.max.heartbeat.interval.ms": "40000",
    "group.consumer.heartbeat.interval.ms": "3000",
}


@scenario(INCREMENTAL, settings=SETTINGS)
async def sessions_that_end_before_a_heartbeat(s: Session) -> None:
    group = s.name("g")

    async def change(*changes: tuple[str, str | None]) -> None:
        rows = [
            {"name": key, "config_operation": _DELETE if value is None else _SET, "value": value}
            for key, value in changes
        ]
        wanted = {"resource_type": GROUP, "resource_name": group, "configs": rows}
        await s.ask(resources=[wanted], validate_only=False)

    await change((SESSION, "3000"))
    await change((SESSION, "3001"))
    await change((INTERVAL, "3001"))
    await change((INTERVAL, "3000"))
    await change((INTERVAL, "30000"), (SESSION, None))
    await change((INTERVAL, "29999"), (SESSION, None))
    await change((SESSION, "10000"), (INTERVAL, "20000"))
    await change((SESSION, "10000"), (INTERVAL, "100"))
    await change((INTERVAL, "99"))
    await change((SESSION, "999"))


@scenario(DESCRIBE, only=range(1, 5), settings=SETTINGS)
async def what_the_broker_was_configured_with(s: Session) -> None:
    wanted = {
        "resource_type": GROUP,
        "resource_name": s.name("g"),
        "configuration_keys": [SESSION, INTERVAL],
    }
    answer: Any = await s.call(DESCRIBE, s.version, resources=[wanted], include_synonyms=True)
    s.keep(answer)

"""ListConfigResources (74)."""

from __future__ import annotations

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 74


@scenario(API)
async def what_has_configs(s: Session) -> None:
    topic = await s.topic("t")
    for types in ([], [2], [4], [8], [16], [32], [2, 4], [0], [1], [3], [-1], [2, 99]):
        answer = await s.call(API, s.version, resource_types=types)
        # Of topics and groups, Kafka has those of other runs, too.
        answer["config_resources"] = [
            row
            for row in answer["config_resources"]
            if row["resource_name"] == topic.name or row.get("resource_type", 16) in (4, 8)
        ]
        s.keep(answer)

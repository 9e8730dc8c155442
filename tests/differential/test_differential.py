"""The gateway answers what Apache Kafka 4.3 was recorded to answer."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from partstream.gateway.server import Gateway
from partstream.gateway.table import TABLE, Api
from tests.differential import recordings
from tests.differential.compare import differences
from tests.differential.differences import DELIBERATE, page
from tests.differential.record import NODE
from tests.differential.scenario import Scenario
from tests.differential.scenarios import every
from tests.differential.session import Address, Session
from tests.gateway.gateways import gateway

_read = cache(recordings.read)
COMPACTION = "compaction"
"""What cleaners leave of a log, which `test_compaction` compares."""
PAGE = Path(__file__).parents[2] / "docs" / "gateway" / "differences.md"


async def another_history(running: Gateway) -> None:
    """As if another server had taken over: what is appended from now on is of another epoch."""
    store = running.broker.store
    for topic in (await running.broker.topics.all()).values():
        for partition in topic.partitions:
            state = partition.keys.state
            await store.execute("HSET", state, "token", "of-the-old", key=state)


@pytest.mark.parametrize("scenario", every(), ids=lambda one: f"{one.group}-{one.name}")
async def test_it_answers_what_kafka_answers(
    redis_url: str, namespace: str, scenario: Scenario
) -> None:
    recorded = _read(scenario.group)[scenario.name]
    assert list(recorded) == [str(version) for version in scenario.versions], "record it again"
    name = f"{scenario.group}/{scenario.name}"
    found: dict[str, list[int]] = {}
    unseen = {one for one in DELIBERATE if one.scenarios == name}
    settings: dict[str, Any] = {"node_id": NODE, "group_initial_rebalance_delay_ms": 0}
    settings |= {name.replace(".", "_"): value for name, value in scenario.settings.items()}
    async with gateway(redis_url, namespace, **settings) as running:
        address = Address(*running.address)
        again = partial(another_history, running) if scenario.epochs else None
        for version in scenario.versions:
            async with Session(address, scenario.api, version, again) as session:
                await scenario.play(session)
            for one in differences(recorded[str(version)], session.heard):
                reasons = {reason for reason in DELIBERATE if reason.explains(name, one)}
                unseen -= reasons
                if not reasons:
                    text = f"{one.path}: Kafka {one.kafka!r}, ours {one.ours!r}"
                    found.setdefault(text, []).append(version)
    assert not found, "\n".join(f"versions {at} {text}" for text, at in found.items())
    assert not unseen, f"differences that are listed and are none: {unseen}"


@pytest.mark.parametrize("api", TABLE, ids=lambda api: api.name)
def test_an_api_is_asked_at_its_lowest_a_middle_and_its_highest_version(api: Api) -> None:
    recorded = {
        int(version)
        for one in every()
        if one.api == api.key
        for version in _read(one.group)[one.name]
    }
    served = range(api.least, api.most + 1)
    assert {served[0], served[-1]} <= recorded <= set(served)
    assert len(recorded) >= min(3, len(served))


def test_every_recording_has_its_scenario() -> None:
    played = {one.group for one in every()} | {COMPACTION}
    assert {path.stem for path in recordings.FOLDER.glob("*.json")} == played
    for group in played - {COMPACTION}:
        assert set(_read(group)) == {one.name for one in every() if one.group == group}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m tests.differential.differences docs/gateway/differences.md"
    )

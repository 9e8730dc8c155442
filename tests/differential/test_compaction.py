"""Of the same history Apache Kafka 4.3 and the gateway leave the same."""

from __future__ import annotations

import json

import pytest

from tests.differential.compaction import RECORDING, ours, play
from tests.differential.compare import differences
from tests.differential.histories import CASES, Case, drawn

pytestmark = pytest.mark.deadline(120)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_same_is_left(redis_url: str, namespace: str, case: Case) -> None:
    recorded = json.loads(RECORDING.read_text(encoding="utf-8"))[case.name]
    async with ours(redis_url, namespace) as own:
        assert not list(differences(recorded, await play(case, own)))


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_drawn_is_left_as_it_may_be(
    redis_url: str, namespace: str, seed: int
) -> None:
    async with ours(redis_url, namespace) as own:
        assert await play(drawn(seed), own)

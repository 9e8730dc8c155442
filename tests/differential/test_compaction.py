"""Of the same history Apache Kafka 4.3 and the engine leave the same records."""

from __future__ import annotations

import json

import pytest

from tests.differential.compaction import CASES, RECORDING, Case, phases, text
from tests.engine.compacting import check_compacted, clean_now, left_of
from tests.engine.logs import NOW, engine


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"seed {case.seed}" for case in CASES])
async def test_the_same_records_are_left(redis_url: str, namespace: str, number: int) -> None:
    case: Case = CASES[number]
    recorded = json.loads(RECORDING.read_text(encoding="utf-8"))[number]
    async with engine(redis_url, namespace) as own:
        partition = await own.partition(
            cleanup_policy="compact",
            segment_bytes=2_000,
            delete_retention_ms=case.delete_retention_ms,
        )
        for batches, left in zip(phases(case, NOW), recorded, strict=True):
            for batch in batches:
                await own.log.append(partition, batch)
            assert await clean_now(own, partition) is not None
            await check_compacted(own.store, partition)
            assert [
                [record.offset, text(record.key), text(record.value)]
                for record in await left_of(own, partition)
            ] == left

"""How long silent producers and abandoned offsets are kept is configured."""

from __future__ import annotations

import pytest

from partstream import OffsetAndMetadata, TopicPartition, aio
from tests.client.consuming import Source, source
from tests.waiting import until


async def test_producers_are_forgotten_after_the_configured_time(
    redis_url: str, namespace: str
) -> None:
    async with aio.Producer(redis_url, namespace=namespace) as producer:
        await (await producer.send("t", b"value"))
    async with aio.Admin(redis_url, namespace=namespace) as patient:
        assert (await patient.maintain()).producers == 0
    async with aio.Admin(redis_url, namespace=namespace, producer_id_expiration_ms=1) as hasty:
        assert (await hasty.maintain()).producers == 1
        assert (await hasty.maintain()).producers == 0


async def _offsets(logs: Source) -> dict[bytes, bytes]:
    """The rows of the group's offsets."""
    key = logs.store.keys.group("g").offsets
    rows = await logs.store.execute("HGETALL", key, key=key)
    return {
        field: row for field, row in zip(rows[::2], rows[1::2], strict=True) if row.count(b"|") > 2
    }


async def _grow_old(logs: Source) -> None:
    """Set the times that count back by two minutes: one is too long for a test."""
    keys = logs.store.keys.group("g")
    now = await logs.topics.now_ms()
    ((field, row),) = (await _offsets(logs)).items()
    before, after, time, rest = row.split(b"|", 3)
    assert abs(int(time) - now) < 30_000
    older = b"|".join((before, after, str(now - 120_000).encode(), rest))
    await logs.store.execute("HSET", keys.offsets, field, older, key=keys.offsets)
    await logs.store.execute("HSET", keys.group, "empty_since", now - 120_000, key=keys.group)


async def test_offsets_expire_after_the_configured_time(redis_url: str, namespace: str) -> None:
    async with (
        source(redis_url, namespace) as logs,
        aio.Admin(redis_url, namespace=namespace, offsets_retention_minutes=1) as admin,
    ):
        await logs.topic()
        await admin.alter_group_offsets("g", {TopicPartition("t", 0): OffsetAndMetadata(0)})
        assert (await admin.maintain()).offsets == 0
        await _grow_old(logs)
        assert (await admin.maintain()).offsets == 1


@pytest.mark.parametrize("kind", [aio.Producer, aio.Consumer, aio.Admin])
async def test_whoever_sweeps_expires_offsets(
    redis_url: str, namespace: str, kind: type[aio.Producer | aio.Consumer | aio.Admin]
) -> None:
    """One client has the sweep to itself, whatever it is for."""
    async with source(redis_url, namespace) as logs:
        await logs.topic()
        async with aio.Admin(redis_url, namespace=namespace) as admin:
            await admin.alter_group_offsets("g", {TopicPartition("t", 0): OffsetAndMetadata(0)})
        await _grow_old(logs)
        config = {"offsets_retention_minutes": 1, "log_retention_check_interval_ms": 50}
        async with kind(redis_url, namespace=namespace, **config):
            await until(lambda: _has_expired(logs))


async def _has_expired(logs: Source) -> bool:
    return not await _offsets(logs)

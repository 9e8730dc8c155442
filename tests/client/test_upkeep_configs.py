"""How long silent producers and abandoned offsets are kept is configured."""

from __future__ import annotations

from partstream import OffsetAndMetadata, TopicPartition, aio


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


async def test_offsets_expire_after_the_configured_time(redis_url: str, namespace: str) -> None:
    partition = TopicPartition("t", 0)
    async with aio.Admin(redis_url, namespace=namespace, offsets_retention_minutes=1) as admin:
        await admin.create_topic("t")
        await admin.alter_group_offsets("g", {partition: OffsetAndMetadata(0)})
        assert (await admin.maintain()).offsets == 0
        # A minute is too long for a test: both times that count are set back by two.
        store = admin._session.store
        keys = store.keys.group("g")
        now = await admin._session.topics.now_ms()
        rows = await store.execute("HGETALL", keys.offsets, key=keys.offsets)
        ((field, row),) = [
            pair for pair in zip(rows[::2], rows[1::2], strict=True) if b"|" in pair[1]
        ]
        before, after, time, rest = row.split(b"|", 3)
        assert abs(int(time) - now) < 30_000
        older = b"|".join((before, after, str(now - 120_000).encode(), rest))
        await store.execute("HSET", keys.offsets, field, older, key=keys.offsets)
        await store.execute("HSET", keys.group, "empty_since", now - 120_000, key=keys.group)
        assert (await admin.maintain()).offsets == 1

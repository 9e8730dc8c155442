"""Puts records with given timestamps into a log, without a producer."""

from __future__ import annotations

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from partstream.engine.log import Log
from partstream.engine.topics import Topics
from partstream.store.store import Store


async def append(url: str, namespace: str, topic: str, partition: int, times: list[int]) -> None:
    """Append one batch with a record for each timestamp."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 20,
    )  # fmt: skip
    for at, time in enumerate(times):
        builder.append(at, timestamp=time, key=None, value=b"value", headers=[])
    store = await Store.connect(url, namespace=namespace)
    try:
        target = (await Topics(store).get(topic)).partition(partition)
        await Log(store).append(target, bytes(builder.build()))
    finally:
        await store.close()

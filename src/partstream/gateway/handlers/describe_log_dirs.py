"""DescribeLogDirs (35), versions 1-5: how large partitions are (KIP-113).

A gateway has no disk: it shows the bytes that Redis holds of the partitions that it leads, so that
the sum over all gateways is what there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from partstream.engine.partition import Partition
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.each import side_by_side
from partstream.gateway.faults import NONE

_FOLDER = "/redis"


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """One folder, with the partitions that were asked for; null is all of them."""
    every = await broker.topics.all()
    if request.topics is None:
        wanted = [partition for topic in every.values() for partition in topic.partitions]
    else:
        wanted = [
            every[asked.topic].partitions[number]
            for asked in request.topics
            if asked.topic in every
            for number in asked.partitions
            if 0 <= number < len(every[asked.topic].partitions)
        ]
    me = broker.registry.me.id
    led = [
        partition
        for partition in wanted
        if broker.registry.replicas(partition.topic_id, partition.index)[0].id == me
    ]
    return {
        "error_code": NONE,
        "results": [{"error_code": NONE, "log_dir": _FOLDER, "topics": await _sizes(broker, led)}],
    }


async def _sizes(broker: Broker, partitions: Sequence[Partition]) -> list[Mapping[str, Any]]:
    async def size(partition: Partition) -> int | None:
        try:
            return (await broker.log.bounds(partition)).size
        except PartstreamError:
            return None  # deleted meanwhile

    topics: dict[str, list[Mapping[str, Any]]] = {}
    for partition, held in zip(partitions, await side_by_side(size, partitions), strict=True):
        if held is not None:
            row = {"partition_index": partition.index, "partition_size": held, "offset_lag": 0}
            topics.setdefault(partition.topic, []).append(row)
    return [{"name": name, "partitions": rows} for name, rows in topics.items()]

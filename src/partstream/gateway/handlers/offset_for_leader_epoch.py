"""OffsetForLeaderEpoch (23), versions 2-4: where the records of an epoch end (KIP-101, KIP-320)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from partstream.engine.log import EpochEnd, epoch_end
from partstream.engine.partition import Topic
from partstream.errors import PartstreamError
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.each import per_partition
from partstream.gateway.epochs import check_epoch
from partstream.gateway.faults import NONE


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The end of each epoch that was asked for."""
    topics = [(topic.topic, topic.partitions) for topic in request.topics]
    rows = await per_partition(broker, topics, partial(_partition, broker), _refused)
    return {
        "topics": [
            {"topic": name, "partitions": found}
            for (name, _), found in zip(topics, rows, strict=True)
        ]
    }


async def _partition(broker: Broker, topic: Topic, asked: Struct) -> Mapping[str, Any]:
    partition = topic.partition(asked.partition)
    history = await broker.log.history(partition)
    broker.epochs.saw(partition, history.leader_epoch)
    check_epoch(asked.current_leader_epoch, history.leader_epoch)
    found = EpochEnd(-1, -1)
    if asked.leader_epoch >= 0:
        found = epoch_end(history.epochs, history.end, asked.leader_epoch)
    return {
        "error_code": NONE,
        "partition": asked.partition,
        "leader_epoch": found.leader_epoch,
        "end_offset": found.end_offset,
    }


def _refused(asked: Struct, code: int, _: PartstreamError) -> Mapping[str, Any]:
    return {"error_code": code, "partition": asked.partition}

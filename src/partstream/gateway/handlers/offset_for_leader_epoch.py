"""OffsetForLeaderEpoch (23), versions 2-4: where the records of an epoch end (KIP-101, KIP-320)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.engine.log import EpochEnd
from partstream.errors import PartstreamError, UnknownTopicId
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.epochs import check_epoch
from partstream.gateway.faults import NONE, UNKNOWN_TOPIC_OR_PARTITION, code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The end of each epoch that was asked for."""
    return {
        "topics": [
            {
                "topic": topic.topic,
                "partitions": [
                    await _partition(broker, topic.topic, asked) for asked in topic.partitions
                ],
            }
            for topic in request.topics
        ]
    }


async def _partition(broker: Broker, name: str, asked: Struct) -> Mapping[str, Any]:
    try:
        partition = (await broker.named(name, None)).partition(asked.partition)
        bounds = await broker.log.bounds(partition)
        broker.epochs.saw(partition, bounds.leader_epoch)
        check_epoch(asked.current_leader_epoch, bounds.leader_epoch)
        found = EpochEnd(-1, -1)
        if asked.leader_epoch >= 0:
            found = await broker.log.epoch_end(partition, asked.leader_epoch)
    except UnknownTopicId:
        return {"error_code": UNKNOWN_TOPIC_OR_PARTITION, "partition": asked.partition}
    except PartstreamError as error:
        return {"error_code": code_of(error), "partition": asked.partition}
    return {
        "error_code": NONE,
        "partition": asked.partition,
        "leader_epoch": found.leader_epoch,
        "end_offset": found.end_offset,
    }

"""partstream: a Kafka-compatible partitioned streaming layer on Redis.

These are the names of the blocking API; those of the asyncio one are in `partstream.aio`. Clients
are imported when they are first named, so that the gateway starts without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from partstream.errors import PartstreamError
from partstream.model import (
    ClusterDescription,
    Compacted,
    CompactionProgress,
    Finding,
    GroupDescription,
    GroupListing,
    GroupState,
    LogLoss,
    MemberDescription,
    NodeDescription,
    OffsetAndMetadata,
    OffsetAndTimestamp,
    OffsetChange,
    PartitionDescription,
    PartitionLag,
    Record,
    RecordMetadata,
    ReplicaDescription,
    Severity,
    TimestampType,
    TopicDescription,
    TopicListing,
    TopicPartition,
)

if TYPE_CHECKING:
    from partstream.client.delivery import Delivery
    from partstream.client.listener import RebalanceListener
    from partstream.sync.admin import Admin
    from partstream.sync.consumer import Consumer
    from partstream.sync.producer import Producer
    from partstream.sync.table import Table

_IMPORTED_LATER = {
    "Admin": "partstream.sync.admin",
    "Consumer": "partstream.sync.consumer",
    "Delivery": "partstream.client.delivery",
    "Producer": "partstream.sync.producer",
    "RebalanceListener": "partstream.client.listener",
    "Table": "partstream.sync.table",
}

__all__ = [
    "Admin",
    "ClusterDescription",
    "Compacted",
    "CompactionProgress",
    "Consumer",
    "Delivery",
    "Finding",
    "GroupDescription",
    "GroupListing",
    "GroupState",
    "LogLoss",
    "MemberDescription",
    "NodeDescription",
    "OffsetAndMetadata",
    "OffsetAndTimestamp",
    "OffsetChange",
    "PartitionDescription",
    "PartitionLag",
    "PartstreamError",
    "Producer",
    "RebalanceListener",
    "Record",
    "RecordMetadata",
    "ReplicaDescription",
    "Severity",
    "Table",
    "TimestampType",
    "TopicDescription",
    "TopicListing",
    "TopicPartition",
]


def __getattr__(name: str) -> object:
    if name not in _IMPORTED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_IMPORTED_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

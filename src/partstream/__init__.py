"""partstream: a Kafka-compatible partitioned streaming layer on Redis.

These are the names of the blocking API; those of the asyncio one are in `partstream.aio`.
"""

from partstream.client.delivery import Delivery
from partstream.client.listener import RebalanceListener
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
from partstream.sync.admin import Admin
from partstream.sync.consumer import Consumer
from partstream.sync.producer import Producer
from partstream.sync.table import Table

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

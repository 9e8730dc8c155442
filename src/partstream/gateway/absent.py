"""The APIs of Kafka 4.3 that are not served, each with the reason; for the documentation."""

from __future__ import annotations

_LATER_ACLS = "there is no authentication, and so nobody to grant anything to, yet"
_LATER_TRANSACTIONS = "there are no transactions yet"
_LATER_SHARES = "there are no share groups (KIP-932) yet"
_STREAMS = (
    "streams groups (KIP-1071) are not there; Kafka Streams works with `group.protocol=classic`, "
    "its default"
)
_REPLICAS = "how partitions are replicated and who leads them is up to Redis"
_BROKERS = "a broker's affair with others: gateways have nothing to agree on, all state is in Redis"
_CONTROLLERS = "there are no controllers, and no quorum: all state is in Redis"
_TOKENS = "there are no delegation tokens: they stand for a login, of which there is none yet"
_QUOTAS = "there are no quotas"
_TELEMETRY = "clients' metrics (KIP-714) are not collected; clients do without"

ABSENT: dict[int, tuple[str, str]] = {
    17: ("SaslHandshake", "there is no authentication yet"),
    24: ("AddPartitionsToTxn", _LATER_TRANSACTIONS),
    25: ("AddOffsetsToTxn", _LATER_TRANSACTIONS),
    26: ("EndTxn", _LATER_TRANSACTIONS),
    27: ("WriteTxnMarkers", _BROKERS),
    28: ("TxnOffsetCommit", _LATER_TRANSACTIONS),
    29: ("DescribeAcls", _LATER_ACLS),
    30: ("CreateAcls", _LATER_ACLS),
    31: ("DeleteAcls", _LATER_ACLS),
    34: ("AlterReplicaLogDirs", "there are no log directories: records are in Redis"),
    36: ("SaslAuthenticate", "there is no authentication yet"),
    38: ("CreateDelegationToken", _TOKENS),
    39: ("RenewDelegationToken", _TOKENS),
    40: ("ExpireDelegationToken", _TOKENS),
    41: ("DescribeDelegationToken", _TOKENS),
    45: ("AlterPartitionReassignments", _REPLICAS),
    48: ("DescribeClientQuotas", _QUOTAS),
    49: ("AlterClientQuotas", _QUOTAS),
    50: ("DescribeUserScramCredentials", "there is no authentication yet"),
    51: ("AlterUserScramCredentials", "there is no authentication yet"),
    52: ("Vote", _CONTROLLERS),
    53: ("BeginQuorumEpoch", _CONTROLLERS),
    54: ("EndQuorumEpoch", _CONTROLLERS),
    55: ("DescribeQuorum", _CONTROLLERS),
    56: ("AlterPartition", _BROKERS),
    57: ("UpdateFeatures", "features are those of the release; none can be turned on or off"),
    58: ("Envelope", _CONTROLLERS),
    59: ("FetchSnapshot", _CONTROLLERS),
    62: ("BrokerRegistration", _BROKERS),
    63: ("BrokerHeartbeat", _BROKERS),
    64: ("UnregisterBroker", "a gateway that is gone is forgotten by itself"),
    65: ("DescribeTransactions", _LATER_TRANSACTIONS),
    66: ("ListTransactions", _LATER_TRANSACTIONS),
    67: ("AllocateProducerIds", _BROKERS),
    70: ("ControllerRegistration", _CONTROLLERS),
    71: ("GetTelemetrySubscriptions", _TELEMETRY),
    72: ("PushTelemetry", _TELEMETRY),
    73: ("AssignReplicasToDirs", _BROKERS),
    76: ("ShareGroupHeartbeat", _LATER_SHARES),
    77: ("ShareGroupDescribe", _LATER_SHARES),
    78: ("ShareFetch", _LATER_SHARES),
    79: ("ShareAcknowledge", _LATER_SHARES),
    80: ("AddRaftVoter", _CONTROLLERS),
    81: ("RemoveRaftVoter", _CONTROLLERS),
    82: ("UpdateRaftVoter", _CONTROLLERS),
    83: ("InitializeShareGroupState", _BROKERS),
    84: ("ReadShareGroupState", _BROKERS),
    85: ("WriteShareGroupState", _BROKERS),
    86: ("DeleteShareGroupState", _BROKERS),
    87: ("ReadShareGroupStateSummary", _BROKERS),
    88: ("StreamsGroupHeartbeat", _STREAMS),
    89: ("StreamsGroupDescribe", _STREAMS),
    90: ("DescribeShareGroupOffsets", _LATER_SHARES),
    91: ("AlterShareGroupOffsets", _LATER_SHARES),
    92: ("DeleteShareGroupOffsets", _LATER_SHARES),
}
"""API key -> its name, and why it is not there. An API that comes to be served leaves this list."""

"""Which error code of Kafka's protocol a client gets for what went wrong here."""

from __future__ import annotations

import logging

from partstream.errors import (
    CLIENT,
    ClosedClient,
    OutcomeUnknown,
    PartstreamError,
    StoreOutOfMemory,
    StoreUnavailable,
    TransactionalIdAuthorizationFailed,
)

_logger = logging.getLogger(__name__)

NONE = 0
UNKNOWN_SERVER_ERROR = -1
UNKNOWN_TOPIC_OR_PARTITION = 3
REQUEST_TIMED_OUT = 7
COORDINATOR_NOT_AVAILABLE = 15
NOT_COORDINATOR = 16
INVALID_REQUIRED_ACKS = 21
ILLEGAL_GENERATION = 22
INCONSISTENT_GROUP_PROTOCOL = 23
UNKNOWN_MEMBER_ID = 25
UNSUPPORTED_VERSION = 35
INVALID_REQUEST = 42
POLICY_VIOLATION = 44
KAFKA_STORAGE_ERROR = 56
GROUP_ID_NOT_FOUND = 69
FETCH_SESSION_ID_NOT_FOUND = 70
TOPIC_DELETION_DISABLED = 73
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
ELECTION_NOT_NEEDED = 84
UNKNOWN_TOPIC_ID = 100
MISMATCHED_ENDPOINT_TYPE = 114
UNSUPPORTED_ENDPOINT_TYPE = 115


def code_of(error: PartstreamError) -> int:
    """The code of an error about a log or a topic; what Redis has done to us is retriable."""
    if error.code != CLIENT:
        return error.code
    if isinstance(error, OutcomeUnknown):
        return REQUEST_TIMED_OUT
    if isinstance(error, StoreUnavailable | StoreOutOfMemory | ClosedClient):
        return KAFKA_STORAGE_ERROR
    # The client hears no more than that; whoever runs the gateway has to be able to find out.
    _logger.warning("answered with UNKNOWN_SERVER_ERROR: %s", error)
    return UNKNOWN_SERVER_ERROR


def group_code_of(error: PartstreamError) -> int:
    """The code of an error about a group."""
    code = code_of(error)
    return COORDINATOR_NOT_AVAILABLE if code in (REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR) else code


def no_transactions() -> PartstreamError:
    """What a producer with a transactional id is told. It is the one error that every client takes
    for final: librdkafka asks for ever after any other, and Java's asks again if its coordinator is
    said not to be there."""
    return TransactionalIdAuthorizationFailed("Transactions are not supported yet.")

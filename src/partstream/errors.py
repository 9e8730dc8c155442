"""Kafka's error table: one exception for each error, with Kafka's code, name and retriability.

Everything that partstream raises on purpose derives from `PartstreamError`. Codes and names are
those of the Kafka protocol (https://kafka.apache.org/protocol#protocol_error_codes); a class is
named after Java's exception where that differs. Errors that only a client knows have no code on
the wire, and `CLIENT` (-1000) here.
"""

from __future__ import annotations

import re
from typing import ClassVar

CLIENT = -1000
"""The code of errors that never travel over the wire."""

_BY_CODE: dict[int, type[PartstreamError]] = {}


class PartstreamError(Exception):
    """The base of everything that partstream raises on purpose."""

    code: ClassVar[int] = CLIENT
    """Kafka's error code; `CLIENT` for errors that only a client knows."""
    name: ClassVar[str] = "PARTSTREAM_ERROR"
    """Kafka's name for the error, as in its protocol guide."""
    retriable: ClassVar[bool] = False
    """Whether the same call may succeed if it is made again."""

    def __init_subclass__(
        cls, *, code: int = CLIENT, retriable: bool = False, name: str | None = None
    ) -> None:
        cls.code = code
        cls.retriable = retriable
        cls.name = name or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        if code != CLIENT:
            _BY_CODE[code] = cls

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or self.name).strip()


def from_code(code: int, message: str = "") -> PartstreamError:
    """The exception for a Kafka error code, with `message` as its text.

    A code that partstream does not know becomes `UnknownServerError`, which names it.
    """
    cls = _BY_CODE.get(code)
    if cls is None:
        return UnknownServerError(f"error code {code}: {message}" if message else f"error {code}")
    return cls(message) if message else cls()


# What Kafka's brokers answer, by code.


class UnknownServerError(PartstreamError, code=-1):
    """The server experienced an unexpected error when processing the request."""


class OffsetOutOfRange(PartstreamError, code=1):
    """The offset is not within the range that the partition holds."""


class CorruptRecord(PartstreamError, code=2, retriable=True, name="CORRUPT_MESSAGE"):
    """A batch failed its CRC check, or is not a record batch at all."""


class UnknownTopicOrPartition(PartstreamError, code=3, retriable=True):
    """This server does not host this topic-partition."""


class NotLeaderOrFollower(PartstreamError, code=6, retriable=True):
    """This server does not lead the partition (any more)."""


class RequestTimedOut(PartstreamError, code=7, retriable=True):
    """The request timed out."""


class RecordTooLarge(PartstreamError, code=10, name="MESSAGE_TOO_LARGE"):
    """A record or batch is larger than the topic or the client allows."""


class OffsetMetadataTooLarge(PartstreamError, code=12):
    """The metadata field of the offset request was too large."""


class NetworkException(PartstreamError, code=13, retriable=True):
    """The server disconnected before a response was received."""


class CoordinatorLoadInProgress(PartstreamError, code=14, retriable=True):
    """The coordinator is loading and hence can't process requests."""


class CoordinatorNotAvailable(PartstreamError, code=15, retriable=True):
    """The coordinator is not available."""


class NotCoordinator(PartstreamError, code=16, retriable=True):
    """This is not the correct coordinator."""


class InvalidTopic(PartstreamError, code=17, name="INVALID_TOPIC_EXCEPTION"):
    """The request attempted to perform an operation on an invalid topic."""


class RecordBatchTooLarge(PartstreamError, code=18, name="RECORD_LIST_TOO_LARGE"):
    """The batch is larger than a segment of the log may be."""


class NotEnoughReplicas(PartstreamError, code=19, retriable=True):
    """Messages are rejected since there are fewer in-sync replicas than required."""


class NotEnoughReplicasAfterAppend(PartstreamError, code=20, retriable=True):
    """Messages are written to the log, but to fewer in-sync replicas than required."""


class IllegalGeneration(PartstreamError, code=22):
    """Specified group generation id is not valid."""


class InconsistentGroupProtocol(PartstreamError, code=23):
    """The member's protocols do not fit those of the group."""


class InvalidGroupId(PartstreamError, code=24):
    """The group id is invalid."""


class UnknownMemberId(PartstreamError, code=25):
    """The coordinator is not aware of this member."""


class InvalidSessionTimeout(PartstreamError, code=26):
    """The session timeout is outside the allowed range."""


class RebalanceInProgress(PartstreamError, code=27):
    """The group is rebalancing, so a rejoin is needed."""


class TopicAuthorizationFailed(PartstreamError, code=29):
    """Topic authorization failed."""


class GroupAuthorizationFailed(PartstreamError, code=30):
    """Group authorization failed."""


class ClusterAuthorizationFailed(PartstreamError, code=31):
    """Cluster authorization failed."""


class InvalidTimestamp(PartstreamError, code=32):
    """The timestamp of the message is out of acceptable range."""


class UnsupportedVersion(PartstreamError, code=35):
    """The version of API is not supported."""


class TopicAlreadyExists(PartstreamError, code=36):
    """Topic with this name already exists."""


class InvalidPartitions(PartstreamError, code=37):
    """Number of partitions is below 1."""


class InvalidReplicationFactor(PartstreamError, code=38):
    """Replication factor is below 1 or larger than the number of available brokers."""


class InvalidReplicaAssignment(PartstreamError, code=39):
    """An assignment of partitions to brokers is refused."""


class InvalidConfig(PartstreamError, code=40):
    """Configuration is invalid."""


class InvalidRequest(PartstreamError, code=42):
    """The request is malformed."""


class PolicyViolation(PartstreamError, code=44):
    """The request goes beyond what is allowed here."""


class OutOfOrderSequenceNumber(PartstreamError, code=45):
    """The broker received an out of order sequence number."""


class DuplicateSequenceNumber(PartstreamError, code=46):
    """The broker received a duplicate sequence number."""


class InvalidProducerEpoch(PartstreamError, code=47):
    """Producer attempted to produce with an old epoch."""


class InvalidTxnState(PartstreamError, code=48):
    """The producer attempted a transactional operation in an invalid state."""


class ConcurrentTransactions(PartstreamError, code=51, retriable=True):
    """Another operation on the same transaction is going on."""


class TransactionalIdAuthorizationFailed(PartstreamError, code=53):
    """The producer may not use its transactional id."""


class UnknownProducerId(PartstreamError, code=59):
    """The log holds no state of this producer id any more."""


class NonEmptyGroup(PartstreamError, code=68):
    """The group is not empty."""


class GroupIdNotFound(PartstreamError, code=69):
    """The group id does not exist."""


class FencedLeaderEpoch(PartstreamError, code=74, retriable=True):
    """The leader epoch in the request is older than the epoch on the broker."""


class UnknownLeaderEpoch(PartstreamError, code=75, retriable=True):
    """The leader epoch in the request is newer than the epoch on the broker."""


class UnsupportedCompressionType(PartstreamError, code=76):
    """The requesting client does not support the compression type of given partition."""


class OffsetNotAvailable(PartstreamError, code=78, retriable=True):
    """The end of the log is not settled since the last failover."""


class MemberIdRequired(PartstreamError, code=79):
    """A member needs a member id before it enters a group; the answer carries one."""


class GroupMaxSizeReached(PartstreamError, code=81):
    """The group has reached its maximum size."""


class FencedInstanceId(PartstreamError, code=82):
    """Another member has registered with the same group_instance_id."""


class GroupSubscribedToTopic(PartstreamError, code=86):
    """Offsets of a topic that the group is subscribed to cannot be deleted."""


class InvalidRecord(PartstreamError, code=87):
    """The record failed validation and is refused."""


class UnstableOffsetCommit(PartstreamError, code=88, retriable=True):
    """There are unstable offsets that need to be cleared."""


class ProducerFenced(PartstreamError, code=90):
    """There is a newer producer with the same transactionalId which fences the current one."""


class ResourceNotFound(PartstreamError, code=91):
    """A request named a resource that does not exist."""


class UnknownTopicId(PartstreamError, code=100, retriable=True):
    """This server does not host this topic ID."""


class InconsistentTopicId(PartstreamError, code=103, retriable=True):
    """The log's topic ID did not match the topic ID in the request."""


class FencedMemberEpoch(PartstreamError, code=110):
    """The member epoch is fenced; the member must let go of all its partitions and rejoin."""


class UnreleasedInstanceId(PartstreamError, code=111):
    """The instance id is still used by another member, which must leave first."""


class UnsupportedAssignor(PartstreamError, code=112):
    """The group does not support this assignor."""


class StaleMemberEpoch(PartstreamError, code=113):
    """The member epoch is stale; it must be learnt anew from a heartbeat."""


class InvalidRegularExpression(PartstreamError, code=128):
    """The regular expression is not valid."""


# What only a client knows.


class ConfigError(PartstreamError, ValueError, name="CONFIG_ERROR"):
    """A config key or value is not valid; the message names it and what was expected."""


class IllegalState(PartstreamError, name="ILLEGAL_STATE"):
    """The call makes no sense in the state that the client is in."""


class ClosedClient(IllegalState, name="CLOSED_CLIENT"):
    """The client is closed."""


class ForkedClient(IllegalState, name="FORKED_CLIENT"):
    """The client was made in another process; make a new one after the fork."""


class SerializationError(PartstreamError, name="SERIALIZATION_ERROR"):
    """A key, value or header has the wrong type, or its (de)serializer failed."""


class ClientTimeout(PartstreamError, TimeoutError, retriable=True, name="CLIENT_TIMEOUT"):
    """The call did not finish within the time that it was given."""


class BufferExhausted(ClientTimeout, retriable=True, name="BUFFER_EXHAUSTED"):
    """No room came free in the producer's buffer within max_block_ms."""


class DeliveryTimeout(ClientTimeout, name="DELIVERY_TIMEOUT"):
    """A record could not be delivered within delivery_timeout_ms."""


class NoOffsetForPartition(PartstreamError, name="NO_OFFSET_FOR_PARTITION"):
    """There is no committed offset, and auto_offset_reset is none."""


class LogTruncation(PartstreamError, name="LOG_TRUNCATION"):
    """Records that were read are gone, and others may stand in their place (KIP-320)."""


class CommitFailed(PartstreamError, name="COMMIT_FAILED"):
    """The commit was refused: the group has given the partitions to another member."""


class Wakeup(PartstreamError, name="WAKEUP"):
    """`wakeup` was called: the consumer is no longer to wait."""


# What the connection to Redis, and what lives there, can get wrong.


class StoreUnavailable(NetworkException, retriable=True, name="STORE_UNAVAILABLE"):
    """Redis cannot be reached, or the connection to it broke."""


class OutcomeUnknown(StoreUnavailable, retriable=True, name="OUTCOME_UNKNOWN"):
    """The connection broke after a command was sent: it may or may not have been carried out."""


class StoreOutOfMemory(PartstreamError, retriable=True, name="STORE_OUT_OF_MEMORY"):
    """Redis is at its maxmemory and takes no more data."""


class StoreAuthenticationFailed(PartstreamError, name="STORE_AUTHENTICATION_FAILED"):
    """Redis refused the user name or password, or wants one."""


class StorePermissionDenied(PartstreamError, name="STORE_PERMISSION_DENIED"):
    """An ACL rule of Redis forbids a command, key or channel that the call needs."""


class StoreTooOld(PartstreamError, name="STORE_TOO_OLD"):
    """The server is older than Redis 7.0 or Valkey 7.2, or lacks a command that is needed."""


class NewerLayout(PartstreamError, name="NEWER_LAYOUT"):
    """The namespace was written by a newer partstream, whose layout this one does not know."""


class ForeignKey(PartstreamError, name="FOREIGN_KEY"):
    """A Redis key under a name of ours holds something that partstream did not write."""


class NoEmbeddedServer(PartstreamError, name="NO_EMBEDDED_SERVER"):
    """No Redis or Valkey server binary was found for `embedded:`."""

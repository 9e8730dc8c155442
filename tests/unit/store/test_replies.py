"""Error replies: each becomes the exception that says what to do."""

from __future__ import annotations

import pytest
from redis import exceptions as theirs

from partstream import errors
from partstream.store.replies import is_reply, translate


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (theirs.ResponseError("KAFKA 45 out of order"), errors.OutOfOrderSequenceNumber),
        (theirs.ResponseError("KAFKA 100"), errors.UnknownTopicId),
        (theirs.ResponseError("KAFKA 9999 what"), errors.UnknownServerError),
        (theirs.ResponseError("WRONGTYPE Operation against a key"), errors.ForeignKey),
        (theirs.OutOfMemoryError("command not allowed"), errors.StoreOutOfMemory),
        (theirs.ResponseError("OOM command not allowed"), errors.StoreOutOfMemory),
        (theirs.NoPermissionError("User x has no permissions"), errors.StorePermissionDenied),
        (theirs.ResponseError("ACL failure in script: no"), errors.StorePermissionDenied),
        (theirs.AuthenticationError("invalid"), errors.StoreAuthenticationFailed),
        (theirs.ResponseError("WRONGPASS invalid"), errors.StoreAuthenticationFailed),
        (theirs.ResponseError("NOAUTH Authentication required."), errors.StoreAuthenticationFailed),
        (theirs.ResponseError("unknown command 'XADD'"), errors.StoreTooOld),
        (theirs.ResponseError("MISCONF Errors writing to the AOF"), errors.StoreUnavailable),
        (theirs.ResponseError("BUSY Redis is busy running a script"), errors.StoreUnavailable),
        (theirs.ResponseError("NOREPLICAS Not enough good replicas"), errors.NotEnoughReplicas),
        (
            theirs.ResponseError("WAIT cannot be used with replica instances. Please also note"),
            errors.NotEnoughReplicasAfterAppend,
        ),
        (
            theirs.ResponseError("WAITAOF cannot be used with replica instances. Please also note"),
            errors.NotEnoughReplicasAfterAppend,
        ),
        (theirs.ResponseError("UNBLOCKED force unblock"), errors.OutcomeUnknown),
        (theirs.ReadOnlyError("You can't write against a replica"), errors.StoreUnavailable),
        (theirs.ClusterDownError("The cluster is down"), errors.StoreUnavailable),
        (theirs.TryAgainError("Multiple keys"), errors.StoreUnavailable),
        (theirs.BusyLoadingError("loading"), errors.StoreUnavailable),
        (theirs.MovedError("3 h:1"), errors.StoreUnavailable),
        (theirs.ConnectionError("reset"), errors.StoreUnavailable),
        (theirs.TimeoutError("slow"), errors.StoreUnavailable),
        (ConnectionRefusedError("refused"), errors.StoreUnavailable),
        (theirs.ResponseError("something new"), errors.UnknownServerError),
    ],
)
def test_what_replies_mean(error: Exception, ours: type[errors.PartstreamError]) -> None:
    told = translate(error, "there")
    assert type(told) is ours
    if not str(error).startswith("KAFKA"):
        assert str(told).startswith("there: ")


def test_ours_stay_as_they_are() -> None:
    mine = errors.OutcomeUnknown("x")
    assert translate(mine, "there") is mine


def test_a_refusal_keeps_its_text() -> None:
    told = translate(theirs.ResponseError("KAFKA 10 a batch of 9 bytes"), "there")
    assert str(told) == "a batch of 9 bytes"


def test_answers_and_broken_connections() -> None:
    assert is_reply(theirs.MovedError("3 h:1"))
    assert is_reply(theirs.BusyLoadingError("loading"))
    assert not is_reply(theirs.ConnectionError("reset"))
    assert not is_reply(OSError())

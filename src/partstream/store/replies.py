"""What Redis's error replies mean: our exception for each, and which of them a router mends."""

from __future__ import annotations

from redis import exceptions as redis_errors

from partstream import errors

SCRIPT_MISSING = redis_errors.NoScriptError
MOVED = redis_errors.MovedError
ASK = redis_errors.AskError
"""MOVED is one too."""
TRY_AGAIN = redis_errors.TryAgainError

PASSING = (
    TRY_AGAIN,
    redis_errors.ClusterDownError,  # MASTERDOWN too
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
)
"""Answers of a server that did nothing, and will take the same command later or elsewhere."""

_BY_TYPE: tuple[tuple[type[Exception], type[errors.PartstreamError]], ...] = (
    (redis_errors.OutOfMemoryError, errors.StoreOutOfMemory),
    (redis_errors.NoPermissionError, errors.StorePermissionDenied),
    (redis_errors.AuthenticationError, errors.StoreAuthenticationFailed),
    (redis_errors.AuthorizationError, errors.StoreAuthenticationFailed),
    (redis_errors.ConnectionError, errors.StoreUnavailable),
    (redis_errors.TimeoutError, errors.StoreUnavailable),
    (OSError, errors.StoreUnavailable),
    (ASK, errors.StoreUnavailable),  # MOVED too
    *((passing, errors.StoreUnavailable) for passing in PASSING),
)

_BY_PREFIX: tuple[tuple[str, type[errors.PartstreamError]], ...] = (
    ("WRONGTYPE", errors.ForeignKey),
    ("The ID specified in XADD is equal or smaller", errors.ForeignKey),
    ("OOM ", errors.StoreOutOfMemory),
    ("NOPERM", errors.StorePermissionDenied),
    ("ACL failure in script", errors.StorePermissionDenied),
    ("The user executing the script can't run", errors.StorePermissionDenied),  # Redis 7.0
    ("NOAUTH", errors.StoreAuthenticationFailed),
    ("WRONGPASS", errors.StoreAuthenticationFailed),
    ("MISCONF", errors.StoreUnavailable),
    ("NOREPLICAS", errors.NotEnoughReplicas),
    # Of a primary that became one after the write, and has lost it perhaps.
    ("WAIT cannot be used with replica", errors.NotEnoughReplicasAfterAppend),
    ("WAITAOF cannot be used with replica", errors.NotEnoughReplicasAfterAppend),
    ("UNBLOCKED", errors.OutcomeUnknown),
    ("BUSY ", errors.StoreUnavailable),
)


def is_reply(error: BaseException) -> bool:
    """Whether the error was an answer of the server, rather than a broken connection."""
    return isinstance(
        error,
        redis_errors.ResponseError
        | redis_errors.BusyLoadingError
        | redis_errors.AuthenticationError,
    )


def translate(error: BaseException, where: str) -> errors.PartstreamError:
    """Our exception for what redis-py raised; `where` (an address or a key) goes into its text.

    A script refuses with the error reply `KAFKA <code> <text>`, which becomes that Kafka error.
    """
    if isinstance(error, errors.PartstreamError):
        return error
    text = str(error)
    if text.startswith("KAFKA "):
        _, code, detail = (text + " ").split(" ", 2)
        return errors.from_code(int(code), detail.strip())
    for prefix, ours in _BY_PREFIX:
        if text.startswith(prefix):
            return ours(f"{where}: {text}")
    for theirs, ours in _BY_TYPE:
        if isinstance(error, theirs):
            return ours(f"{where}: {text or type(error).__name__}")
    if "unknown command" in text.lower():
        return errors.StoreTooOld(f"{where}: {text}")
    return errors.UnknownServerError(f"{where}: {text}")

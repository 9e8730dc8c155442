"""What is needed of redis-py beyond what it promises."""

from __future__ import annotations

import redis
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from partstream.store.dial import error_reply


def test_redis_py_keeps_its_streams_where_they_are_looked_for() -> None:
    for kind in (Connection, SSLConnection, UnixDomainSocketConnection):
        for name in ("_reader", "_writer"):
            assert hasattr(kind(), name), (
                f"redis-py {redis.__version__} has no {kind.__name__}.{name} any more, from which "
                "connections are taken over. Find where the stream is now, and have `_streams` in "
                "store/dial.py, the only place that knows, return it from there"
            )


def test_redis_py_names_errors() -> None:
    for text, kind in {
        "MOVED 7 127.0.0.1:7000": exceptions.MovedError,
        "ASK 7 127.0.0.1:7000": exceptions.AskError,
        "NOSCRIPT No matching script": exceptions.NoScriptError,
        "LOADING Redis is loading": exceptions.BusyLoadingError,
        "READONLY You can't write": exceptions.ReadOnlyError,
        "ERR anything": exceptions.ResponseError,
    }.items():
        assert type(error_reply(text)) is kind

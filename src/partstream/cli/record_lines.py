"""Records from lines of text: a value, a key and a value, or JSON. Pure: no I/O."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, NamedTuple

HeaderPair = tuple[str, bytes | None]

_FIELDS = {"key", "value", "headers", "partition", "timestamp"}
_READ_ONLY = {"topic", "offset", "timestamp_type"}
"""What `consume --json` prints too, and nobody can choose."""


class BadLine(ValueError):
    """A line that is no record; the text says why."""


class Outgoing(NamedTuple):
    """A record to send."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[HeaderPair, ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


LineParser = Callable[[bytes], Outgoing]


def text_parser(
    separator: bytes | None, null: bytes | None, *, key: bytes | None = None
) -> LineParser:
    """Lines that are a value, or a key and a value with a separator between them.

    Args:
        separator: what stands between key and value; None if a line is all value.
        null: the value that stands for no value (a tombstone).
        key: the key of every record, without a separator.
    """

    def parse(line: bytes) -> Outgoing:
        value, own_key = line, key
        if separator is not None:
            own_key, found, value = line.partition(separator)
            if not found:
                raise BadLine(f"no {separator.decode()!r} between key and value")
        return Outgoing(None if null is not None and value == null else value, own_key)

    return parse


def parse_json(line: bytes) -> Outgoing:
    """A JSON object with any of key, value, headers, partition, timestamp (ms).

    A key or value that is text is sent as UTF-8, `{"base64": "..."}` as those bytes, null as none,
    and anything else as its JSON. Headers are an object, or a list of [name, value].
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadLine(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise BadLine("expected a JSON object")
    if unknown := sorted(set(row) - _FIELDS - _READ_ONLY):
        raise BadLine(f"unknown field {unknown[0]!r}, expected {', '.join(sorted(_FIELDS))}")
    return Outgoing(
        _bytes(row.get("value")),
        _bytes(row.get("key")),
        _headers(row.get("headers") or ()),
        _number(row, "partition"),
        _number(row, "timestamp"),
    )


def _number(row: dict[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadLine(f"{name}={value!r}: expected a whole number")


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {"base64"}:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (TypeError, binascii.Error) as error:
            raise BadLine(f"base64: {error}") from None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _headers(headers: Any) -> tuple[HeaderPair, ...]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    try:
        return tuple((str(name), _bytes(value)) for name, value in pairs)
    except (TypeError, ValueError) as error:
        if isinstance(error, BadLine):
            raise
        raise BadLine("headers: expected an object, or a list of [name, value]") from None


def parse_header(text: str) -> HeaderPair | None:
    """`NAME=VALUE`, or `NAME` alone for a header without a value; None if it is neither."""
    name, equals, value = text.partition("=")
    if not name:
        return None
    return name, value.encode() if equals else None

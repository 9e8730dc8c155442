"""Answers made comparable: what depends on the run, the clock or the address is named instead."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Container, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kio.schema.errors import ErrorCode

from partstream.errors import CorruptRecord
from partstream.gateway.primitives import id_text
from partstream.records import header
from partstream.records.codec import decode

_EPOCHS = {"leader_epoch", "epoch"}
_GROUP_EPOCHS = {"member_epoch", "group_epoch", "assignment_epoch"}
"""How often a group changed is a server's own matter; what is not above 0 means something."""
_SET_OR_NOT = {"error_message", "batch_index_error_message", "documentation", "client_host"}
"""Texts of which only counts whether they are there."""
_LEFT_OUT = {"throttle_time"}
_PLACES = {
    "session_id": "SESSION",
    "host": "HOST",
    "port": "PORT",
    "cluster_id": "CLUSTER",
    "log_dir": "DIR",
}
_NUMBERED = {"member_id": "member", "leader": "member", "producer_id": "producer"}
"""What the server makes up, by the name of its field; -1 and nothing are themselves."""
_ORDERED = {"", "synonyms"}
"""Lists whose order means something; others are in whatever order the server's tables have."""
_IDENTITY = (
    *("name", "topic", "topic_name", "topic_id", "group_id", "key", "resource_type"),
    *("resource_name", "partition_index", "index", "partition_id", "member_id", "producer_id"),
)


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    """By what a row of an answer is sorted."""
    return *(str(row.get(name)) for name in _IDENTITY), json.dumps(row, sort_keys=True)


_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (ErrorCode, lambda value: value.name.upper()),
    (timedelta, lambda value: value // timedelta(milliseconds=1)),
    (datetime, lambda value: round(value.timestamp() * 1000)),
    (UUID, lambda value: id_text(value.bytes)),
    (tuple, lambda value: [plain(item) for item in value]),
)


def plain(value: Any) -> Any:
    """A message of kio's as plain values: milliseconds, names of errors, ids as text."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    for kind, convert in _PLAIN:
        if isinstance(value, kind):
            return convert(value)
    return value


class Normaliser:
    """The names of one run of one scenario."""

    def __init__(self, mark: str) -> None:
        """`mark` is in the names of all topics and groups of the run, and is taken out of them."""
        self._mark = mark
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self.now = (0, 0)
        """Between which milliseconds the answer was made."""
        self._made_up: tuple[tuple[Container[str], Callable[[Any, str], Any]], ...] = (
            (_SET_OR_NOT, lambda value, field: "..."),
            (_PLACES, lambda value, field: _PLACES[field]),
            (_EPOCHS, lambda value, field: "EPOCH"),
            (_GROUP_EPOCHS, lambda value, field: "EPOCH" if value > 0 else value),
            ({"topic_id"}, lambda value, field: self._names.get(str(value), "ID")),
            (_NUMBERED, lambda value, field: self._named(str(value), _NUMBERED[field])),
        )

    def call(self, value: object, name: str) -> None:
        """Give a value that the server made up a name of the scenario's own."""
        self._names[str(value)] = name

    def normal(self, message: Any, field: str = "") -> Any:
        """A plain message with the run taken out of it."""
        if isinstance(message, dict):
            return self._struct(message)
        if isinstance(message, list):
            rows = [self.normal(item, field) for item in message]
            if field not in _ORDERED and all(isinstance(row, dict) for row in rows):
                rows.sort(key=_identity)
            return rows
        return self._value(message, field)

    def _struct(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self.normal(value, name)
            for name, value in message.items()
            if name not in _LEFT_OUT
        }

    def _value(self, value: Any, field: str) -> Any:
        if value is None or value in (-1, "") or (value == 0 and field in _PLACES):
            return value
        if field == "records":
            return self._records(value)
        for fields, convert in self._made_up:
            if field in fields:
                return convert(value, field)
        if isinstance(value, bytes):
            return self._unmarked(value.decode("latin-1"))
        if isinstance(value, int) and self.now[0] <= value <= self.now[1]:
            return "NOW"
        return self._unmarked(value) if isinstance(value, str) else value

    def _unmarked(self, text: str) -> str:
        for known, name in self._names.items():
            if known in text and len(known) > 8:
                text = text.replace(known, name)
        return re.sub(f"-?{self._mark}", "", text)

    def _named(self, value: str, kind: str) -> str:
        if value not in self._names:
            if self._mark in value:
                return self._unmarked(value)
            if len(value) < 20 and kind == "member":
                return value
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[value] = f"{kind}:{self._counts[kind]}"
        return self._names[value]

    def _records(self, data: bytes) -> list[Any]:
        """What is in batches; the last may be cut off, as Kafka does it."""
        found = []
        at = 0
        while len(data) - at >= header.HEADER_SIZE:
            end = at + header.LENGTH_END + int.from_bytes(data[at + 8 : at + 12], "big")
            if end > len(data):
                break
            found.append(_batch(data[at:end]))
            at = end
        return found


def _batch(batch: bytes) -> Any:
    head = header.parse(batch)
    return {
        "base_offset": head.base_offset,
        "codec": head.codec,
        "timestamp_type": head.timestamp_type,
        "values": _values(batch),
    }


def _values(batch: bytes) -> Any:
    try:
        records = decode(batch, "t", 0, 0)
    except CorruptRecord:
        return "not to be read"
    return [(record.value or b"").decode("latin-1") for record in records]

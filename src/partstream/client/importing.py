"""Imports a plain Redis stream into a topic: at least once, in order, and on from where it stopped.

A page of entries is sent, acknowledged, and only then noted as done. A crash in between sends the
page again; each record carries the ID of its entry in the header `redis-stream-id`, by which a
consumer can tell.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from partstream.client.producer import Producer
from partstream.errors import InvalidRequest

ID_HEADER = "redis-stream-id"
PAGE = 1_000
"""Entries that are read, sent and noted as done together."""

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Mapping:
    """How an entry's fields become a record."""

    fields_as: Literal["json", "headers"] = "json"
    """`json`: all fields are one JSON object, the value. `headers`: each is a header."""
    key_field: str | None = None
    """The field that is the record's key, too."""
    value_field: str | None = None
    """With `headers`: the field that is the record's value instead of a header."""
    timestamp: Literal["id", "now"] = "id"
    """`id`: the record has the time in the entry's ID. `now`: the time of the import."""


class Converted(NamedTuple):
    """An entry as a record."""

    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int | None


class Imported(NamedTuple):
    """How far an import has come."""

    entries: int
    """Since the first run for this stream and topic."""
    last_id: str
    """The ID of the last entry that is in the topic, or an empty string."""


def convert(entry_id: bytes, fields: Fields, mapping: Mapping) -> Converted:
    """The record of an entry."""
    key_field = mapping.key_field.encode() if mapping.key_field is not None else None
    key = next((value for name, value in fields if name == key_field), None)
    headers: list[tuple[str, bytes | None]] = [(ID_HEADER, entry_id)]
    if mapping.fields_as == "json":
        value = _as_json(fields)
    else:
        value_field = mapping.value_field.encode() if mapping.value_field is not None else None
        value = next((content for name, content in fields if name == value_field), b"")
        headers += [
            (name.decode(errors="replace"), content)
            for name, content in fields
            if name != value_field
        ]
    milliseconds = int(entry_id.split(b"-")[0]) if mapping.timestamp == "id" else None
    return Converted(value, key, headers, milliseconds)


def _as_json(fields: Fields) -> bytes:
    """An object of the fields; a name that stands there twice has a list of its values."""
    values: dict[str, list[Any]] = {}
    for name, content in fields:
        values.setdefault(name.decode(errors="replace"), []).append(_json(content))
    row = {name: found[0] if len(found) == 1 else found for name, found in values.items()}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def _json(content: bytes) -> Any:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


class StreamImport:
    """One stream into one topic, with the entries that the stream has when it begins."""

    def __init__(self, producer: Producer, stream: str, topic: str, mapping: Mapping) -> None:
        self._producer = producer
        self._store = producer.store
        self._stream = stream
        self._topic = topic
        self._mapping = mapping
        self._mark = ""

    async def prepare(self, *, restart: bool = False) -> tuple[Imported, int]:
        """Find the stream, the topic and how far an earlier run has come.

        Args:
            restart: forget the earlier run; what it has imported stays in the topic.

        Returns:
            How far it has come, and how many entries the stream has.

        Raises:
            InvalidRequest: there is no stream of that name.
            UnknownTopicOrPartition, InvalidTopic: there is no such topic, and none is created.
        """
        kind = (await self._execute("TYPE", self._stream)).decode()
        if kind != "stream":
            is_what = "there is no such key" if kind == "none" else f"it is a {kind}"
            raise InvalidRequest(f"cannot import {self._stream!r}: {is_what}, not a stream")
        topic = await self._producer.refresh(self._topic)
        self._mark = f"{topic.id}:{self._stream}"
        if restart:
            await self._note("HDEL", self._mark)
        noted = await self._note("HGET", self._mark)
        last_id, _, count = (noted or b"").decode().partition(" ")
        return Imported(int(count or 0), last_id), int(await self._execute("XLEN", self._stream))

    async def oldest_ms(self, done: Imported) -> int | None:
        """The time in the ID of the next entry to import; None if there is none."""
        page = await self._page(done.last_id, "+", 1)
        return int(page[0][0].split(b"-")[0]) if page else None

    async def run(
        self, done: Imported, *, page: int = PAGE, on_page: Callable[[int], None]
    ) -> Imported:
        """Import from where `done` is to the entry that is the last one now.

        Args:
            done: what `prepare` gave.
            page: how many entries are sent and noted together.
            on_page: called with the number of entries of each page that is done.

        Raises:
            PartstreamError: a record could not be delivered. The pages before it are noted.
        """
        newest = await self._execute("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        if not newest:
            return done
        until = newest[0][0].decode()
        while entries := await self._page(done.last_id, until, page):
            deliveries = []
            for entry_id, flat in entries:
                fields = list(zip(flat[::2], flat[1::2], strict=True))
                record = convert(entry_id, fields, self._mapping)
                deliveries.append(
                    await self._producer.send(
                        self._topic,
                        record.value,
                        key=record.key,
                        headers=record.headers,
                        timestamp_ms=record.timestamp_ms,
                    )
                )
            for delivery in deliveries:
                await delivery
            done = Imported(done.entries + len(entries), entries[-1][0].decode())
            await self._note("HSET", self._mark, f"{done.last_id} {done.entries}")
            on_page(len(entries))
        return done

    async def _page(self, after: str, until: str, count: int) -> list[Any]:
        # An entry that was deleted has no fields.
        start = f"({after}" if after else "-"
        rows: list[Any] = await self._execute("XRANGE", self._stream, start, until, "COUNT", count)
        return rows

    async def _execute(self, *command: str | int) -> Any:
        return await self._store.execute(*command, key=self._stream)

    async def _note(self, verb: str, *arguments: str) -> Any:
        key = self._store.keys.meta.imports
        answer = await self._store.execute(verb, key, *arguments, key=key)
        if verb != "HGET":
            await self._store.confirm(key)
        return answer

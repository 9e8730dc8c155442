"""Reads and writes Kafka's messages by their descriptions (`fields`), each version compiled when it
is first used.

No length is believed: every one is held against what is left of the frame before memory is taken
for it, and the structs that are made are counted.

A message that is read has all fields that any version of it has, so that a handler needs not ask
which version it is; what a version lacks has its default. A message to be written is a mapping:
fields that the version lacks are left out, and what is not given has its default. A name that no
version knows is a mistake, and refused.

Values are plain: times are milliseconds, errors are their codes, topic ids are 22 characters of
URL-safe base64 (None for zero).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from struct import error as PackError  # noqa: N812 (it is no class of ours)
from types import SimpleNamespace
from typing import Any, TypeAlias

from partstream.gateway.fields import (
    Field,
    Row,
    defaults_elsewhere,
    description,
    fields_of,
)
from partstream.gateway.primitives import (
    Input,
    Malformed,
    Reader,
    Writer,
    int8,
    length_of,
    primitive,
    uvarint,
    write_int8,
    write_uvarint,
)

MAX_STRUCTS = 1 << 18
"""A request that holds more structs than this is refused: each takes more memory than its bytes."""


class Struct(SimpleNamespace):
    """A message that was read, or a part of one: its fields are attributes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """How one struct is read and written, at one version."""

    read: Reader
    write: Writer
    least_size: int
    """The fewest bytes that it takes."""


def _compile(rows: Sequence[Row], version: int, flexible: bool) -> Schema:
    """The schema of a struct."""
    plain, tagged = [], {}
    least_size = 1 if flexible else 0
    for field in fields_of(rows, version):
        nested = None if field.struct is None else _compile(field.struct, version, flexible)
        read, write, size = _field_codec(field, nested, flexible)
        if field.tag is None:
            least_size += size
            plain.append((field.name, read, write, field.default))
        else:
            tagged[field.tag] = (field.name, read, write, field.default)
    defaults = {name: default for name, _, _, default in tagged.values()}
    unread = {**defaults_elsewhere(rows, version), **defaults}
    return Schema(
        _struct_reader(flexible, plain, tagged, {name: _made(unread[name]) for name in unread}),
        _struct_writer(flexible, plain, tagged, frozenset(row["name"] for row in rows)),
        max(least_size, 1),
    )


def _made(default: Any) -> Any:
    """A default as a reader gives it."""
    return Struct(**default) if isinstance(default, dict) else default


def _field_codec(field: Field, nested: Schema | None, flexible: bool) -> tuple[Reader, Writer, int]:
    """How a field is read and written, and the fewest bytes that it takes."""
    if nested is not None:
        read, write, size = nested.read, nested.write, nested.least_size
        if not field.array and field.optional and field.tag is None:
            return *_nullable_struct(nested), 1
    else:
        # An array that may be null holds values that may not.
        optional = field.optional and not field.array and field.tag is None
        read, write, size = primitive(field.kind or "", flexible, optional)
    if field.array:
        return *_array(read, write, size, flexible, field.optional), 1 if flexible else 4
    return read, write, size


def _array(
    read_one: Reader, write_one: Writer, least_size: int, flexible: bool, optional: bool
) -> tuple[Reader, Writer]:
    read_length, write_length = length_of("array", flexible)

    def read(source: Input, at: int) -> tuple[Any, int]:
        count, at = read_length(source, at)
        if count < 0:
            if not optional:
                raise Malformed(f"an array at {at} that must not be null is")
            return None, at
        if count * least_size > source.size - at:
            raise Malformed(f"an array of {count} at {at}, and {source.size - at} bytes are left")
        values = []
        for _ in range(count):
            value, at = read_one(source, at)
            values.append(value)
        return tuple(values), at

    def write(out: bytearray, values: Any) -> None:
        if values is None:
            if not optional:
                raise TypeError("an array that must not be None is")
            write_length(out, -1)
            return
        write_length(out, len(values))
        for value in values:
            write_one(out, value)

    return read, write


def _nullable_struct(schema: Schema) -> tuple[Reader, Writer]:
    """A struct that may be null has a byte before it that says so (KIP-893)."""

    def read(source: Input, at: int) -> tuple[Any, int]:
        there, at = int8(source, at)
        return (None, at) if there < 0 else schema.read(source, at)

    def write(out: bytearray, value: Any) -> None:
        write_int8(out, -1 if value is None else 1)
        if value is not None:
            schema.write(out, value)

    return read, write


_Column: TypeAlias = "tuple[str, Reader, Writer, Any]"


def _struct_reader(
    flexible: bool, plain: list[_Column], tagged: dict[int, _Column], others: dict[str, Any]
) -> Reader:
    columns = [(name, read) for name, read, _, _ in plain]

    def read_struct(source: Input, at: int) -> tuple[Any, int]:
        source.structs += 1
        if source.structs > MAX_STRUCTS:
            raise Malformed(f"a request of more than {MAX_STRUCTS} structs")
        values = dict(others)
        for name, read in columns:
            values[name], at = read(source, at)
        if flexible:
            at = read_tags(source, at, values)
        return Struct(**values), at

    def read_tags(source: Input, at: int, values: dict[str, Any]) -> int:
        count, at = uvarint(source, at)
        if 2 * count > source.size - at:
            raise Malformed(f"{count} tagged fields at {at}, and {source.size - at} bytes are left")
        for _ in range(count):
            tag, at = uvarint(source, at)
            size, at = uvarint(source, at)
            end = source.need(at, size)
            if tag in tagged:
                name, read, _, _ = tagged[tag]
                values[name], at = read(source, at)
                if at > end:
                    raise Malformed(f"the tagged field {name} is longer than it says")
            at = end
        return at

    return read_struct


def _struct_writer(
    flexible: bool, plain: list[_Column], tagged: dict[int, _Column], known: frozenset[str]
) -> Writer:
    columns = [(name, write, default) for name, _, write, default in plain]
    tags = [(tag, *tagged[tag]) for tag in sorted(tagged)]

    def write_struct(out: bytearray, values: Mapping[str, Any]) -> None:
        if not values.keys() <= known:
            raise KeyError(f"no version knows {sorted(values.keys() - known)}")
        for name, write, default in columns:
            write(out, values.get(name, default))
        if flexible:
            write_tags(out, values)

    def write_tags(out: bytearray, values: Mapping[str, Any]) -> None:
        # A tagged field that has its default is left out: old librdkafka trips over it.
        given = [
            (tag, write, values[name])
            for tag, name, _, write, default in tags
            if not _same(values.get(name, default), default)
        ]
        write_uvarint(out, len(given))
        for tag, write, value in given:
            field = bytearray()
            write(field, value)
            write_uvarint(out, tag)
            write_uvarint(out, len(field))
            out += field

    return write_struct


def _same(value: Any, default: Any) -> bool:
    """Whether a value is a field's default; an empty list is an empty tuple."""
    return bool(value == default or (default == () and value is not None and not len(value)))


class Message:
    """One request or response at one version."""

    __slots__ = ("_schema", "fields")

    def __init__(self, rows: Sequence[Row], version: int, flexible: bool) -> None:
        self._schema = _compile(rows, version, flexible)
        self.fields = frozenset(field.name for field in fields_of(rows, version))
        """The names of its fields at this version."""

    def decode(self, data: bytes, at: int = 0) -> Struct:
        """The message in `data` from `at` on; what stands behind it is ignored, as Kafka does.

        Raises:
            Malformed: it is none.
        """
        try:
            message, _ = self._schema.read(Input(data), at)
        except PackError:
            raise Malformed("the frame ends within a number") from None
        read: Struct = message
        return read

    def encode(self, values: Mapping[str, Any]) -> bytearray:
        """The bytes of a message."""
        out = bytearray()
        self._schema.write(out, values)
        return out


@cache
def request(name: str, version: int) -> Message:
    """The request of an API.

    Raises:
        ValueError: it is not described.
    """
    return Message(*description(name, "request", version))


@cache
def response(name: str, version: int) -> Message:
    """The response of an API; as `request`."""
    return Message(*description(name, "response", version))

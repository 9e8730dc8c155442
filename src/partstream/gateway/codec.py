"""Reads and writes Kafka's messages by the field lists of kio's classes, each compiled once.

Only kio's descriptions are used here, generated from Kafka's own: its reader takes memory for what
an array's length promises, and so must not see bytes of a stranger. This one holds every length
against what is left of the frame, and counts the structs that it makes.

A message that is read has all fields that any version of it has, so that a handler needs not ask
which version it is; what a version lacks has its default. A message to be written is a mapping:
fields that the version lacks are left out, and what is not given has its default. A name that no
version knows is a mistake, and refused.

Values are plain: times are milliseconds, errors are their codes, topic ids are 22 characters of
URL-safe base64 (None for zero).
"""

from __future__ import annotations

import dataclasses
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from struct import Struct as Packer
from struct import error as PackError  # noqa: N812 (it is no class of ours)
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from kio.index import KioIndexError, load_request_schema, load_response_schema

from partstream.errors import InvalidRequest

MAX_STRUCTS = 1 << 18
"""A request that holds more structs than this is refused: each takes more memory than its bytes."""

Reader: TypeAlias = Callable[["Input", int], tuple[Any, int]]
Writer: TypeAlias = Callable[[bytearray, Any], None]


class Malformed(InvalidRequest):
    """The bytes are no message of the kind that they say."""


class Struct(SimpleNamespace):
    """A message that was read, or a part of one: its fields are attributes."""


class Input:
    """A frame that is being read."""

    __slots__ = ("data", "size", "structs")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.structs = 0

    def need(self, at: int, count: int) -> int:
        """Where so many bytes end.

        Raises:
            Malformed: the frame ends before.
        """
        if count < 0 or count > self.size - at:
            raise Malformed(f"{count} bytes at {at}, and {self.size - at} are left")
        return at + count


# Numbers.


def _number(format_: str) -> tuple[Reader, Writer]:
    packer = Packer(format_)
    unpack, pack, size = packer.unpack_from, packer.pack, packer.size

    def read(source: Input, at: int) -> tuple[Any, int]:
        return unpack(source.data, at)[0], at + size

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return read, write


def uvarint(source: Input, at: int) -> tuple[int, int]:
    """An unsigned varint of at most five bytes.

    Raises:
        Malformed: it is longer, or the frame ends before it does.
    """
    data, value, shift = source.data, 0, 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 28:
                raise Malformed(f"a varint at {at} has more than five bytes")
    except IndexError:
        raise Malformed("the frame ends within a varint") from None


def write_uvarint(out: bytearray, value: int) -> None:
    """Append an unsigned varint."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


_int8, _write_int8 = _number(">b")
_int16, _write_int16 = _number(">h")
_int32, _write_int32 = _number(">i")


# Lengths: null is -1, or 0 in the compact form, which adds one.


def _compact_length(source: Input, at: int) -> tuple[int, int]:
    value, at = uvarint(source, at)
    return value - 1, at


def _write_compact_length(out: bytearray, length: int) -> None:
    write_uvarint(out, length + 1)


def _length(kind: str, flexible: bool) -> tuple[Reader, Writer]:
    if flexible:
        return _compact_length, _write_compact_length
    return (_int16, _write_int16) if kind == "string" else (_int32, _write_int32)


def _text(kind: str, flexible: bool, optional: bool) -> tuple[Reader, Writer]:
    read_length, write_length = _length(kind, flexible)
    is_text = kind == "string"

    def read(source: Input, at: int) -> tuple[Any, int]:
        length, at = read_length(source, at)
        if length < 0:
            if not optional or length < -1:
                raise Malformed(f"a {kind} at {at} that must not be null is")
            return None, at
        end = source.need(at, length)
        value = source.data[at:end]
        if not is_text:
            return value, end
        try:
            return value.decode(), end
        except UnicodeDecodeError as error:
            raise Malformed(f"a string at {at} is not UTF-8: {error.reason}") from None

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            if not optional:
                raise TypeError(f"a {kind} that must not be None is")
            write_length(out, -1)
            return
        data = value.encode() if is_text else value
        write_length(out, len(data))
        out += data

    return read, write


def _read_bool(source: Input, at: int) -> tuple[bool, int]:
    value, at = _int8(source, at)
    return value != 0, at


def _write_bool(out: bytearray, value: Any) -> None:
    out.append(1 if value else 0)


@lru_cache(1024)
def id_text(raw: bytes) -> str | None:
    """A topic id of 16 bytes as text; None for zero."""
    return urlsafe_b64encode(raw).decode()[:22] if any(raw) else None


@lru_cache(1024)
def id_bytes(text: str | None) -> bytes:
    """The 16 bytes of a topic id; zero for None."""
    return urlsafe_b64decode(text + "==") if text else bytes(16)


def _read_uuid(source: Input, at: int) -> tuple[str | None, int]:
    end = source.need(at, 16)
    return id_text(source.data[at:end]), end


def _write_uuid(out: bytearray, value: Any) -> None:
    out += id_bytes(value)


_FIXED: dict[str, tuple[Reader, Writer, int]] = {
    "int8": (_int8, _write_int8, 1),
    "int16": (_int16, _write_int16, 2),
    "int32": (_int32, _write_int32, 4),
    "int64": (*_number(">q"), 8),
    "uint8": (*_number(">B"), 1),
    "uint16": (*_number(">H"), 2),
    "uint32": (*_number(">I"), 4),
    "uint64": (*_number(">Q"), 8),
    "float64": (*_number(">d"), 8),
    "bool": (_read_bool, _write_bool, 1),
    "uuid": (_read_uuid, _write_uuid, 16),
    "error_code": (_int16, _write_int16, 2),
    "timedelta_i32": (_int32, _write_int32, 4),
    "timedelta_i64": (*_number(">q"), 8),
    "datetime_i64": (*_number(">q"), 8),
}


# Fields.


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """One field of a class, as its annotation says."""

    name: str
    kind: str | None
    """kio's name of a primitive type; None for a struct."""
    struct: Any
    """The class of a struct, or of an array's structs."""
    array: bool
    optional: bool
    tag: int | None
    default: Any


_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (NoneType, lambda value: value),
    (bool, lambda value: value),
    (timedelta, lambda value: value // timedelta(milliseconds=1)),
    (datetime, lambda value: round(value.timestamp() * 1000)),
    (UUID, lambda value: id_text(value.bytes)),
    (Enum, lambda value: int(value.value)),
    (int, int),
    (float, float),
    (str, str),
    (bytes, bytes),
    (tuple, lambda value: tuple(map(_plain, value))),
)
"""How values of kio's become values of ours."""


def _plain(value: Any) -> Any:
    """A default of kio's as a value of ours."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    for kind, convert in _PLAIN:
        if isinstance(value, kind):
            return convert(value)
    raise TypeError(f"a default of type {type(value).__name__}")


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    """A type without None, and whether None was there."""
    if get_origin(annotation) not in (UnionType, Union):
        return annotation, False
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0], len(kinds) < len(get_args(annotation))


def _field(field: dataclasses.Field[Any]) -> _Field:
    inner, optional = _unwrapped(field.type)
    array = get_origin(inner) is tuple
    if array:
        inner, _ = _unwrapped(get_args(inner)[0])
    struct = inner if dataclasses.is_dataclass(inner) else None
    kind = None if struct else field.metadata["kafka_type"]
    if field.default is not dataclasses.MISSING:
        default = _plain(field.default)
    elif array:
        default = None if optional else ()
    elif struct is not None:
        default = None if optional else {}
    else:
        default = None if optional else _ZERO.get(kind or "", 0)
    return _Field(field.name, kind, struct, array, optional, field.metadata.get("tag"), default)


_ZERO: dict[str, Any] = {"string": "", "bytes": b"", "records": None, "bool": False, "uuid": None}


def _fields(cls: Any) -> list[_Field]:
    return [_field(field) for field in dataclasses.fields(cls)]


def _peers(field: _Field, peers: Sequence[Any]) -> tuple[Any, ...]:
    """The classes that stand at the same place in the other versions."""
    return tuple(
        other.struct
        for cls in peers
        for other in _fields(cls)
        if other.name == field.name and other.struct is not None
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """How one struct is read and written, at one version."""

    read: Reader
    write: Writer
    least_size: int
    """The fewest bytes that it takes."""


@cache
def _compile(cls: Any, peers: tuple[Any, ...]) -> Schema:
    """The schema of a class.

    Args:
        peers: the classes of the same struct at every version, oldest first.
    """
    flexible: bool = cls.__flexible__
    plain, tagged = [], {}
    least_size = 1 if flexible else 0
    for field in _fields(cls):
        nested = _compile(field.struct, _peers(field, peers)) if field.struct else None
        read, write, size = _field_codec(field, nested, flexible)
        if field.tag is None:
            least_size += size
            plain.append((field.name, read, write, field.default))
        else:
            tagged[field.tag] = (field.name, read, write, field.default)
    own = {name for name, *_ in (*plain, *tagged.values())}
    absent = _absent(own, peers)
    defaults = {name: _made(default) for name, _, _, default in tagged.values()}
    return Schema(
        _struct_reader(flexible, plain, tagged, {**absent, **defaults}),
        _struct_writer(flexible, plain, tagged, frozenset(own | absent.keys())),
        max(least_size, 1),
    )


def _made(default: Any) -> Any:
    """A default as a reader gives it."""
    return Struct(**default) if isinstance(default, dict) else default


def _absent(own: set[str], peers: Sequence[Any]) -> dict[str, Any]:
    """The fields that only other versions have, and their defaults."""
    return {
        field.name: _made(field.default)
        for cls in peers
        for field in _fields(cls)
        if field.name not in own
    }


def _field_codec(
    field: _Field, nested: Schema | None, flexible: bool
) -> tuple[Reader, Writer, int]:
    """How a field is read and written, and the fewest bytes that it takes."""
    if nested is not None:
        read, write, size = nested.read, nested.write, nested.least_size
        if not field.array and field.optional and field.tag is None:
            return *_nullable_struct(nested), 1
    else:
        # An array that may be null holds values that may not.
        optional = field.optional and not field.array and field.tag is None
        read, write, size = _primitive(field.kind or "", flexible, optional)
    if field.array:
        return *_array(read, write, size, flexible, field.optional), 1 if flexible else 4
    return read, write, size


def _primitive(kind: str, flexible: bool, optional: bool) -> tuple[Reader, Writer, int]:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind not in ("string", "bytes", "records"):
        raise TypeError(f"a field of type {kind}")
    size = 1 if flexible else (2 if kind == "string" else 4)
    return *_text(kind, flexible, optional), size


def _array(
    read_one: Reader, write_one: Writer, least_size: int, flexible: bool, optional: bool
) -> tuple[Reader, Writer]:
    read_length, write_length = _length("array", flexible)

    def read(source: Input, at: int) -> tuple[Any, int]:
        count, at = read_length(source, at)
        if count < 0:
            if not optional or count < -1:
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
        there, at = _int8(source, at)
        return (None, at) if there < 0 else schema.read(source, at)

    def write(out: bytearray, value: Any) -> None:
        _write_int8(out, -1 if value is None else 1)
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
            if values.get(name, default) != default
        ]
        write_uvarint(out, len(given))
        for tag, write, value in given:
            field = bytearray()
            write(field, value)
            write_uvarint(out, tag)
            write_uvarint(out, len(field))
            out += field

    return write_struct


class Message:
    """One request or response at one version."""

    __slots__ = ("_schema", "fields", "flexible")

    def __init__(self, cls: Any, peers: tuple[Any, ...]) -> None:
        self._schema = _compile(cls, peers)
        self.flexible: bool = cls.__flexible__
        self.fields = frozenset(field.name for field in dataclasses.fields(cls))
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
def _versions(api_key: int, response: bool, most: int) -> tuple[Any, ...]:
    """The classes of an API's message at every version that there is, oldest first."""
    load = load_response_schema if response else load_request_schema
    found = []
    for version in range(most + 1):
        try:
            found.append(load(api_key, version))
        except KioIndexError:  # there is no such version
            continue
    return tuple(found)


@cache
def request(api_key: int, version: int, most: int) -> Message:
    """The request of an API; `most` is the newest version that handlers know."""
    return Message(load_request_schema(api_key, version), _versions(api_key, False, most))


@cache
def response(api_key: int, version: int, most: int) -> Message:
    """The response of an API; `most` is the newest version that handlers know."""
    return Message(load_response_schema(api_key, version), _versions(api_key, True, most))

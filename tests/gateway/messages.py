"""Random messages of any of Kafka's classes, as plain values and as kio's own objects."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

from partstream.gateway.codec import Struct
from partstream.gateway.fields import Field
from partstream.gateway.primitives import id_bytes, id_text
from scripts.messages import fields_of

_TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
_IDS = st.none() | st.binary(min_size=16, max_size=16).map(id_text)


def _ints(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    half = 1 << (bits - 1)
    return st.integers(-half, half - 1) if signed else st.integers(0, 2 * half - 1)


_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int8": _ints(8),
    "int16": _ints(16),
    "int32": _ints(32),
    "int64": _ints(64),
    "uint8": _ints(8, signed=False),
    "uint16": _ints(16, signed=False),
    "uint32": _ints(32, signed=False),
    "uint64": _ints(64, signed=False),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "uuid": _IDS,
    "string": _TEXT,
    "bytes": st.binary(max_size=6),
    "records": st.binary(max_size=6),
    "error_code": st.sampled_from([code.value for code in ErrorCode]).map(int),
    "timedelta_i32": _ints(32),
    "timedelta_i64": st.integers(0, 10**12),
    "datetime_i64": st.integers(0, 10**12),
}


def messages(cls: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Plain values of all the fields of a class."""
    return st.fixed_dictionaries({field.name: _values(field) for field in fields_of(cls)})


def _values(field: Field) -> st.SearchStrategy[Any]:
    values = messages(field.struct) if field.struct else _KINDS[field.kind or ""]
    if field.array:
        values = st.lists(values, max_size=3)
    if field.kind == "datetime_i64" and field.optional:
        return st.just(-1) | values
    may_be_none = field.optional and field.kind != "uuid"
    # A tagged field that is None is one that is left out.
    if may_be_none and (field.tag is None or field.default is None):
        values = st.none() | values
    return values


_ONE: dict[str, Any] = {"bool": False, "uuid": None, "bytes": b"x", "records": b"x"}


def one_of_each(cls: Any, name: str) -> dict[str, Any]:
    """A message with one element in each list; every number is 1."""
    return {field.name: _one_of(field, name) for field in fields_of(cls)}


def _one_of(field: Field, name: str) -> Any:
    if field.struct:
        one: Any = one_of_each(field.struct, name)
    elif field.kind == "string":
        one = name
    else:
        one = _ONE.get(field.kind or "", 1)
    if field.array:
        return [one]
    return None if field.optional else one


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of a message with some of them changed, or cut off, or others behind."""

    def change(places: list[tuple[int, int]], cut: int, more: bytes) -> bytes:
        body = bytearray(whole)
        for at, value in places:
            if body:
                body[at % len(body)] = value
        return bytes(body[: len(body) - cut % (len(body) + 1)]) + more

    bytes_of_lengths = st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255)
    places = st.lists(st.tuples(st.integers(0, 1 << 16), bytes_of_lengths), max_size=4)
    cuts = st.just(0) | st.integers(0, 1 << 16)
    return st.builds(change, places, cuts, st.binary(max_size=8))


def as_kio(cls: Any, values: dict[str, Any]) -> Any:
    """The same message as an object of kio's class."""
    return cls(**{field.name: _as_kio(field, values[field.name]) for field in fields_of(cls)})


def _as_kio(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.array:
        return tuple(_one(field, item) for item in value)
    return _one(field, value)


def _one(field: Field, value: Any) -> Any:
    if field.struct:
        return as_kio(field.struct, value)
    if field.kind == "uuid":
        return UUID(bytes=id_bytes(value)) if value else None
    if field.kind == "error_code":
        return ErrorCode(value)
    if field.kind in ("timedelta_i32", "timedelta_i64"):
        return timedelta(milliseconds=value)
    if field.kind == "datetime_i64":
        return None if value == -1 else datetime.fromtimestamp(value / 1000, UTC)
    return value


def written_by_kio(cls: Any, message: Any) -> bytes:
    """The bytes that kio writes."""
    buffer = io.BytesIO()
    entity_writer(cls)(buffer, message)
    return buffer.getvalue()


def read_by_kio(cls: Any, data: bytes) -> Any:
    """What kio reads; only of bytes that we wrote."""
    message, _ = entity_reader(cls)(data, 0)
    return message


def plain(value: Any) -> Any:
    """A message that was read, as the values that it was made of."""
    if isinstance(value, Struct):
        return {name: plain(item) for name, item in vars(value).items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def holds(read: Any, given: Any) -> bool:
    """Whether what was read has all that was given (and perhaps fields of other versions)."""
    if isinstance(given, dict):
        return isinstance(read, dict) and all(
            name in read and holds(read[name], value) for name, value in given.items()
        )
    if isinstance(given, list):
        return (
            isinstance(read, list)
            and len(read) == len(given)
            and all(holds(one, other) for one, other in zip(read, given, strict=True))
        )
    return bool(read == given)

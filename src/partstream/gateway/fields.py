"""The fields of kio's classes, and their defaults, as plain values.

kio's classes are generated from the message definitions of Apache Kafka itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

from partstream.gateway.primitives import id_text


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
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


def _field(field: dataclasses.Field[Any]) -> Field:
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
    if kind == "datetime_i64" and default is None:
        default = -1
    return Field(field.name, kind, struct, array, optional, field.metadata.get("tag"), default)


_ZERO: dict[str, Any] = {"string": "", "bytes": b"", "records": None, "bool": False, "uuid": None}


def fields_of(cls: Any) -> list[Field]:
    """The fields of a class, in their order."""
    return [_field(field) for field in dataclasses.fields(cls)]

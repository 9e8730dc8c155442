"""Writes the messages that the gateway knows, src/partstream/gateway/messages/, from kio's classes.

    python -m scripts.messages

kio's classes are generated from the message definitions of Apache Kafka, one for each version. Here
the versions become one again, as Kafka has them: those that the gateway's table serves. A test
holds that the files are up to date.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

from kio.index import load_request_schema, load_response_schema

from partstream.gateway import fields
from partstream.gateway.fields import Field, Row, default_of
from partstream.gateway.primitives import id_text
from partstream.gateway.table import TABLE
from partstream.gateway.versions import Versions

FOLDER = Path(__file__).parents[1] / "src" / "partstream" / "gateway" / "messages"

# From kio's classes to fields.

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
    else:
        default = default_of(kind, array, optional, fields_of(struct) if struct else ())
    if kind == "datetime_i64" and default is None:
        default = -1
    return Field(field.name, kind, struct, array, optional, field.metadata.get("tag"), default)


def fields_of(cls: Any) -> list[Field]:
    """The fields of a class, in their order, with kio's names of types."""
    return [_field(field) for field in dataclasses.fields(cls)]


# From fields to rows.

_KINDS = {
    "error_code": "int16",
    "timedelta_i32": "int32",
    "timedelta_i64": "int64",
    "datetime_i64": "int64",
}
"""Kafka's names of types, where kio has others."""


def _as_kafka(field: Field) -> Field:
    """The field with Kafka's name of its type; null is only what the protocol has a null for."""
    kind = _KINDS.get(field.kind or "", field.kind)
    optional = field.optional and (field.array or kind in (None, "string", "bytes", "records"))
    return dataclasses.replace(field, kind=kind, optional=optional)


def _span(versions: Sequence[int], newest: int | None = None) -> str:
    """Versions as a row names them; "+" stands for those up to the newest."""
    least, most = versions[0], versions[-1]
    if list(versions) != list(range(least, most + 1)):
        raise ValueError(f"versions with gaps: {versions}")
    if most == newest:
        return f"{least}+"
    return f"{least}-{most}" if least < most else str(least)


def _row(name: str, versions: Mapping[int, Field], every: Iterable[int]) -> Row:
    """The row of a field, from what it is at each version of `every` that has it."""
    newest = max(versions)
    field = versions[newest]
    kind = field.struct.__name__ if field.struct else field.kind
    row: Row = {"name": name, "type": f"[]{kind}" if field.array else kind}
    if versions.keys() != set(every):
        row["versions"] = _span(list(versions), max(every))
    if optional := [version for version, one in versions.items() if one.optional]:
        row["nullable"] = _span(optional, newest)
    if field.tag is not None:
        row["tag"] = field.tag
    inner = fields_of(field.struct) if field.struct else ()
    if field.default != default_of(field.kind, field.array, field.optional, inner):
        row["default"] = field.default
    if field.struct:
        row["fields"] = rows_of({version: one.struct for version, one in versions.items()})
    return row


def rows_of(classes: Mapping[int, Any]) -> list[Row]:
    """The rows of a struct, from its class at every version, oldest first.

    Raises:
        ValueError: rows cannot say what the classes say.
    """
    found = {
        version: {field.name: _as_kafka(field) for field in fields_of(cls)}
        for version, cls in classes.items()
    }
    names: list[str] = []
    for of_version in reversed(found.values()):
        at = 0
        for name in of_version:
            if name not in names:
                names.insert(at, name)
            at = names.index(name) + 1
    rows = [
        _row(name, {version: one[name] for version, one in found.items() if name in one}, found)
        for name in names
    ]
    for version, of_version in found.items():
        said = [dataclasses.replace(one, struct=None) for one in fields.fields_of(rows, version)]
        if said != [dataclasses.replace(one, struct=None) for one in of_version.values()]:
            raise ValueError(f"{classes[version]} is not what its rows say: {said}")
    return rows


# From rows to files.


def _text(rows: Iterable[Row], indent: str) -> str:
    """A line for each row; those of a struct's fields stand below its own."""
    texts = []
    for row in rows:
        text = indent + json.dumps({name: row[name] for name in row if name != "fields"})
        if "fields" in row:
            inner = _text(row["fields"], indent + "  ")
            text = f'{text[:-1]}, "fields": [\n{inner}\n{indent}]}}'
        texts.append(text)
    return ",\n".join(texts)


def file_of(api: Versions) -> str:
    """The text of an API's file.

    Raises:
        ValueError: request and response are not flexible from the same version on.
    """
    every = range(api.least, api.most + 1)
    parts = {
        part: {version: load(api.key, version) for version in every}
        for part, load in (("request", load_request_schema), ("response", load_response_schema))
    }
    flexible = [
        [version for version, cls in classes.items() if cls.__flexible__]
        for classes in parts.values()
    ]
    if flexible[0] != flexible[1]:
        raise ValueError(f"{api.name}: {flexible[0]} and {flexible[1]} are flexible")
    head = {"key": api.key, "name": api.name, "versions": _span(every)}
    if flexible[0]:
        head["flexible"] = _span(flexible[0], api.most)
    texts = [json.dumps(head)[:-1]]
    for part, classes in parts.items():
        texts.append(f'"{part}": [\n{_text(rows_of(classes), "  ")}\n]')
    return ",\n".join(texts) + "}\n"


def every_file() -> dict[str, str]:
    """The names and texts of all files."""
    return {f"{api.name}.json": file_of(api) for api in TABLE}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, text in every_file().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

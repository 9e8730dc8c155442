"""The fields of Kafka's messages, as the files in `messages/` have them: an API each, all versions.

They look like Kafka's own: a row is a field, and says which versions have it ("4+", "0-3", "5";
all that have its struct, if it says nothing), and in which it may be null. `python -m
scripts.messages` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, TypeAlias

Row: TypeAlias = dict[str, Any]

_FILES = files("partstream.gateway") / "messages"
_NO_END = 1 << 15
"""One more than the greatest version that a request can name."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct, at one version."""

    name: str
    kind: str | None
    """The name of a primitive type; None for a struct."""
    struct: Any
    """What describes a struct, or an array's structs."""
    array: bool
    optional: bool
    tag: int | None
    default: Any


class Description(NamedTuple):
    """What is said of a message, for one version."""

    rows: Sequence[Row]
    """Its fields at every version."""
    version: int
    flexible: bool


@cache
def _definition(name: str) -> dict[str, Any]:
    text = (_FILES / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def description(name: str, part: Literal["request", "response"], version: int) -> Description:
    """What the file of an API says of its request or response.

    Raises:
        ValueError: the API's file has no such version.
    """
    found = _definition(name)
    if version not in _versions(found["versions"]):
        raise ValueError(f"messages/{name}.json has no version {version}")
    flexible = "flexible" in found and version in _versions(found["flexible"])
    return Description(found[part], version, flexible)


def _versions(text: str) -> range:
    """The versions that "4+", "0-3" or "5" stand for."""
    least, more, most = text.removesuffix("+").partition("-")
    if text.endswith("+"):
        return range(int(least), _NO_END)
    return range(int(least), int(most if more else least) + 1)


def _versions_of(row: Row) -> range:
    return _versions(row.get("versions", "0+"))


def fields_of(rows: Sequence[Row], version: int) -> list[Field]:
    """The fields that a struct has at a version, in their order."""
    return [_field(row, version) for row in rows if version in _versions_of(row)]


def defaults_elsewhere(rows: Sequence[Row], version: int) -> dict[str, Any]:
    """The fields that a struct has at other versions only, and their newest defaults."""
    return {
        row["name"]: _field(row, _versions_of(row)[-1]).default
        for row in rows
        if version not in _versions_of(row)
    }


def _field(row: Row, version: int) -> Field:
    array, struct = row["type"].startswith("[]"), row.get("fields")
    kind = None if struct is not None else row["type"].removeprefix("[]")
    optional = "nullable" in row and version in _versions(row["nullable"])
    if "default" in row:
        default = tuple(row["default"]) if array else row["default"]
    else:
        default = default_of(kind, array, optional, fields_of(struct or (), version))
    return Field(row["name"], kind, struct, array, optional, row.get("tag"), default)


_ZERO = {"string": "", "bytes": b"", "records": None, "bool": False, "uuid": None}


def default_of(kind: str | None, array: bool, optional: bool, fields: Iterable[Field]) -> Any:
    """The default of a field that names none.

    Args:
        fields: those of a struct.
    """
    if optional:
        return None
    if array:
        return ()
    if kind is None:
        return {field.name: field.default for field in fields}
    return _ZERO.get(kind, 0)

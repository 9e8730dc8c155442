"""Records to bytes, as people and programs want to see them. Pure: no I/O."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from partstream.model import Record

Formatter = Callable[[Record], bytes]

_TOKEN = re.compile(r"%(.)|\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\"}


def _length(data: bytes | None) -> bytes:
    return b"%d" % (-1 if data is None else len(data))


def _headers_text(record: Record) -> bytes:
    return b",".join(name.encode() + b"=" + (value or b"") for name, value in record.headers)


_PARTS: dict[str, Formatter] = {
    "t": lambda record: record.topic.encode(),
    "p": lambda record: b"%d" % record.partition,
    "o": lambda record: b"%d" % record.offset,
    "k": lambda record: record.key or b"",
    "K": lambda record: _length(record.key),
    "s": lambda record: record.value or b"",
    "S": lambda record: _length(record.value),
    "T": lambda record: b"%d" % record.timestamp,
    "h": _headers_text,
    "%": lambda _: b"%",
}
"""kcat's names."""


class BadFormat(ValueError):
    """A format string with a part that means nothing; the text names it."""


def compile_format(text: str) -> Formatter:
    r"""A format string as kcat's: `%t %p %o %k %K %s %S %T %h %%`, `\n \r \t \0 \xHH`.

    Raises:
        BadFormat: it has another `%` or backslash in it.
    """
    parts: list[Formatter] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts.append(_literal(text[end : match.start()].encode()))
        parts.append(_part(match))
        end = match.end()
    rest = text[end:]
    if rest.endswith(("%", "\\")):
        raise BadFormat(f"{rest[-1]!r} at the end means nothing")
    parts.append(_literal(rest.encode()))
    return lambda record: b"".join([part(record) for part in parts])


def _part(match: re.Match[str]) -> Formatter:
    if match[1]:
        found = _PARTS.get(match[1])
        if found is None:
            raise BadFormat(f"%{match[1]}: expected one of %{' %'.join(_PARTS)}")
        return found
    escape = match[2]
    if len(escape) == 3:
        return _literal(bytes.fromhex(escape[1:]))
    if escape not in _ESCAPES:
        raise BadFormat(rf"\{escape}: expected one of \n \r \t \0 \\ \xHH")
    return _literal(_ESCAPES[escape])


def _literal(data: bytes) -> Formatter:
    return lambda _: data


def text_format(separator: str | None) -> Formatter:
    """The value and a newline; with a separator, the key and it before."""
    if separator is None:
        return lambda record: (record.value or b"") + b"\n"
    between = separator.encode()
    return lambda record: (record.key or b"") + between + (record.value or b"") + b"\n"


def json_format(record: Record) -> bytes:
    """One line of JSON, which `produce --json` takes back; bytes that are no UTF-8 in base64."""
    row = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": json_of(record.key),
        "value": json_of(record.value),
        "headers": [[name, json_of(value)] for name, value in record.headers],
    }
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def json_of(data: bytes | None) -> Any:
    """A key or value as JSON has it: text, or what is no UTF-8 in base64."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}

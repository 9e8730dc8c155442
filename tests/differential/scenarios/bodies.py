"""Every API: requests that are cut off, go on behind their end, or claim lengths that cannot be."""

from __future__ import annotations

from typing import Any

from kio.index import load_request_schema

from partstream.gateway import codec
from partstream.gateway.fields import Field, fields_of
from partstream.gateway.table import TABLE, Api
from tests.differential.scenario import Play, scenario
from tests.differential.session import DISCONNECTED, Session, frame

_PLAIN: dict[str, Any] = {"bool": False, "uuid": None, "bytes": b"x", "records": b"x"}


def _values(cls: Any, name: str) -> dict[str, Any]:
    """A message with one element in each list; every number is 1."""
    return {field.name: _value(field, name) for field in fields_of(cls)}


def _value(field: Field, name: str) -> Any:
    if field.struct:
        one: Any = _values(field.struct, name)
    elif field.kind == "string":
        one = name
    else:
        one = _PLAIN.get(field.kind or "", 1)
    if field.array:
        return [one]
    return None if field.optional else one


def _bodies(whole: bytes) -> list[bytes]:
    """What is sent in place of a good body, and the good one last."""
    length = len(whole)
    cut = [whole[: length * part // 3] for part in range(3)] + [whole[:-1]]
    claims = [whole[:-1] + b"\x7f", *(byte * length for byte in (b"\xff", b"\x7f", b"\x80"))]
    return [*cut, *claims, whole + b"\xff\xff\xff", whole]


def _play(api: Api) -> Play:
    async def play(s: Session) -> None:
        cls = load_request_schema(api.key, s.version)
        values = _values(cls, s.name("x"))
        whole = bytes(codec.request(api.key, s.version, api.most).encode(values))
        for body in _bodies(whole) if whole else [b"", b"\xff\xff\xff"]:
            answer = await s.exchange(frame(api.key, s.version, body))
            s.keep("answered" if answer else DISCONNECTED)

    play.__name__ = api.name
    return play


for _api in TABLE:
    scenario(_api.key)(_play(_api))

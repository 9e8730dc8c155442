"""Every API: requests that are cut off, go on behind their end, or claim lengths that cannot be."""

from __future__ import annotations

from kio.index import load_request_schema

from partstream.gateway import codec
from partstream.gateway.table import TABLE, Api
from tests.differential.scenario import Play, scenario
from tests.differential.session import DISCONNECTED, Session, frame
from tests.gateway.messages import one_of_each


def _bodies(whole: bytes) -> list[bytes]:
    """What is sent in place of a good body, and the good one last."""
    length = len(whole)
    cut = [whole[: length * part // 3] for part in range(3)] + [whole[:-1]]
    claims = [whole[:-1] + b"\x7f", *(byte * length for byte in (b"\xff", b"\x7f", b"\x80"))]
    return [*cut, *claims, whole + b"\xff\xff\xff", whole]


def _play(api: Api) -> Play:
    async def play(s: Session) -> None:
        cls = load_request_schema(api.key, s.version)
        values = one_of_each(cls, s.name("x"))
        whole = bytes(codec.request(api.name, s.version).encode(values))
        for body in _bodies(whole) if whole else [b"", b"\xff\xff\xff"]:
            answer = await s.exchange(frame(api.key, s.version, body))
            s.keep("answered" if answer else DISCONNECTED)

    play.__name__ = api.name
    return play


for _api in TABLE:
    scenario(_api.key)(_play(_api))

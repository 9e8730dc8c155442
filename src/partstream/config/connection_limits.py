"""How many connections single addresses may have: Kafka's `max.connections.per.ip.overrides`."""

from __future__ import annotations

import re

from partstream.config.common import INT32_MAX

_HOST = re.compile(r"[0-9a-zA-Z\-%._:]+")


def parse_limits(text: str) -> dict[str, int]:
    """The limit of each host of a list; what stands behind the last colon is the limit.

    Args:
        text: `HOST:N`, with commas between several. A host is a name or an address; an IPv6 address
            may stand in brackets.

    Raises:
        ValueError: it is something else; the text says what was expected.
    """
    found: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        host, colon, limit = part.rpartition(":")
        host, limit = host.strip().removeprefix("[").removesuffix("]"), limit.strip()
        if not colon or not _HOST.fullmatch(host) or not limit.isdecimal():
            raise ValueError(f"{part!r}: expected HOST:N")
        if int(limit) > INT32_MAX:
            raise ValueError(f"{part!r}: expected at most {INT32_MAX} connections")
        if host in found:
            raise ValueError(f"{host!r} is there twice")
        found[host] = int(limit)
    return found

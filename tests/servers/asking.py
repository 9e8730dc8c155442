"""Commands to any server by its URL, outside of what is under test."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from partstream.embedded import resp


def ask(url: str, *command: str | bytes | float) -> resp.Reply:
    """Send one command to the server of a `redis://` URL."""
    parts = urlsplit(url)
    address = (parts.hostname or "localhost", parts.port or 6379)
    return resp.call(address, *command, password=unquote(parts.password or ""))

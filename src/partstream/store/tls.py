"""TLS contexts: what a client trusts and shows, shared by its connections.

A context that was made for each connection would take a megabyte and some ten milliseconds every
time, most of it for authorities of the system that are not even wanted where one is named.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypeAlias

from redis.asyncio.connection import SSLConnection

_Stamp: TypeAlias = "tuple[tuple[str, int, int, int], ...]"


class Contexts:
    """The context of one set of options, made anew when a file that it came from has changed."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._stamp: _Stamp = ()

    def give(self, connection: SSLConnection) -> None:
        """Have a connection use it.

        Raises:
            OSError: a file cannot be read, or does not hold what it should (ssl.SSLError).
        """
        wanted = connection.ssl_context
        stamp = _stamp(wanted.ca_certs, wanted.certfile, wanted.keyfile)
        if self._context is None or stamp != self._stamp:
            self._context, self._stamp = _made(connection), stamp
        wanted.context = self._context


def _stamp(*paths: str | None) -> _Stamp:
    found = []
    for path in paths:
        if path:
            state = Path(path).stat()
            found.append((path, state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)


def _made(connection: SSLConnection) -> ssl.SSLContext:
    """The context that a connection's options ask for.

    As redis-py would make it, but for one thing: an authority that is named is the only one, and
    not one more beside those of the system.
    """
    wanted = connection.ssl_context
    if wanted.ca_certs or wanted.ca_data or wanted.ca_path:
        context = ssl.create_default_context(
            cafile=wanted.ca_certs, capath=wanted.ca_path, cadata=wanted.ca_data
        )
    else:
        context = ssl.create_default_context()
    context.check_hostname = wanted.check_hostname
    context.verify_mode = wanted.cert_reqs
    for flag in wanted.include_verify_flags or ():
        context.verify_flags |= flag
    for flag in wanted.exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if wanted.certfile:
        context.load_cert_chain(wanted.certfile, wanted.keyfile, wanted.password)
    if wanted.min_version is not None:
        context.minimum_version = wanted.min_version
    if wanted.ciphers is not None:
        context.set_ciphers(wanted.ciphers)
    return context

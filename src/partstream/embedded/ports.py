"""Free TCP ports that stay free while a server restarts."""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 16_384, 32_767
"""Below the ports that systems give to outgoing connections. From among those, a client that
reconnects to a stopped server can take its port, or even connect to itself."""

_random = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens now. Somebody may in a moment: the caller must try again."""
    for _ in range(200):
        port = _random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST} on {host}")

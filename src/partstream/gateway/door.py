"""Who may connect: so many at a time, and so many from one address."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Mapping

from partstream.errors import ConfigError
from partstream.gateway.meter import Meter

_logger = logging.getLogger(__name__)


class Door:
    """Counts connections, from before their TLS handshake until they end."""

    def __init__(self, *, most: int, most_per_ip: int, meter: Meter) -> None:
        """Let nobody in yet.

        Args:
            most: Kafka's max.connections.
            most_per_ip: Kafka's max.connections.per.ip.
        """
        self._most = most
        self._most_per_ip = most_per_ip
        self._meter = meter
        self.limits: Mapping[str, int] = {}
        """Of single addresses, in place of `most_per_ip`; see `addresses_of`."""
        self._inside: Counter[str] = Counter()
        self._count = 0

    @property
    def count(self) -> int:
        """Connections there are."""
        return self._count

    def enter(self, address: str, listener: str) -> bool:
        """Whether a connection from an address may stay; then `leave` is due when it ends."""
        address = _plain(address)
        most_here = self.limits.get(address, self._most_per_ip)
        if self._count >= self._most:
            refusal = f"there are {self._most} connections (max.connections)"
        elif self._inside[address] >= most_here:
            refusal = f"it has {most_here} connections (max.connections.per.ip)"
        else:
            self._count += 1
            self._inside[address] += 1
            self._meter.accepted[listener] += 1
            self._meter.connections[listener] += 1
            return True
        self._meter.problems["too many"] += 1
        _logger.warning("%s: %s; disconnected", address, refusal)
        return False

    def leave(self, address: str, listener: str) -> None:
        """A connection that was let in has ended."""
        address = _plain(address)
        self._count -= 1
        self._meter.connections[listener] -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]


async def addresses_of(limits: Mapping[str, int]) -> dict[str, int]:
    """Limits of hosts as limits of addresses; a name may stand for several.

    Raises:
        ConfigError: a name cannot be looked up.
    """
    found: dict[str, int] = {}
    loop = asyncio.get_running_loop()
    for host, most in limits.items():
        try:
            rows = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the second: of a name that cannot be one
            raise ConfigError(f"max_connections_per_ip_overrides: {host!r}: {error}") from error
        for *_, address in rows:
            found.setdefault(_plain(str(address[0])), most)
    return found


def _plain(address: str) -> str:
    """An address of IPv4 that came in on a socket of IPv6, as such."""
    return address.removeprefix("::ffff:") if "." in address else address

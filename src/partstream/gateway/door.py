"""Who may connect: so many at a time, and so many from one address."""

from __future__ import annotations

import logging
from collections import Counter

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
        self._inside: Counter[str] = Counter()
        self._count = 0

    @property
    def count(self) -> int:
        """Connections there are."""
        return self._count

    def enter(self, address: str, listener: str) -> bool:
        """Whether a connection from an address may stay; then `leave` is due when it ends."""
        if self._count >= self._most:
            refusal = f"there are {self._most} connections (max.connections)"
        elif self._inside[address] >= self._most_per_ip:
            refusal = f"it has {self._most_per_ip} connections (max.connections.per.ip)"
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
        self._count -= 1
        self._meter.connections[listener] -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]

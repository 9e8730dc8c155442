"""From a record's key to its partition, as the clients of Kafka do it.

Which hash a topic uses is a property of the topic, so that all its producers agree. Every
function here is pure: the same key and number of partitions give the same partition for ever.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from struct import unpack_from
from typing import TypeAlias
from zlib import crc32

from mmh3 import mmh3_32_uintdigest

from partstream.errors import ConfigError

Partitioner: TypeAlias = "Callable[[bytes, int], int]"
"""A key and a number of partitions -> a partition."""

_M = 0x5BD1E995
_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF


def partition_murmur3(key: bytes, partitions: int) -> int:
    """MurmurHash3 (x86, 32 bits, seed 0), unsigned: the default of topics made by the library."""
    return mmh3_32_uintdigest(key) % partitions


@lru_cache(maxsize=1 << 16)
def murmur2(key: bytes) -> int:
    """MurmurHash2 of Kafka's Java client, unsigned.

    In Python it takes 1-3 us for a short key; keys come back, so the last 65,536 are kept.
    """
    size = len(key)
    h = _SEED ^ size
    for word in unpack_from(f"<{size >> 2}I", key):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    rest = size & 3
    if rest:
        h = (h ^ int.from_bytes(key[-rest:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_murmur2(key: bytes, partitions: int) -> int:
    """The default of Kafka's Java client, kafka-python and aiokafka."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partition_crc32(key: bytes, partitions: int) -> int:
    """librdkafka's `consistent`; for empty keys see `KEYLESS_WHEN_EMPTY`."""
    return crc32(key) % partitions


PARTITIONERS: dict[str, Partitioner] = {
    "murmur3": partition_murmur3,
    "murmur2": partition_murmur2,
    "crc32": partition_crc32,
}
"""Every partitioner by its name in a topic's configuration."""

KEYLESS_WHEN_EMPTY = frozenset({"crc32"})
"""Partitioners for which an empty key is as good as none (librdkafka's consistent_random)."""


def get_partitioner(name: str) -> Partitioner:
    """The partitioner of this name.

    Raises:
        ConfigError: there is none; the text names the nearest.
    """
    partitioner = PARTITIONERS.get(name)
    if partitioner is None:
        near = get_close_matches(str(name), PARTITIONERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"unknown partitioner {name!r}, expected one of {', '.join(PARTITIONERS)}{hint}"
        )
    return partitioner


class Sticky:
    """Where a topic's records without a key go: to one partition a batch (KIP-480)."""

    __slots__ = ("_current", "_random")

    def __init__(self, rng: random.Random | None = None) -> None:
        """`rng` draws the partitions; by default a generator of its own."""
        self._random = rng or random.Random()
        self._current = -1

    def partition(self, partitions: int) -> int:
        """The partition for the next record of a topic that has so many."""
        if not 0 <= self._current < partitions:
            self._current = self._random.randrange(partitions)
        return self._current

    def on_new_batch(self, partitions: int) -> int:
        """Move on, as the partition's batch is full: to another one, if there are two."""
        if not 0 <= self._current < partitions or partitions == 1:
            self._current = self._random.randrange(partitions)
        else:
            # One of the others: those from the current one on move up by one.
            drawn = self._random.randrange(partitions - 1)
            self._current = drawn + (drawn >= self._current)
        return self._current

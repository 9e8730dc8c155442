"""CRC-32C, by the fastest implementation at hand.

aiokafka's is always there, at about 1.4 GB/s. The package `crc32c` (the extra `speed`) uses the
processor's own instruction and is some fifteen times as fast: 40 us less for a batch of 59 KB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from partstream.records.native import crc32c_software

try:
    from crc32c import crc32c as _fastest
except ImportError:
    _fastest = crc32c_software

Checksum: TypeAlias = "Callable[[bytes | bytearray | memoryview], int]"

crc32c: Checksum = _fastest
"""CRC-32C (Castagnoli) of a buffer, as Kafka stores it."""

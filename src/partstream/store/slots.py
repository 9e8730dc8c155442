"""Hash slots: where keys land in a Redis Cluster, and how partitions spread over it.

Partition p of a topic goes to slot `(h(topic) + bit_reverse_14(p)) mod 16384`. Bit reversal is a
low-discrepancy sequence: however many partitions there are, and after more are added, primaries
with equal ranges of slots hold equal numbers of them, give or take one or two.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from functools import cache
from itertools import groupby, product

SLOTS = 16_384

_TAG_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def slot_of(key: str | bytes) -> int:
    """The slot of a key: CRC16 of its hash tag, or of all of it where it has none."""
    raw = key.encode() if isinstance(key, str) else key
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc_hqx(raw, 0) % SLOTS


@cache
def _endings() -> dict[int, str]:
    """The slots that two letters reach, and the letters."""
    pairs = ("".join(letters) for letters in product(_TAG_ALPHABET, repeat=2))
    return {crc_hqx(pair.encode(), 0) % SLOTS: pair for pair in pairs}


@cache
def tag_of(slot: int) -> str:
    """A hash tag of four letters (digits too) whose keys land in `slot`.

    CRC16 is linear, so the slot of `abcd` is that of `ab\\0\\0` xor that of `cd`: for each
    beginning one look-up tells whether some ending completes it.
    """
    endings = _endings()
    for letters in product(_TAG_ALPHABET, repeat=2):
        beginning = "".join(letters)
        rest = (crc_hqx(beginning.encode() + b"\0\0", 0) % SLOTS) ^ slot
        if rest in endings:
            return beginning + endings[rest]
    raise ValueError(f"slot {slot} is not between 0 and {SLOTS - 1}")


def partition_slot(topic: str, partition: int) -> int:
    """The slot of a partition; a partition's slot never changes."""
    reversed_bits = int(f"{partition % SLOTS:014b}"[::-1], 2)
    return (crc_hqx(topic.encode(), 0) + reversed_bits) % SLOTS


def partition_tag(topic: str, partition: int) -> str:
    """The hash tag of all keys of a partition."""
    return tag_of(partition_slot(topic, partition))


def ranges_text(slots: Iterable[int]) -> str:
    """Slots in ascending order, as in `0-5460,5470`."""
    runs = (
        [slot for _, slot in run]
        for _, run in groupby(enumerate(slots), key=lambda pair: pair[1] - pair[0])
    )
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)

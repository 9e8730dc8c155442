"""What MIGRATE can carry, which moves slots from node to node key by key.

It sends a key in one piece, and neither server does anything else meanwhile. The target takes no
piece that is larger than its proto-max-bulk-len: what is larger blocks the source for a long time,
and then the move fails and leaves the slot half moved.

Whoever asks estimates what a key takes, with what its batches' entries need beside them; only DUMP
would tell how long the piece is, and it is as slow as the move.
"""

from __future__ import annotations

LIMIT = "proto-max-bulk-len"
"""The setting that limits a piece."""
DEFAULT_LIMIT = 512 << 20
COMFORTABLE = 128 << 20
"""Above that, moving a key blocks its servers for a second or so."""
BESIDE_BATCHES = 1.1
"""Memory that a log takes for each byte of its batches: 1.00 to 1.11 in batches of 10 KB or more,
by server, up to 1.3 in smaller ones (MEMORY USAGE)."""


def is_carried(size: int, limit: int) -> bool:
    """Whether MIGRATE carries a key.

    Args:
        size: bytes of memory that the key takes.
        limit: the target's proto-max-bulk-len.
    """
    return size <= limit

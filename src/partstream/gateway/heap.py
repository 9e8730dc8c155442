"""How the process's memory is managed: what batches pass through is kept for the next ones.

By itself glibc gives memory back to the system as soon as there is a little of it at the heap's
end. Batches come and go by the megabyte, so it would have it again page by page, each time: half of
the time that a gateway spends in the system while a client reads a backlog.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""
_SETTINGS = {
    _TRIM_THRESHOLD: 64 << 20,
    _TOP_PAD: 1 << 20,
    # What is larger has a mapping of its own, and goes with it. Setting any of these keeps glibc
    # from raising this one by itself, from 128 KiB on.
    _MMAP_THRESHOLD: 4 << 20,
}


def keep_memory() -> bool:
    """Keep up to 64 MiB that are free at the heap's end; whether the C library can (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(parameter, value) for parameter, value in _SETTINGS.items())

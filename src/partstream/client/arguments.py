"""What users give that is no config: looked at where it comes in, and refused by its name.

Partitions and offsets are in `positions`.
"""

from __future__ import annotations

import math
import threading
from numbers import Real
from typing import Any

from partstream.errors import IllegalState


def seconds(given: Any, name: str = "timeout") -> float | None:
    """How long to wait; None is for ever, and less than nothing is not at all.

    Raises:
        IllegalState: it is no number.
    """
    if given is None:
        return None
    if isinstance(given, Real) and not isinstance(given, bool):
        # No lock can be waited for longer, and that is centuries.
        within = float(min(max(given, 0), threading.TIMEOUT_MAX))
        if not math.isnan(within):
            return within
    raise IllegalState(f"{name}={given!r:.100}: expected seconds, or None")

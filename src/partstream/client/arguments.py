"""What users give that is no config: looked at where it comes in, and refused by its name.

Partitions and offsets are in `positions`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from numbers import Real
from typing import Any

from partstream.config.names import validate_topic_name
from partstream.config.numbers import is_whole
from partstream.errors import IllegalState, InvalidTopic


def seconds(given: Any, name: str = "timeout") -> float | None:
    """How long to wait; None is for ever, and less than nothing is not at all.

    Raises:
        IllegalState: it is no number.
    """
    if given is None:
        return None
    if isinstance(given, Real) and not isinstance(given, bool):
        # No lock can be waited for longer, and that is centuries.
        bounded: Any = min(max(given, 0), threading.TIMEOUT_MAX)
        if not math.isnan(bounded):
            return float(bounded)
    raise IllegalState(f"{name}={given!r:.100}: expected seconds, or None")


def at_least(least: int, given: object, name: str) -> int:
    """A whole number that is not too small.

    Raises:
        IllegalState: it is no such number.
    """
    if not is_whole(given):
        raise IllegalState(f"{name}={given!r:.100}: expected a whole number")
    if given < least:
        raise IllegalState(f"{name}={given}: expected at least {least}")
    return given


def topic_names(given: object) -> list[str]:
    """The names that are given, one or any collection of them.

    Raises:
        InvalidTopic: it is neither, or Kafka would refuse a name.
    """
    if isinstance(given, str | bytes):
        return [validate_topic_name(given)]
    if not isinstance(given, Iterable):
        raise InvalidTopic(f"topics={given!r:.100}: expected names of topics")
    return [validate_topic_name(name) for name in given]


def check_callback(given: object, name: str) -> None:
    """Make sure that something can be called, or is None.

    Raises:
        IllegalState: it cannot.
    """
    if given is not None and not callable(given):
        raise IllegalState(f"{name}={given!r:.100}: expected something to call, or None")

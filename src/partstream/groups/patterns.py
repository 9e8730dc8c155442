"""Regular expressions over topic names: which topics a member's pattern means.

One place, so that another engine can stand in for Python's where patterns come from strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from partstream.errors import InvalidRegularExpression


def check(pattern: str) -> None:
    """Make sure that a pattern is one.

    Raises:
        InvalidRegularExpression: it is not; the message says where and why.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise InvalidRegularExpression(
            f"{pattern!r} is not a valid regular expression: {error}"
        ) from None


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that the pattern matches whole, as Kafka does it.

    Raises:
        InvalidRegularExpression: the pattern is not valid.
    """
    check(pattern)
    matches = re.compile(pattern).fullmatch
    return [name for name in names if matches(name)]
